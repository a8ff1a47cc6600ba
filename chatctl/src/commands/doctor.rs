//! `chatctl doctor`: what an operator would check on the first day, each with what to do about it. Reads only.

use std::collections::HashMap;
use std::fmt::Display;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use fred::prelude::*;
use fred::types::CustomCommand;
use shared::clock::Timestamp;
use shared::config::{DefaultDoc, GatewaySettings};
use shared::crypto::Keyring;
use sqlx::PgConnection;
use uuid::Uuid;

use super::migrate;
use crate::database;
use crate::fleet::FleetClient;
use crate::settings::Settings;
use crate::terminal::print_line;

/// Clocks may differ by a minute without a promise failing; more than this is worth mending all the same.
const MAX_CLOCK_OFFSET_MS: i64 = 1_000;
const MIN_POSTGRES: i32 = 150_000;
const MIN_REDIS_MAJOR: u32 = 7;
/// What `deploy/redis/redis.conf` sets.
const MIN_PUBSUB_HARD: u64 = 128 << 20;
const MIN_PUBSUB_SOFT: u64 = 32 << 20;
const SUBSCRIBERS_LIMIT: &str = "client-output-buffer-limit";
/// Of a limit, in percent.
const NEARLY_FULL: i64 = 80;

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Fail on advice, too.
    #[arg(long)]
    strict: bool,
}

/// What was found so far.
#[derive(Default)]
struct Findings {
    problems: usize,
    advice: usize,
}

impl Findings {
    fn check(&mut self, holds: bool, what: impl Display, remedy: &str) -> Result<()> {
        if holds { print_line(&format!("ok      {what}")) } else { self.problem(what, remedy) }
    }

    /// As `check`, for what is only better to have.
    fn advise(&mut self, holds: bool, what: impl Display, remedy: &str) -> Result<()> {
        if holds {
            return print_line(&format!("ok      {what}"));
        }
        self.advice += 1;
        print_line(&format!("advice  {what}\n        {remedy}"))
    }

    fn problem(&mut self, what: impl Display, remedy: &str) -> Result<()> {
        self.problems += 1;
        print_line(&format!("PROBLEM {what}\n        {remedy}"))
    }
}

impl DoctorArguments {
    /// Prints a line per check.
    ///
    /// # Errors
    /// When there is a problem, or with `--strict` advice.
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let mut findings = Findings::default();
        open_files(&mut findings)?;
        match database::connect(settings).await {
            Ok(mut db) => {
                postgres(&mut findings, &mut db).await.context("asking Postgres")?;
                keys(&mut findings, settings, &mut db).await?;
            }
            Err(error) => {
                findings.problem(format!("Postgres: {error:#}"), "Check DATABASE_URL, the network and the password.")?
            }
        }
        match FleetClient::connect(settings).await {
            Ok(fleet) => {
                redis(&mut findings, &fleet).await.context("asking Redis")?;
                processes(&mut findings, &fleet).await.context("asking Redis for the fleet")?;
            }
            Err(error) => {
                findings.problem(format!("Redis: {error:#}"), "Check REDIS_URL, the network and the password.")?
            }
        }
        let Findings { problems, advice } = findings;
        if problems > 0 || (self.strict && advice > 0) {
            bail!("{problems} problems, {advice} pieces of advice");
        }
        print_line(&format!("no problems, {advice} pieces of advice"))
    }
}

/// Of this process, which has the limits of its container.
fn open_files(findings: &mut Findings) -> Result<()> {
    let Ok(limits) = std::fs::read_to_string("/proc/self/limits") else { return Ok(()) };
    let Some(files) = soft_limit(&limits) else { return Ok(()) };
    let setting = GatewaySettings::docs().into_iter().find(|setting| setting.name == "MAX_CONNECTIONS");
    let default = setting.and_then(|setting| match setting.default {
        DefaultDoc::Value(value) => Some(value.to_owned()),
        _ => None,
    });
    let connections = std::env::var("MAX_CONNECTIONS").ok().or(default).and_then(|value| value.parse::<u64>().ok());
    let Some(connections) = connections else { return Ok(()) };
    findings.advise(
        files > connections,
        format!("a process may open {files} files here, and a gateway {connections} connections"),
        "If gateways have this limit (ulimit -n), raise it, or lower their MAX_CONNECTIONS.",
    )
}

/// From /proc/PID/limits.
fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        soft => soft.parse().ok(),
    }
}

