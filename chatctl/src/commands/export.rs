//! `chatctl user export`: everything that is stored about one user, as one JSON document, row by row.
//!
//! Messages are those the user sent anywhere and those received in direct conversations and not put away. Other
//! members' messages in groups are left out. Events are those that wait for the user and those kept after delivery,
//! complete.

use std::io::{BufWriter, Write};

use anyhow::{Result, bail};
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::crypto::Keyring;
use shared::metadata::Metadata;
use shared::personal_data::{SEALED_SECTIONS, SECTIONS, open_row};
use sqlx::PgConnection;
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use crate::progress::Progress;
use crate::settings::Settings;
use crate::{audit, database};

const MESSAGES: &str = "
    SELECT p.message_id, p.conversation_id, p.seq, p.sender_id, p.content, p.iv, p.mac, p.key_id, p.created_at, p.edited_at,
        p.mentions, p.reply_to_message_id, CASE WHEN p.sender_id = $1 THEN p.client_message_id END AS client_message_id,
        p.metadata
    FROM private_messages p
    WHERE p.sender_id = $1
       OR (p.recipient_id = $1
           AND p.seq > coalesce((SELECT m.cleared_seq FROM conversation_members m
                                 WHERE m.user_id = $1 AND m.conversation_id = p.conversation_id), 0)
           AND NOT EXISTS (SELECT FROM message_deletions d
                           WHERE d.user_id = $1 AND d.conversation_id = p.conversation_id AND d.seq = p.seq))
    ORDER BY p.conversation_id, p.seq";

#[derive(sqlx::FromRow)]
struct MessageRow {
    message_id: Uuid,
    conversation_id: String,
    seq: i64,
    sender_id: i64,
    content: Vec<u8>,
    iv: Vec<u8>,
    mac: Option<Vec<u8>>,
    key_id: i16,
    created_at: OffsetDateTime,
    edited_at: Option<OffsetDateTime>,
    mentions: Option<Vec<i64>>,
    reply_to_message_id: Option<Uuid>,
    /// The sender's own id for it.
    client_message_id: Option<String>,
    metadata: Option<Vec<u8>>,
}

const EVENTS: &str = r"
    SELECT q.event_id, l.body, q.created_at, q.delivered_at
    FROM event_queue q JOIN event_log l USING (event_id) WHERE q.user_id = $1
    UNION ALL
    SELECT c.event_id, c.body, c.at, NULL
    FROM conversation_members m
    JOIN conversation_changes c ON c.conversation_id = m.conversation_id AND c.event_id IS NOT NULL
        AND c.actor_id IS DISTINCT FROM m.user_id
    WHERE m.user_id = $1 AND (m.conversation_id NOT LIKE 'group\_%' OR EXISTS (
            SELECT FROM group_members g WHERE g.group_id = m.conversation_id AND g.user_id = $1 AND g.joined_at <= c.at))
        AND (c.about IS NULL OR EXISTS (
            SELECT FROM private_messages p WHERE p.message_id = c.about AND p.seq > m.cleared_seq AND NOT EXISTS (
                SELECT FROM message_deletions d
                WHERE d.user_id = $1 AND d.conversation_id = p.conversation_id AND d.seq = p.seq)))
    ORDER BY event_id";

#[derive(sqlx::FromRow)]
struct EventRow {
    event_id: Uuid,
    body: Vec<u8>,
    created_at: OffsetDateTime,
    delivered_at: Option<OffsetDateTime>,
}

