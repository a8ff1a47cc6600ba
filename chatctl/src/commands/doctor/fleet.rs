//! Problems of the running fleet: too few processes, different versions, a backlog, clients hidden behind a proxy.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;

use super::Findings;
use crate::fleet::FleetClient;

pub async fn check(findings: &mut Findings, fleet: &FleetClient) -> Result<()> {
    let mut versions = BTreeSet::new();
    for kind in ["gateway", "worker"] {
        let alive = fleet.alive(kind).await?;
        let what = format!("{} {kind}s are alive", alive.len());
        if alive.is_empty() {
            findings.problem(what, "Start one; its log says why it is not running.")?;
        } else {
            findings.advise(alive.len() > 1, what, "Run two or more, so that users do not notice if one dies.")?;
        }
        for process in alive {
            let version = fleet.version(kind, &process.id).await?.unwrap_or_else(|| "an unknown version".to_owned());
            versions.insert(format!("{kind}s of {version}"));
        }
    }
    let ours = env!("CARGO_PKG_VERSION");
    let is_ours = |version: &String| version.ends_with(&format!(" of {ours}"));
    let running = versions.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    findings.advise(
        versions.iter().all(is_ours),
        format!("this is chatctl {ours}, and there are {}", if running.is_empty() { "no processes" } else { &running }),
        "Finish the upgrade (docs/upgrading.md), and use the chatctl of the same release.",
    )?;
    let (length, age) = fleet.backlogs(&[fleet.keys.queries()]).await?.first().copied().unwrap_or_default();
    let what = format!("{length} queries wait, the oldest for {:.1} s", age.as_secs_f64());
    findings.check(age < Duration::from_secs(5), what, "See ChatBacklogOld in docs/runbook.md.")?;
    let proxy = fleet.unnamed_proxy().await?;
    let what = match &proxy {
        Some(proxy) => {
            format!("in the last day many clients behind {proxy} were refused, because they count as one address")
        }
        None => "no proxy hides its clients' addresses".to_owned(),
    };
    findings.check(
        proxy.is_none(),
        what,
        "If this is your proxy, name it in TRUSTED_PROXIES of the gateways; see docs/deployment.md.",
    )?;
    let error = fleet.before_send_error().await?;
    let what = match &error {
        Some(error) => format!("the hook before send does not answer: {error}"),
        None => "no worker waits in vain for a hook before send".to_owned(),
    };
    findings.check(error.is_none(), what, "See ChatBeforeSendFailing in docs/runbook.md.")?;
    let letters = fleet.dead_letters().count().await?;
    findings.advise(letters == 0, format!("{letters} dead letters"), "Look at them with `chatctl dlq list`.")
}
