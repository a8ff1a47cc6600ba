//! Attacks within all limits, each by one account or by strangers, while others go on talking and signing in: it must not become
//! slow for them, neither during an attack nor after it, and nothing of theirs may be refused. `HOSTILE_SECONDS=60` makes each attack last longer than the test needs,
//! `HOSTILE_ATTACKS="syncs groups"` plays only these, `HOSTILE_FLOOR_MS=0` lets nothing but the factor count, and
//! `HOSTILE_SETTINGS="GROUP_CREATE_LIMIT=1000000 MAX_GROUPS_PER_USER=1000000"` takes defences out, to see what they are good for.

mod attacks;
mod bystanders;
mod stage;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use attacks::Attack;
use bystanders::{Bystanders, Seen};
use stage::Stage;

/// Slower than this times the quiet p95 is harm, unless it is fast all the same: binaries without optimisation, on a machine that
/// may be busy with other things.
const FACTOR: u32 = 3;
const FLOOR_MS: u64 = 400;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

fn lasting() -> Duration {
    Duration::from_secs(number("HOSTILE_SECONDS", 4))
}

fn floor() -> Duration {
    Duration::from_millis(number("HOSTILE_FLOOR_MS", FLOOR_MS))
}

/// Where attackers run: with threads that give way, because it is not what attackers cost their own machine that is measured.
struct Attackers(Option<Runtime>);

impl Attackers {
    fn enter() -> Result<Self> {
        let give_way = || {
            let _ = rustix::process::nice(19);
        };
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().on_thread_start(give_way).build()?;
        Ok(Attackers(Some(runtime)))
    }

    async fn attack(&self, stage: &Arc<Stage>, attack: Attack, ends_at: Instant) -> Result<()> {
        let (runtime, stage) = (self.0.as_ref().context("a runtime")?, stage.clone());
        runtime.spawn(async move { stage.attack(attack, ends_at).await }).await?
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn is_chosen(attack: Attack) -> bool {
    let chosen = std::env::var("HOSTILE_ATTACKS").unwrap_or_default();
    chosen.is_empty() || chosen.split_whitespace().any(|name| name == attack.name())
}

/// What harm bystanders took, in words.
fn harm(when: &str, quiet: &Seen, seen: &Seen) -> Vec<String> {
    let mut harm = Vec::new();
    for (what, quiet, seen) in
        [("messages", &quiet.messages, &seen.messages), ("sign-ins", &quiet.sign_ins, &seen.sign_ins)]
    {
        let bound = (quiet.percentile(95) * FACTOR).max(floor());
        if seen.percentile(95) > bound || !seen.refused.is_empty() {
            let (p95, refused) = (seen.percentile(95), &seen.refused);
            harm.push(format!("{when}: p95 of {what} {p95:?} of at most {bound:?}, refused: {refused:?}"));
        }
    }
    harm
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attack_from_one_account_harms_nobody_else() -> Result<()> {
    let _machine = e2e::MACHINE.lock().await;
    let stage = Arc::new(Stage::set().await?);
    let attackers = Attackers::enter()?;
    let mut bystanders = Bystanders::enter(&stage).await?;
    // For longer, because everything is measured by it: few sign in during an attack.
    let quiet = bystanders.watch(3 * lasting()).await?;
    quiet.print("quiet");
    let mut harmed = Vec::new();
    for attack in Attack::ALL.into_iter().filter(|attack| is_chosen(*attack)) {
        let ends_at = Instant::now() + lasting();
        let (attacked, during) = tokio::join!(attackers.attack(&stage, attack, ends_at), bystanders.watch(lasting()));
        attacked.with_context(|| attack.name().to_owned())?;
        let during = during.with_context(|| format!("bystanders during {}", attack.name()))?;
        during.print(attack.name());
        harmed.extend(harm(attack.name(), &quiet, &during));
        let when = format!("after {}", attack.name());
        let after = bystanders.watch(lasting() / 2).await.with_context(|| format!("bystanders {when}"))?;
        after.print(&when);
        harmed.extend(harm(&when, &quiet, &after));
    }
    ensure!(harmed.is_empty(), "{}", harmed.join("\n"));
    Ok(())
}
