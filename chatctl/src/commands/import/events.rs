//! When users were last seen, and their waiting events other than messages.

use anyhow::{Context as _, Result};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shared::clock::Timestamp;
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use super::source::Table;
use super::{Import, ids};

const STATUS: Table =
    Table { name: "user_status", columns: &[("id", "bigint"), ("user_id", "text"), ("last_seen", "timestamptz")] };

const QUEUE: Table = Table {
    name: "event_queue",
    columns: &[
        ("id", "bigint"),
        ("user_id", "text"),
        ("event_type", "text"),
        ("event_data", "text"),
        ("created_at", "timestamptz"),
        ("delivered_at", "timestamptz"),
    ],
};

/// Events that come with the messages themselves: they are replayed from what is unread.
const OF_MESSAGES: [&str; 8] = [
    "new_message",
    "new_private_message",
    "private_message",
    "new_group_message",
    "group_message",
    "group_announcement",
    "new_announcement",
    "mentioned_in_group",
];

#[derive(sqlx::FromRow)]
struct Status {
    id: i64,
    user_id: Option<String>,
    last_seen: Option<OffsetDateTime>,
}

#[derive(sqlx::FromRow)]
struct Queued {
    id: i64,
    user_id: Option<String>,
    event_type: Option<String>,
    event_data: Option<String>,
    created_at: Option<OffsetDateTime>,
    delivered_at: Option<OffsetDateTime>,
}

pub async fn run(import: &mut Import<'_>) -> Result<()> {
    status(import).await?;
    queue(import).await
}

async fn status(import: &mut Import<'_>) -> Result<()> {
    if !import.source.has(STATUS.name).await? {
        return Ok(());
    }
    let mut after = 0;
    loop {
        let rows: Vec<Status> = import.source.page(&STATUS, after, import.batch).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.id;
        let (mut users, mut times) = (Vec::new(), Vec::new());
        for row in rows {
            match (ids::user(row.user_id.as_deref()), row.last_seen) {
                (Some(user), Some(time)) => {
                    users.push(user.0);
                    times.push(time);
                }
                (None, _) => import.report.note(STATUS.name, "the user id is not a number", row.id)?,
                (_, None) => import.report.note(STATUS.name, "never seen", row.id)?,
            }
        }
        import.report.imported(STATUS.name, users.len() as u64);
        if import.dry_run {
            continue;
        }
        sqlx::query(
            "INSERT INTO user_status AS s (user_id, last_seen_at)
             SELECT user_id, max(at) FROM unnest($1::bigint[], $2::timestamptz[]) AS n (user_id, at) GROUP BY 1
             ON CONFLICT (user_id) DO UPDATE SET last_seen_at = greatest(s.last_seen_at, excluded.last_seen_at)",
        )
        .bind(&users)
        .bind(&times)
        .execute(&mut *import.target)
        .await
        .context("storing when users were seen")?;
    }
}

async fn queue(import: &mut Import<'_>) -> Result<()> {
    if !import.source.has(QUEUE.name).await? {
        return Ok(());
    }
    let mut after = 0;
    loop {
        let rows: Vec<Queued> = import.source.page(&QUEUE, after, import.batch).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.id;
        for row in rows.into_iter().filter(|row| row.delivered_at.is_none()) {
            let kind = row.event_type.unwrap_or_default();
            let data = row.event_data.as_deref().and_then(|data| serde_json::from_str::<Value>(data).ok());
            let Some(user) = ids::user(row.user_id.as_deref()) else {
                import.report.note(QUEUE.name, "the user id is not a number", row.id)?;
                continue;
            };
            if OF_MESSAGES.contains(&kind.as_str()) {
                import.report.note(QUEUE.name, "of a message, which is replayed by itself", row.id)?;
                continue;
            }
            let Some(Value::Object(fields)) = data.filter(|_| !kind.is_empty()) else {
                import.report.note(QUEUE.name, "without a type, or not an object", row.id)?;
                continue;
            };
            import.report.imported(QUEUE.name, 1);
            if import.dry_run {
                continue;
            }
            let created_at = row.created_at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
            let event_id = event_id(&import.source.name, row.id, created_at);
            let body = import.keyring.seal_blob(event_id, &body(&kind, fields, event_id, created_at));
            sqlx::query(
                "WITH event AS (
                     INSERT INTO event_log (event_id, body, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
                     RETURNING event_id
                 )
                 INSERT INTO event_queue (user_id, event_id, created_at) SELECT $4, event_id, $3 FROM event
                 ON CONFLICT DO NOTHING",
            )
            .bind(event_id)
            .bind(&body)
            .bind(created_at)
            .bind(user.0)
            .execute(&mut *import.target)
            .await
            .context("storing an event that waits")?;
        }
    }
}

/// The same in every run. Replays are ordered by these ids, so they begin with the time.
fn event_id(source: &str, row: i64, created_at: OffsetDateTime) -> Uuid {
    let digest = Sha256::new().chain_update("event").chain_update(source).chain_update(row.to_be_bytes()).finalize();
    let random: [u8; 10] = std::array::from_fn(|place| digest[place]);
    let milliseconds = (created_at.unix_timestamp_nanos() / 1_000_000).max(0);
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(milliseconds).unwrap_or(0), &random).into_uuid()
}

/// The event as this server stores it: flat, its type first.
fn body(kind: &str, mut fields: serde_json::Map<String, Value>, event_id: Uuid, created_at: OffsetDateTime) -> Vec<u8> {
    fields.remove("type");
    let mut event = serde_json::Map::new();
    event.insert("type".to_owned(), kind.into());
    event.insert("eventId".to_owned(), event_id.to_string().into());
    event.append(&mut fields);
    event.entry("timestamp").or_insert_with(|| Timestamp::from(created_at).to_string().into());
    // The original had no versions: whatever a client holds is at least as new as this.
    event.entry("version").or_insert_with(|| 1.into());
    Value::Object(event).to_string().into_bytes()
}