/// Writes the document to stdout.
///
/// # Errors
/// Also when messages or events do not decrypt; they appear in the document without content, and are named on stderr.
pub async fn run(settings: &Settings, user: &str) -> Result<()> {
    let encryption = settings.encryption()?;
    let keyring = tokio::task::spawn_blocking(move || Keyring::derive(&encryption)).await??;
    let mut connection = database::connect(settings).await?;
    let user = database::get_id(&mut connection, user).await?;
    audit::record(&mut connection, "user export", Some(user), json!({})).await?;

    let mut out = BufWriter::new(std::io::stdout().lock());
    write!(out, "{{\"exportedAt\":{}", json!(Timestamp::now()))?;
    for name in SECTIONS {
        let mut progress = Progress::new(name);
        write!(out, ",\n{}:[", json!(name))?;
        let query = sqlx::query_scalar::<_, String>("SELECT * FROM chat_personal_data($1, $2)");
        let mut rows = query.bind(user).bind(name).fetch(&mut connection);
        while let Some(mut row) = rows.try_next().await? {
            if SEALED_SECTIONS.contains(&name) {
                let mut value = serde_json::from_str(&row)?;
                open_row(&keyring, name, &mut value);
                row = value.to_string();
            }
            write!(out, "{}{row}", if progress.count() == 0 { "\n" } else { ",\n" })?;
            progress.add(1);
        }
        write!(out, "]")?;
    }
    let mut unreadable = messages(&mut out, &mut connection, &keyring, user).await?;
    unreadable += events(&mut out, &mut connection, &keyring, user).await?;
    writeln!(out, "}}")?;
    out.flush()?;
    if unreadable > 0 {
        bail!("{unreadable} messages or events do not decrypt");
    }
    Ok(())
}

/// Returns how many did not decrypt.
async fn messages(out: &mut impl Write, connection: &mut PgConnection, keyring: &Keyring, user: i64) -> Result<u64> {
    let mut progress = Progress::new("messages");
    let mut unreadable = 0;
    write!(out, ",\n\"messages\":[")?;
    let mut rows = sqlx::query_as::<_, MessageRow>(MESSAGES).bind(user).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let content = match keyring.open(row.message_id, row.key_id, &row.iv, row.mac.as_deref(), &row.content) {
            Ok(plain) => Value::from(String::from_utf8_lossy(&plain)),
            Err(error) => {
                unreadable += 1;
                eprintln!("message {}: {error}", row.message_id);
                Value::Null
            }
        };
        let opened = row.metadata.map(|sealed| Metadata::open(keyring, row.message_id, &sealed)).transpose();
        let metadata = opened.unwrap_or_else(|error| {
            unreadable += 1;
            eprintln!("metadata of message {}: {error}", row.message_id);
            None
        });
        let message = json!({
            "messageId": message_id(row.message_id),
            "conversationId": row.conversation_id,
            "seq": row.seq,
            "senderId": row.sender_id.to_string(),
            "content": content,
            "createdAt": Timestamp::from(row.created_at),
            "editedAt": row.edited_at.map(Timestamp::from),
            "mentions": row.mentions.unwrap_or_default().into_iter().map(mention).collect::<Vec<_>>(),
            "replyToMessageId": row.reply_to_message_id.map(message_id),
            "clientMessageId": row.client_message_id,
            "metadata": metadata,
        });
        write!(out, "{}{message}", if progress.count() == 0 { "\n" } else { ",\n" })?;
        progress.add(1);
    }
    write!(out, "]")?;
    Ok(unreadable)
}

fn message_id(id: Uuid) -> String {
    format!("msg_{id}")
}

/// A mention as clients read it, without the name.
fn mention(user: i64) -> Value {
    match user {
        0 => json!({"type": "everyone"}),
        user => json!({"type": "user", "userId": user.to_string()}),
    }
}

/// Returns how many did not decrypt.
async fn events(out: &mut impl Write, connection: &mut PgConnection, keyring: &Keyring, user: i64) -> Result<u64> {
    let mut progress = Progress::new("events");
    let mut unreadable = 0;
    write!(out, ",\n\"events\":[")?;
    let mut rows = sqlx::query_as::<_, EventRow>(EVENTS).bind(user).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let event = match keyring.open_blob(row.event_id, &row.body) {
            Ok(plain) => {
                serde_json::from_slice(&plain).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&plain)))
            }
            Err(error) => {
                unreadable += 1;
                eprintln!("event {}: {error}", row.event_id);
                Value::Null
            }
        };
        let event = json!({
            "event": event,
            "createdAt": Timestamp::from(row.created_at),
            "deliveredAt": row.delivered_at.map(Timestamp::from),
        });
        write!(out, "{}{event}", if progress.count() == 0 { "\n" } else { ",\n" })?;
        progress.add(1);
    }
    write!(out, "]")?;
    Ok(unreadable)
}
