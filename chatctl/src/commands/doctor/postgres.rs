//! Problems of PostgreSQL: durability, replicas, the schema, the rights of the workers' role, and if our keys open what
//! is stored.

use std::collections::HashMap;

use anyhow::Result;
use shared::crypto::Keyring;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Findings, NEARLY_FULL, grants};
use crate::commands::migrate;
use crate::settings::Settings;

const MIN_VERSION: i32 = 150_000;

pub async fn check(findings: &mut Findings, db: &mut PgConnection, settings: &Settings) -> Result<()> {
    let show: Vec<(String, String)> =
        sqlx::query_as("SELECT name, setting FROM pg_settings").fetch_all(&mut *db).await?;
    let show: HashMap<String, String> = show.into_iter().collect();
    let value = |name: &str| show.get(name).map_or("", String::as_str);
    let number = |name: &str| value(name).parse::<i64>().unwrap_or_default();

    let version = number("server_version_num");
    let text = format!("Postgres {}", value("server_version"));
    findings.check(version >= MIN_VERSION.into(), text, "Upgrade it to 15 or newer.")?;
    let is_replica: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut *db).await?;
    findings.check(!is_replica, "Postgres takes writes", "This is a replica: point DATABASE_URL to the primary.")?;
    durability(findings, &value)?;
    standbys(findings, db, value("synchronous_standby_names")).await?;
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
    findings.clock("Postgres", theirs as i64)?;
    schema(findings, db, settings).await
}

fn durability<'a>(findings: &mut Findings, value: &dyn Fn(&str) -> &'a str) -> Result<()> {
    for (name, remedy) in [
        ("fsync", "Without it a crash of the machine corrupts the database: turn it on."),
        ("full_page_writes", "Without it a crash of the machine corrupts the database: turn it on."),
    ] {
        findings.check(value(name) == "on", format!("Postgres: {name} is {}", value(name)), remedy)?;
    }
    let commit = value("synchronous_commit");
    let what = format!("Postgres: synchronous_commit is {commit}");
    findings.check(commit != "off", what, "A crash loses messages that were acknowledged: turn it on.")
}

async fn standbys(findings: &mut Findings, db: &mut PgConnection, synchronous: &str) -> Result<()> {
    let replicas: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_stat_replication").fetch_one(&mut *db).await?;
    findings.advise(
        replicas == 0 || !synchronous.is_empty(),
        format!("Postgres: {replicas} replicas, synchronous ones: '{synchronous}'"),
        "A failover to a replica that is not synchronous loses what was acknowledged last: name one in synchronous_standby_names.",
    )?;
    let unread: Vec<String> = sqlx::query_scalar("SELECT slot_name::text FROM pg_replication_slots WHERE NOT active")
        .fetch_all(&mut *db)
        .await?;
    let what = match &unread[..] {
        [] => "Postgres: no replication slot is without a reader".to_owned(),
        slots => format!("Postgres: nobody reads the replication slots {}", slots.join(", ")),
    };
    findings.advise(
        unread.is_empty(),
        what,
        "Such a slot keeps the log until the disk is full: start its reader, or drop it with pg_drop_replication_slot.",
    )
}

async fn schema(findings: &mut Findings, db: &mut PgConnection, settings: &Settings) -> Result<()> {
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
    departures(findings, db).await?;
    rights(findings, db, settings).await
}

/// Checks that deleted accounts are noticed by the trigger. Nothing is cleaned up without it: a table that is empty for
/// a moment, because it is being reloaded, must not end everyone's groups.
async fn departures(findings: &mut Findings, db: &mut PgConnection) -> Result<()> {
    let is_noticed: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('users_auth') AND tgname = 'chat_departure'
                        AND tgenabled IN ('O', 'A'))",
    )
    .fetch_one(&mut *db)
    .await?;
    findings.advise(
        is_noticed,
        "deleted accounts are noticed by the trigger chat_departure",
        "The trigger on users_auth is missing or disabled: sessions of deleted accounts go on (their commands are rejected), and they \
         stay in their groups. As its owner: CREATE TRIGGER chat_departure AFTER DELETE ON users_auth FOR EACH ROW EXECUTE FUNCTION \
         chat_note_departure().",
    )
}

/// Checks the rights of the workers' role, if it exists.
async fn rights(findings: &mut Findings, db: &mut PgConnection, settings: &Settings) -> Result<()> {
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
    let mut lacking = Vec::new();
    for grant in grants::needed(settings.builtin_auth().unwrap_or_default()) {
        if !grant.is_held(db).await? {
            lacking.push(grant.to_string());
        }
    }
    let what = if lacking.is_empty() {
        "chat_worker has its rights".to_owned()
    } else {
        format!("chat_worker lacks {}", lacking.join(", "))
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

/// Checks that the newest message decrypts, so that a wrong key is noticed before users do.
pub async fn keys(findings: &mut Findings, settings: &Settings, db: &mut PgConnection) -> Result<()> {
    let encryption = match settings.encryption() {
        Ok(encryption) => encryption,
        Err(error) => {
            return findings.advise(
                false,
                format!("keys: {error:#}"),
                "Set the same keys as the services to have them checked.",
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
    findings.check(opened, "the newest message decrypts", "It was stored with other keys.")
}