async fn postgres(findings: &mut Findings, db: &mut PgConnection) -> Result<()> {
    let show: Vec<(String, String)> =
        sqlx::query_as("SELECT name, setting FROM pg_settings").fetch_all(&mut *db).await?;
    let show: HashMap<String, String> = show.into_iter().collect();
    let value = |name: &str| show.get(name).map_or("", String::as_str);
    let number = |name: &str| value(name).parse::<i64>().unwrap_or_default();

    let version = number("server_version_num");
    let text = format!("Postgres {}", value("server_version"));
    findings.check(version >= MIN_POSTGRES.into(), text, "Upgrade it to 15 or newer.")?;
    let is_replica: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut *db).await?;
    findings.check(!is_replica, "Postgres takes writes", "This is a replica: point DATABASE_URL to the primary.")?;
    for (name, remedy) in [
        ("fsync", "Without it a crash of the machine corrupts the database: turn it on."),
        ("full_page_writes", "Without it a crash of the machine corrupts the database: turn it on."),
    ] {
        findings.check(value(name) == "on", format!("Postgres: {name} is {}", value(name)), remedy)?;
    }
    let commit = value("synchronous_commit");
    let what = format!("Postgres: synchronous_commit is {commit}");
    findings.check(commit != "off", what, "A crash loses messages that were acknowledged: turn it on.")?;
    let replicas: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_stat_replication").fetch_one(&mut *db).await?;
    findings.advise(
        replicas == 0 || !value("synchronous_standby_names").is_empty(),
        format!("Postgres: {replicas} replicas, synchronous ones: '{}'", value("synchronous_standby_names")),
        "A failover to a replica that is not synchronous loses what was acknowledged last: name one in synchronous_standby_names.",
    )?;
    let used: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity").fetch_one(&mut *db).await?;
    let most = number("max_connections");
    let what = format!("Postgres: {used} of {most} connections are in use");
    findings.advise(
        used * 100 < most * NEARLY_FULL,
        what,
        "Raise max_connections, or lower DB_MAX_CONNECTIONS of the workers.",
    )?;
    let theirs: f64 =
        sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8 * 1000").fetch_one(&mut *db).await?;
    clock(findings, "Postgres", theirs as i64)?;

    let missing = migrate::missing(db).await?;
    let what = format!("the schema lacks {} migrations", missing.len());
    let what = if missing.is_empty() { "the schema is up to date".to_owned() } else { what };
    findings.check(missing.is_empty(), what, "Run `chatctl migrate` before the services of this version.")?;
    if !missing.is_empty() {
        return Ok(());
    }
    let problems: Vec<String> =
        sqlx::query_scalar("SELECT unnest(chat_main_backend_problems())").fetch_all(&mut *db).await?;
    let what = if problems.is_empty() { "the main backend's tables fit".to_owned() } else { problems.join("; ") };
    findings.check(problems.is_empty(), what, "Set PROFILE_COLUMNS for `chatctl migrate`; see docs/takeover.md.")?;
    rights(findings, db).await
}

/// Of the workers' role, where there is one.
async fn rights(findings: &mut Findings, db: &mut PgConnection) -> Result<()> {
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'chat_worker')")
        .fetch_one(&mut *db)
        .await?;
    let what = "workers have a role of their own";
    findings.advise(
        exists,
        what,
        "Run `chatctl migrate` with WORKER_PASSWORD, and let workers connect as chat_worker.",
    )?;
    if !exists {
        return Ok(());
    }
    let lacking: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM unnest(ARRAY['conversations', 'conversation_members', 'private_messages', 'message_reactions',
             'message_deletions', 'group_chats', 'group_members', 'event_log', 'event_queue', 'applied_commands', 'user_status',
             'workers', 'partition_leases', 'communities', 'community_members', 'conversation_changes',
             'webhook_endpoints', 'webhook_deliveries', 'webhook_topics']) AS name
         WHERE NOT has_table_privilege('chat_worker', name, 'SELECT')
            OR NOT has_table_privilege('chat_worker', name, 'INSERT')
            OR NOT has_table_privilege('chat_worker', name, 'UPDATE')",
    )
    .fetch_all(&mut *db)
    .await?;
    let what = if lacking.is_empty() {
        "chat_worker has its rights".to_owned()
    } else {
        format!("chat_worker lacks rights on {}", lacking.join(", "))
    };
    findings.check(
        lacking.is_empty(),
        what,
        "Run `chatctl migrate` with WORKER_PASSWORD, or deploy/postgres/worker-role.sql.",
    )?;
    let is_superuser: bool =
        sqlx::query_scalar("SELECT rolsuper FROM pg_roles WHERE rolname = 'chat_worker'").fetch_one(db).await?;
    findings.advise(!is_superuser, "chat_worker is not a superuser", "ALTER ROLE chat_worker NOSUPERUSER.")
}

/// Whether the newest message decrypts: a wrong key is noticed before users do.
async fn keys(findings: &mut Findings, settings: &Settings, db: &mut PgConnection) -> Result<()> {
    let encryption = match settings.encryption() {
        Ok(encryption) => encryption,
        Err(error) => {
            return findings.advise(
                false,
                format!("keys: {error:#}"),
                "Set the keys as the services have them, to have them checked.",
            );
        }
    };
    let keyring = tokio::task::spawn_blocking(move || Keyring::derive(&encryption)).await??;
    type Row = (Uuid, i16, Vec<u8>, Option<Vec<u8>>, Vec<u8>);
    let newest: Result<Option<Row>, _> = sqlx::query_as(
        "SELECT message_id, key_id, iv, mac, content FROM private_messages ORDER BY message_id DESC LIMIT 1",
    )
    .fetch_optional(db)
    .await;
    let Ok(Some((id, key, iv, mac, content))) = newest else { return Ok(()) };
    let opened = keyring.open(id, key, &iv, mac.as_deref(), &content).is_ok();
    findings.check(opened, "the newest message decrypts", "The keys are not those that it was stored under.")
}

