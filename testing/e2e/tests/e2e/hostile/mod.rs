//! Attacks within all limits, each by one account or by strangers, while others go on talking and signing in: it must not become
//! slow for them, and nothing of theirs may be refused. `HOSTILE_SECONDS=60` makes each attack last longer than the test needs,
//! `HOSTILE_ATTACKS="syncs groups"` plays only these, and `HOSTILE_SETTINGS="GROUP_CREATE_LIMIT=1000000 MAX_GROUPS_PER_USER=1000000"`
//! takes defences out, to see what they are good for.

mod attacks;
mod bystanders;
mod stage;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;

use attacks::Attack;
use bystanders::{Bystanders, Seen};
use stage::Stage;

/// Slower than this times the quiet p95 is harm, unless it is fast all the same on two cores that attackers and servers share.
const FACTOR: u32 = 3;
const FLOOR: Duration = Duration::from_millis(1_000);

fn lasting() -> Duration {
    let seconds = std::env::var("HOSTILE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(4))
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
        let bound = (quiet.percentile(95) * FACTOR).max(FLOOR);
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
    let stage = Stage::set().await?;
    let mut bystanders = Bystanders::enter(&stage).await?;
    // For longer, because everything is measured by it: few sign in during an attack.
    let quiet = bystanders.watch(3 * lasting()).await?;
    quiet.print("quiet");
    let mut harmed = Vec::new();
    for attack in Attack::ALL.into_iter().filter(|attack| is_chosen(*attack)) {
        let ends_at = Instant::now() + lasting();
        let (attacked, during) = tokio::join!(stage.attack(attack, ends_at), bystanders.watch(lasting()));
        attacked.with_context(|| attack.name().to_owned())?;
        let during = during.with_context(|| format!("bystanders during {}", attack.name()))?;
        during.print(attack.name());
        harmed.extend(harm(attack.name(), &quiet, &during));
    }
    let after = bystanders.watch(lasting() / 2).await?;
    after.print("after");
    harmed.extend(harm("after", &quiet, &after));
    ensure!(harmed.is_empty(), "{}", harmed.join("\n"));
    Ok(())
}
