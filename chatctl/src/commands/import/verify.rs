//! Compares the import with its source: the text, time, sender and place of every message, the number in each
//! conversation, and that the messages have the same order.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result};
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use super::messages::{Message, Row, TABLE};
use super::{Import, groups, runs};
use crate::progress::Progress;

#[derive(sqlx::FromRow)]
struct Stored {
    message_id: Uuid,
    conversation_id: String,
    sender_id: i64,
    content: Vec<u8>,
    iv: Vec<u8>,
    mac: Option<Vec<u8>>,
    key_id: i16,
    created_at: OffsetDateTime,
}

/// Returns the number of differences. Each is in the report; so are messages that one side has since deleted, which do
/// not count.
pub async fn run(import: &mut Import<'_>) -> Result<u64> {
    runs::check(import).await?;
    let known = groups::known(import.source).await?;
    let mut differences = 0;
    let mut expected: HashMap<String, i64> = HashMap::new();
    let mut progress = Progress::new("private_messages compared");
    let (mut after, mut gone) = (0, Vec::new());
    loop {
        let rows: Vec<Row> = import.source.page(&TABLE, after, import.batch).await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        gone.extend(gone_within(import, after, &ids).await?);
        let Some(last) = rows.last() else { break };
        after = last.id;
        progress.add(rows.len() as u64);
        let messages: Vec<Message> =
            rows.into_iter().filter_map(|row| row.understand(&known, import.decode_entities).ok()).collect();
        differences += compare(import, messages, &mut expected).await?;
    }
    differences += count(import, &expected, &gone).await?;
    differences += order(import).await?;
    let compared: i64 = expected.values().sum();
    import.report.imported("private_messages compared", compared.unsigned_abs());
    Ok(differences)
}

/// Imported messages after this source row, up to the last of `ids`, whose own rows have since been deleted there.
async fn gone_within(import: &mut Import<'_>, after: i64, ids: &[i64]) -> Result<Vec<i64>> {
    let gone: Vec<i64> = sqlx::query_scalar(
        "SELECT source_id FROM chat_import.messages WHERE source_id > $1 AND source_id <= $2 AND source_id <> ALL ($3)",
    )
    .bind(after)
    .bind(ids.last().copied().unwrap_or(i64::MAX))
    .bind(ids)
    .fetch_all(&mut *import.target)
    .await
    .context("there was no import")?;
    for id in &gone {
        import.report.note("verify", "imported, and gone from the source since", id)?;
    }
    Ok(gone)
}

async fn compare(import: &mut Import<'_>, messages: Vec<Message>, expected: &mut HashMap<String, i64>) -> Result<u64> {
    let ids: Vec<Uuid> = messages.iter().map(|message| message.message_id).collect();
    let rows: Vec<Stored> = sqlx::query_as(
        "SELECT message_id, conversation_id, sender_id, content, iv, mac, key_id, created_at FROM private_messages
         WHERE message_id = ANY($1)",
    )
    .bind(&ids)
    .fetch_all(&mut *import.target)
    .await?;
    let stored: HashMap<Uuid, Stored> = rows.into_iter().map(|row| (row.message_id, row)).collect();
    // If several rows have one id, the first one was imported.
    let first: HashMap<i64, Uuid> = sqlx::query_as::<_, (i64, Uuid)>(
        "SELECT source_id, message_id FROM chat_import.messages WHERE source_id = ANY($1)",
    )
    .bind(messages.iter().map(|message| message.source_id).collect::<Vec<_>>())
    .fetch_all(&mut *import.target)
    .await
    .context("there was no import")?
    .into_iter()
    .collect();
    let conversations: Vec<String> = messages.iter().map(|message| message.conversation.to_string()).collect();
    // The conversations in which the new server has neither written nor deleted anything.
    let untouched: HashSet<String> = sqlx::query_scalar(
        "SELECT conversation_id FROM conversations c JOIN chat_import.conversations i USING (conversation_id)
         WHERE conversation_id = ANY ($1) AND i.version = c.version",
    )
    .bind(conversations)
    .fetch_all(&mut *import.target)
    .await?
    .into_iter()
    .collect();
    let mut differences = 0;
    for message in messages {
        let is_taken = first.contains_key(&message.source_id);
        let problem = match stored.get(&message.message_id) {
            None if message.is_deleted => continue,
            None if is_taken && !untouched.contains(&message.conversation.to_string()) => {
                import.report.note("verify", "imported, and deleted here since", message.source_id)?;
                continue;
            }
            Some(_) if message.is_deleted => "deleted for everyone there, and here",
            None => "not here",
            Some(_) if !is_taken => continue,
            Some(row) => {
                *expected.entry(row.conversation_id.clone()).or_default() += 1;
                let Some(difference) = difference(import, row, &message) else { continue };
                difference
            }
        };
        differences += 1;
        import.report.note("verify", problem, message.source_id)?;
    }
    Ok(differences)
}

/// How a message differs from the one that it was imported from.
fn difference(import: &Import<'_>, row: &Stored, message: &Message) -> Option<&'static str> {
    if row.conversation_id != message.conversation.to_string() {
        return Some("in another conversation");
    }
    if row.sender_id != message.sender {
        return Some("by another sender");
    }
    if row.created_at != message.created_at {
        return Some("of another time");
    }
    let text = import.keyring.open(row.message_id, row.key_id, &row.iv, row.mac.as_deref(), &row.content);
    (text.ok().as_deref() != Some(message.text.as_bytes())).then_some("with another text")
}

/// Compares the number of imported messages in each conversation.
async fn count(import: &mut Import<'_>, expected: &HashMap<String, i64>, gone: &[i64]) -> Result<u64> {
    let here: Vec<(String, i64)> = sqlx::query_as(
        "SELECT m.conversation_id, count(*) FROM chat_import.messages m
         JOIN private_messages p ON p.message_id = m.message_id WHERE m.source_id <> ALL ($1) GROUP BY 1",
    )
    .bind(gone)
    .fetch_all(&mut *import.target)
    .await?;
    let mut differences = 0;
    for (conversation, count) in &here {
        if expected.get(conversation) != Some(count) {
            differences += 1;
            import.report.note("verify", "a conversation with another number of messages", conversation)?;
        }
    }
    Ok(differences)
}

async fn order(import: &mut Import<'_>) -> Result<u64> {
    let disordered: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT o.conversation_id FROM (
             SELECT p.conversation_id, p.seq,
                 lag(p.seq) OVER (PARTITION BY p.conversation_id ORDER BY m.created_at, m.source_id) AS before
             FROM chat_import.messages m JOIN private_messages p ON p.message_id = m.message_id) o
         WHERE o.seq <= o.before",
    )
    .fetch_all(&mut *import.target)
    .await?;
    for conversation in &disordered {
        import.report.note("verify", "a conversation in another order", conversation)?;
    }
    Ok(disordered.len() as u64)
}
