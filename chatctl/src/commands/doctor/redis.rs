//! Problems of Redis: if it keeps what waits in it, rejects instead of evicting when it is full, and tolerates gateways
//! that fall behind.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use fred::prelude::*;
use fred::types::CustomCommand;

use super::{Findings, NEARLY_FULL};
use crate::fleet::FleetClient;
use crate::terminal::print_line;

const MIN_MAJOR: u32 = 7;
/// The value in `deploy/redis/redis.conf`.
const MIN_PUBSUB_HARD: u64 = 128 << 20;
const MIN_PUBSUB_SOFT: u64 = 32 << 20;
const SUBSCRIBERS_LIMIT: &str = "client-output-buffer-limit";

pub async fn check(findings: &mut Findings, fleet: &FleetClient) -> Result<()> {
    let info: Result<String, Error> =
        fleet.redis.custom(CustomCommand::new_static("INFO", None, false), Vec::<Value>::new()).await;
    match info {
        Ok(info) => state(findings, &info)?,
        Err(error) if error.details().starts_with("NOPERM") => {
            print_line("skipped what INFO tells: only an administrator of Redis may ask for it")?;
        }
        Err(error) => return Err(error).context("INFO"),
    }
    subscribers(findings, fleet).await?;
    let time: Vec<i64> =
        fleet.redis.custom(CustomCommand::new_static("TIME", None, false), Vec::<Value>::new()).await?;
    if let [seconds, micros] = time[..] {
        findings.clock("Redis", seconds * 1000 + micros / 1000)?;
    }
    Ok(())
}

/// What INFO tells.
fn state(findings: &mut Findings, info: &str) -> Result<()> {
    let info: HashMap<&str, &str> = info.lines().filter_map(|line| line.trim().split_once(':')).collect();
    let value = |name: &str| info.get(name).copied().unwrap_or_default();
    let number = |name: &str| value(name).parse::<i64>().unwrap_or_default();

    let version = value("redis_version");
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or_default();
    findings.check(major >= MIN_MAJOR, format!("Redis {version}"), "Upgrade it to 7.0 or newer.")?;
    let role = value("role");
    findings.check(
        role == "master",
        format!("Redis is a {role}"),
        "Point REDIS_URL to the primary, or to the sentinels.",
    )?;
    let policy = value("maxmemory_policy");
    let remedy = "Set maxmemory-policy noeviction: with another one a full Redis drops commands silently.";
    findings.check(policy == "noeviction", format!("Redis: maxmemory-policy is {policy}"), remedy)?;
    let evicted = number("evicted_keys");
    findings.check(evicted == 0, format!("Redis evicted {evicted} keys"), remedy)?;
    let (used, most) = (number("used_memory"), number("maxmemory"));
    let what = format!(
        "Redis: {} MiB of {} are in use",
        used >> 20,
        if most == 0 { "no limit".to_owned() } else { format!("{} MiB", most >> 20) }
    );
    if most == 0 {
        let remedy = "Set maxmemory below the machine's memory: a Redis that the system kills loses more.";
        findings.advise(false, what, remedy)?;
    } else {
        findings.check(used * 100 < most * NEARLY_FULL, what, "Give it more memory; see docs/capacity.md.")?;
    }
    let is_durable = value("aof_enabled") == "1";
    let remedy = "Set `appendonly yes`, or commands on their way are lost with a restart (their senders repeat them).";
    findings.advise(is_durable, format!("Redis: aof_enabled is {}", value("aof_enabled")), remedy)?;
    let has_written = !is_durable || value("aof_last_write_status") == "ok";
    findings.check(has_written, "Redis writes its file", "Look at its log: the disk is full or broken.")
}

/// Checks how far a gateway may fall behind before Redis disconnects it.
async fn subscribers(findings: &mut Findings, fleet: &FleetClient) -> Result<()> {
    let get: Vec<Value> = vec!["GET".into(), SUBSCRIBERS_LIMIT.into()];
    let limits: Result<HashMap<String, String>, Error> =
        fleet.redis.custom(CustomCommand::new_static("CONFIG", None, false), get).await;
    let remedy =
        "Set `client-output-buffer-limit pubsub 128mb 32mb 60` or more: a gateway beyond it replays for all its users.";
    match limits.map(|limits| limits.get(SUBSCRIBERS_LIMIT).and_then(|text| pubsub_limits(text))) {
        Ok(Some((hard, soft))) => {
            let is_enough = |limit: u64, least: u64| limit == 0 || limit >= least;
            let what = format!(
                "Redis: subscribers may fall behind by {} MiB, and for a while by {} MiB",
                hard >> 20,
                soft >> 20
            );
            findings.advise(is_enough(hard, MIN_PUBSUB_HARD) && is_enough(soft, MIN_PUBSUB_SOFT), what, remedy)
        }
        // The services' user may not read it.
        Ok(None) | Err(_) => {
            print_line(&format!("skipped {SUBSCRIBERS_LIMIT}: only an administrator of Redis may ask for it"))
        }
    }
}

/// Parses `normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60` into the hard and the soft limit, in
/// bytes.
fn pubsub_limits(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split_whitespace().skip_while(|word| *word != "pubsub").skip(1);
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_redis_writes_them() {
        let text = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        assert_eq!(pubsub_limits(text), Some((32 << 20, 8 << 20)));
        assert_eq!(pubsub_limits("normal 0 0 0"), None);
    }
}
