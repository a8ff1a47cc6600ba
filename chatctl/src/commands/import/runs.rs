//! One run of the import: begun, resumed, finished.

use anyhow::{Result, bail};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Import;

pub struct Run {
    pub run_id: i64,
    pub source: String,
    /// As Postgres prints it.
    pub since: Option<String>,
    pub last_id: i64,
    pub is_staged: bool,
}

/// Continues an interrupted run with the same options, or begins a new one.
pub async fn begin(import: &mut Import<'_>, since: Option<&str>) -> Result<Run> {
    // Held until the connection ends: two imports at once would number messages twice.
    let alone: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended('chatctl import', 0))")
        .fetch_one(&mut *import.target)
        .await?;
    if !alone {
        bail!("another import is running");
    }
    let source = import.source.name.clone();
    let other: Option<String> = sqlx::query_scalar("SELECT source FROM chat_import.runs WHERE source <> $1 LIMIT 1")
        .bind(&source)
        .fetch_optional(&mut *import.target)
        .await?;
    if let Some(other) = other {
        bail!("this database has an import from {other}; drop the schema chat_import to also import from {source}");
    }
    check(import).await?;
    let unfinished: Option<(i64, i64, bool)> = sqlx::query_as(
        "SELECT run_id, last_id, is_staged FROM chat_import.runs
         WHERE finished_at IS NULL AND since IS NOT DISTINCT FROM $1::text::timestamptz AND decode = $2
             AND run_id = (SELECT max(run_id) FROM chat_import.runs)",
    )
    .bind(since)
    .bind(import.decode_entities)
    .fetch_optional(&mut *import.target)
    .await?;
    let since_text = since.map(str::to_owned);
    if let Some((run_id, last_id, is_staged)) = unfinished {
        eprintln!("going on with a run that was broken off after {last_id}");
        return Ok(Run { run_id, source, since: since_text, last_id, is_staged });
    }
    sqlx::query("TRUNCATE chat_import.staged").execute(&mut *import.target).await?;
    let run_id: i64 = sqlx::query_scalar(
        "INSERT INTO chat_import.runs (source, since, decode, time_zone) VALUES ($1, $2::text::timestamptz, $3, $4)
         RETURNING run_id",
    )
    .bind(&source)
    .bind(since)
    .bind(import.decode_entities)
    .bind(import.time_zone)
    .fetch_one(&mut *import.target)
    .await?;
    Ok(Run { run_id, source, since: since_text, last_id: 0, is_staged: false })
}

#[derive(sqlx::FromRow)]
struct Sealed {
    message_id: Uuid,
    key_id: i16,
    iv: Vec<u8>,
    mac: Option<Vec<u8>>,
    content: Vec<u8>,
}

/// Checks that the options that decide how texts and times are read and sealed are the same as in earlier runs.
///
/// # Errors
/// With the option that differs.
pub async fn check(import: &mut Import<'_>) -> Result<()> {
    let before: Option<(bool, String)> = sqlx::query_as(
        "SELECT decode, time_zone FROM chat_import.runs WHERE EXISTS (SELECT FROM chat_import.messages)
             ORDER BY run_id LIMIT 1",
    )
    .fetch_optional(&mut *import.target)
    .await?;
    if let Some((decode, time_zone)) = before {
        if decode != import.decode_entities {
            let given = if decode { "given" } else { "not given" };
            bail!("--decode-entities was {given} in the import before: it belongs into every run or into none");
        }
        if time_zone != import.time_zone {
            bail!("--time-zone was {time_zone} in the import before");
        }
    }
    let stored: Option<Sealed> = sqlx::query_as(
        "SELECT p.message_id, p.key_id, p.iv, p.mac, p.content FROM chat_import.messages m
         JOIN private_messages p ON p.message_id = m.message_id ORDER BY m.source_id DESC LIMIT 1",
    )
    .fetch_optional(&mut *import.target)
    .await?;
    if let Some(sealed) = stored
        && import
            .keyring
            .open(sealed.message_id, sealed.key_id, &sealed.iv, sealed.mac.as_deref(), &sealed.content)
            .is_err()
    {
        bail!("CHAT_ENCRYPTION_KEYS: these keys cannot read what was imported before");
    }
    Ok(())
}

pub async fn finish(target: &mut PgConnection, run: &Run) -> Result<()> {
    sqlx::query("UPDATE chat_import.runs SET finished_at = now() WHERE run_id = $1")
        .bind(run.run_id)
        .execute(target)
        .await?;
    Ok(())
}