async fn redis(findings: &mut Findings, fleet: &FleetClient) -> Result<()> {
    let info: String = fleet
        .redis
        .custom(CustomCommand::new_static("INFO", None, false), Vec::<Value>::new())
        .await
        .context("INFO")?;
    let info: HashMap<&str, &str> = info.lines().filter_map(|line| line.trim().split_once(':')).collect();
    let value = |name: &str| info.get(name).copied().unwrap_or_default();
    let number = |name: &str| value(name).parse::<i64>().unwrap_or_default();

    let version = value("redis_version");
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or_default();
    findings.check(major >= MIN_REDIS_MAJOR, format!("Redis {version}"), "Upgrade it to 7.0 or newer.")?;
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
    findings.advise(
        most > 0,
        &what,
        "Set maxmemory below the machine's memory: a Redis that the system kills loses more.",
    )?;
    findings.check(
        most == 0 || used * 100 < most * NEARLY_FULL,
        &what,
        "Give it more memory; see docs/capacity.md.",
    )?;
    let is_durable = value("aof_enabled") == "1";
    let remedy = "Set `appendonly yes`, or commands on their way are lost with a restart (their senders repeat them).";
    findings.advise(is_durable, format!("Redis: aof_enabled is {}", value("aof_enabled")), remedy)?;
    let has_written = !is_durable || value("aof_last_write_status") == "ok";
    findings.check(has_written, "Redis writes its file", "Look at its log: the disk is full or broken.")?;
    subscribers(findings, fleet).await?;
    let time: Vec<i64> =
        fleet.redis.custom(CustomCommand::new_static("TIME", None, false), Vec::<Value>::new()).await?;
    if let [seconds, micros] = time[..] {
        clock(findings, "Redis", seconds * 1000 + micros / 1000)?;
    }
    Ok(())
}

/// How far a gateway may fall behind before Redis cuts it off.
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
        // The services' user may not ask.
        Ok(None) | Err(_) => {
            print_line(&format!("skipped {SUBSCRIBERS_LIMIT}: only an administrator of Redis may ask for it"))
        }
    }
}

/// Of `normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60`: the hard and the soft limit, in bytes.
fn pubsub_limits(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split_whitespace().skip_while(|word| *word != "pubsub").skip(1);
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

async fn processes(findings: &mut Findings, fleet: &FleetClient) -> Result<()> {
    for kind in ["gateway", "worker"] {
        let alive = fleet.alive(kind).await?.len();
        let what = format!("{alive} {kind}s are alive");
        findings.check(alive > 0, &what, "Start one; its log says why it does not run.")?;
        if alive > 0 {
            findings.advise(alive > 1, what, "Run two or more, so that one may die unnoticed.")?;
        }
    }
    let (length, age) = fleet.backlogs(&[fleet.keys.queries()]).await?.first().copied().unwrap_or_default();
    let what = format!("{length} queries wait, the oldest for {:.1} s", age.as_secs_f64());
    findings.check(age < Duration::from_secs(5), what, "See ChatBacklogOld in docs/runbook.md.")?;
    let proxy: Option<String> = fleet.redis.get(fleet.keys.unnamed_proxy()).await?;
    let what = match &proxy {
        Some(proxy) => format!("within a day many clients were refused that {proxy} forwards for, as one address"),
        None => "no proxy hides its clients' addresses".to_owned(),
    };
    findings.check(
        proxy.is_none(),
        what,
        "If this is your proxy, name it in TRUSTED_PROXIES of the gateways; see docs/deployment.md.",
    )?;
    let letters: u64 = fleet.redis.xlen(fleet.keys.dead_letters()).await?;
    findings.advise(letters == 0, format!("{letters} dead letters"), "Look at them with `chatctl dlq list`.")
}

fn clock(findings: &mut Findings, whose: &str, theirs_ms: i64) -> Result<()> {
    let offset = theirs_ms - Timestamp::now().0;
    let what = format!("the clock of {whose} differs from this machine's by {offset} ms");
    findings.advise(offset.abs() < MAX_CLOCK_OFFSET_MS, what, "Let both follow an NTP server.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_redis_and_linux_write_them() {
        let text = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        assert_eq!(pubsub_limits(text), Some((32 << 20, 8 << 20)));
        assert_eq!(pubsub_limits("normal 0 0 0"), None);
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(
            soft_limit("Max open files            unlimited            unlimited            files"),
            Some(u64::MAX)
        );
        assert_eq!(soft_limit("Max processes  1  1  processes"), None);
    }
}
