//! Messages from the old table to the staging table: by serial id, each text sealed again from the plain column.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use shared::crypto::Keyring;
use shared::held_ids;
use shared::ids::{ConversationId, GroupId};
use sqlx::types::time::OffsetDateTime;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::groups::Known;
use super::held::write_held_conversations;
use super::runs::Run;
use super::source::Table;
use super::{Import, ids};
use crate::progress::Progress;

pub const TABLE: Table = Table {
    name: "private_messages",
    columns: &[
        ("id", "bigint"),
        ("message_id", "text"),
        ("conversation_id", "text"),
        ("sender_id", "text"),
        ("recipient_id", "text"),
        ("content", "text"),
        ("reply_to", "text"),
        ("is_edited", "boolean"),
        ("edited_at", "timestamptz"),
        ("is_deleted", "boolean"),
        ("deleted_for_everyone", "boolean"),
        ("deleted_at", "timestamptz"),
        ("created_at", "timestamptz"),
        ("updated_at", "timestamptz"),
        ("is_group_message", "boolean"),
        ("is_announcement", "boolean"),
        ("is_pinned", "boolean"),
        ("pinned_at", "timestamptz"),
        ("pinned_by_user_id", "text"),
    ],
};

#[derive(sqlx::FromRow)]
pub struct Row {
    pub id: i64,
    message_id: Option<String>,
    conversation_id: Option<String>,
    sender_id: Option<String>,
    recipient_id: Option<String>,
    content: Option<String>,
    reply_to: Option<String>,
    is_edited: Option<bool>,
    edited_at: Option<OffsetDateTime>,
    is_deleted: Option<bool>,
    deleted_for_everyone: Option<bool>,
    created_at: Option<OffsetDateTime>,
    updated_at: Option<OffsetDateTime>,
    is_group_message: Option<bool>,
    is_announcement: Option<bool>,
    is_pinned: Option<bool>,
    pinned_at: Option<OffsetDateTime>,
    pinned_by_user_id: Option<String>,
}

/// A row as this import understands it.
pub struct Message {
    pub source_id: i64,
    pub message_id: Uuid,
    /// The id that clients hold, if it is not one of ours.
    pub held_id: Option<String>,
    pub conversation: ConversationId,
    /// The same for the conversation.
    pub held_conversation: Option<String>,
    pub sender: i64,
    pub recipient: Option<i64>,
    pub kind: i16,
    pub text: String,
    pub reply_to: Option<Uuid>,
    pub created_at: OffsetDateTime,
    pub edited_at: Option<OffsetDateTime>,
    pub pinned_at: Option<OffsetDateTime>,
    pub pinned_by: Option<i64>,
    /// Deleted for everyone.
    pub is_deleted: bool,
}

impl Row {
    /// # Errors
    /// With the reason why it cannot be imported.
    pub fn understand(self, groups: &Known, decode_entities: bool) -> Result<Message, &'static str> {
        let held = self.message_id.as_deref().unwrap_or_default();
        let message_id = held_ids::message_id(held).ok_or("without an id")?.0;
        let sender = ids::user(self.sender_id.as_deref()).ok_or("the sender id is not a number")?.0;
        let (conversation, recipient) = self.place(groups)?;
        let created_at = self.created_at.or(self.updated_at).ok_or("without a time")?;
        let text = self.content.ok_or("without a text")?;
        let flag = |flag: Option<bool>| flag.unwrap_or(false);
        let pinned = flag(self.is_pinned);
        let held_conversation = self.conversation_id.filter(|id| recipient.is_some() && ids::is_own_making(id));
        Ok(Message {
            source_id: self.id,
            message_id,
            held_id: held_ids::is_made_from_text(message_id).then(|| held.to_owned()),
            conversation,
            held_conversation,
            sender,
            recipient,
            kind: if flag(self.is_announcement) { 2 } else { 1 },
            text: if decode_entities { ids::decode_entities(&text) } else { text },
            reply_to: self.reply_to.as_deref().and_then(held_ids::message_id).map(|id| id.0),
            created_at,
            edited_at: flag(self.is_edited).then(|| self.edited_at.or(self.updated_at).unwrap_or(created_at)),
            pinned_at: pinned.then(|| self.pinned_at.unwrap_or(created_at)),
            pinned_by: ids::user(self.pinned_by_user_id.as_deref()).filter(|_| pinned).map(|user| user.0),
            is_deleted: flag(self.is_deleted) && flag(self.deleted_for_everyone),
        })
    }

    /// Decided by sender and recipient and never by the conversation's id, which in rows of groups is the group's.
    fn place(&self, groups: &Known) -> Result<(ConversationId, Option<i64>), &'static str> {
        let named = [&self.recipient_id, &self.conversation_id].into_iter().flatten();
        let group = named.clone().find_map(|id| groups.get(id));
        if let Some(group) = group
            && (self.is_group_message != Some(false) || ids::user(self.recipient_id.as_deref()).is_none())
        {
            return Ok((ConversationId::Group(GroupId(*group)), None));
        }
        if self.is_group_message == Some(true) {
            return Err("of a group that is not there");
        }
        let sender = ids::user(self.sender_id.as_deref()).ok_or("the sender id is not a number")?;
        let recipient = ids::user(self.recipient_id.as_deref()).ok_or("the recipient id is not a number")?;
        if sender == recipient {
            return Err("to oneself");
        }
        Ok((ConversationId::direct(sender, recipient), Some(recipient.0)))
    }
}

/// The reason for leaving out a message whose id an earlier row has.
pub const DOUBLE: &str = "with an id that another row has";

/// Reads the old table from where the run stopped. Writes nothing without a run.
pub async fn stage(import: &mut Import<'_>, groups: &Known, run: Option<&Run>) -> Result<()> {
    if run.is_some_and(|run| run.is_staged) {
        return Ok(());
    }
    let since = run.and_then(|run| run.since.clone());
    let changed = if since.is_some() {
        "AND greatest(created_at, updated_at, edited_at, deleted_at, pinned_at) >= $3::text::timestamptz"
    } else {
        "AND $3::text IS NULL"
    };
    let query = import.source.select(&TABLE, &format!("WHERE source.id > $1 {changed} ORDER BY source.id LIMIT $2"));
    let table = import.source.table(TABLE.name);
    let (last, total): (Option<i64>, i64) = sqlx::query_as(&format!("SELECT max(id)::bigint, count(*) FROM {table}"))
        .fetch_one(&mut import.source.connection)
        .await?;
    let mut progress = Progress::with_total("private_messages read", if since.is_some() { 0 } else { total as u64 });
    let mut after = run.map_or(0, |run| run.last_id);
    // Only filled without a run; with one, numbering finds the doubles.
    let mut fitting = HashSet::new();
    while after < last.unwrap_or(0) {
        let rows: Vec<Row> = sqlx::query_as(&query)
            .bind(after)
            .bind(import.batch)
            .bind(&since)
            .fetch_all(&mut import.source.connection)
            .await
            .context("reading private_messages")?;
        let Some(newest) = rows.last().map(|row| row.id) else { break };
        after = newest;
        let count = rows.len() as u64;
        let messages = understand(import, rows, groups)?;
        match run {
            Some(run) => {
                let sealed = seal(import.keyring, messages).await?;
                write(import.target, run.run_id, &sealed, after).await?;
            }
            None => {
                for message in messages.iter().filter(|message| !message.is_deleted) {
                    if !fitting.insert(message.message_id) {
                        import.report.note(TABLE.name, DOUBLE, message.source_id)?;
                    }
                }
            }
        }
        progress.add(count);
    }
    if run.is_none() {
        import.report.imported(TABLE.name, fitting.len() as u64);
    }
    if let Some(run) = run {
        sqlx::query("UPDATE chat_import.runs SET is_staged = TRUE WHERE run_id = $1")
            .bind(run.run_id)
            .execute(&mut *import.target)
            .await?;
    }
    Ok(())
}

/// Returns the messages that can be imported, and notes the others, and those that are deleted.
fn understand(import: &mut Import<'_>, rows: Vec<Row>, groups: &Known) -> Result<Vec<Message>> {
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows {
        let id = row.id;
        match row.understand(groups, import.decode_entities) {
            Ok(message) => messages.push(message),
            Err(reason) => import.report.note(TABLE.name, reason, id)?,
        }
    }
    for message in messages.iter().filter(|message| message.is_deleted) {
        import.report.note(TABLE.name, "deleted for everyone", message.source_id)?;
    }
    Ok(messages)
}

/// Messages column by column, with their texts sealed.
#[derive(Default)]
struct Columns {
    source_id: Vec<i64>,
    message_id: Vec<Uuid>,
    conversation_id: Vec<String>,
    sender_id: Vec<i64>,
    recipient_id: Vec<Option<i64>>,
    kind: Vec<i16>,
    content: Vec<Vec<u8>>,
    iv: Vec<Vec<u8>>,
    mac: Vec<Vec<u8>>,
    key_id: Vec<i16>,
    reply_to: Vec<Option<Uuid>>,
    created_at: Vec<OffsetDateTime>,
    edited_at: Vec<Option<OffsetDateTime>>,
    pinned_at: Vec<Option<OffsetDateTime>>,
    pinned_by: Vec<Option<i64>>,
    is_deleted: Vec<bool>,
    held: Vec<(String, Uuid)>,
    held_conversations: Vec<(String, String)>,
}

/// Not on the async threads, because a batch takes some milliseconds.
async fn seal(keyring: &Keyring, messages: Vec<Message>) -> Result<Columns> {
    let keyring = keyring.clone();
    let sealing = move || {
        let mut columns = Columns::default();
        for message in messages {
            let sealed = keyring.seal(message.message_id, message.text.as_bytes());
            columns.source_id.push(message.source_id);
            columns.message_id.push(message.message_id);
            columns.conversation_id.push(message.conversation.to_string());
            columns.sender_id.push(message.sender);
            columns.recipient_id.push(message.recipient);
            columns.kind.push(message.kind);
            columns.content.push(sealed.ciphertext);
            columns.iv.push(sealed.iv.to_vec());
            columns.mac.push(sealed.mac.to_vec());
            columns.key_id.push(sealed.key_id);
            columns.reply_to.push(message.reply_to);
            columns.created_at.push(message.created_at);
            columns.edited_at.push(message.edited_at);
            columns.pinned_at.push(message.pinned_at);
            columns.pinned_by.push(message.pinned_by);
            columns.is_deleted.push(message.is_deleted);
            columns.held.extend(message.held_id.map(|held| (held, message.message_id)));
            let conversation = message.conversation.to_string();
            columns.held_conversations.extend(message.held_conversation.map(|held| (held, conversation)));
        }
        columns
    };
    Ok(tokio::task::spawn_blocking(sealing).await?)
}

/// Writes one batch and its position, in one transaction.
async fn write(target: &mut PgConnection, run_id: i64, columns: &Columns, last_id: i64) -> Result<()> {
    let mut transaction = target.begin().await?;
    sqlx::query(
        "INSERT INTO chat_import.staged (source_id, message_id, conversation_id, sender_id, recipient_id, kind, content, iv,
             mac, key_id, reply_to, created_at, edited_at, pinned_at, pinned_by, is_deleted)
         SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::smallint[], $7::bytea[],
             $8::bytea[], $9::bytea[], $10::smallint[], $11::uuid[], $12::timestamptz[], $13::timestamptz[],
             $14::timestamptz[], $15::bigint[], $16::boolean[])
         ON CONFLICT DO NOTHING",
    )
    .bind(&columns.source_id)
    .bind(&columns.message_id)
    .bind(&columns.conversation_id)
    .bind(&columns.sender_id)
    .bind(&columns.recipient_id)
    .bind(&columns.kind)
    .bind(&columns.content)
    .bind(&columns.iv)
    .bind(&columns.mac)
    .bind(&columns.key_id)
    .bind(&columns.reply_to)
    .bind(&columns.created_at)
    .bind(&columns.edited_at)
    .bind(&columns.pinned_at)
    .bind(&columns.pinned_by)
    .bind(&columns.is_deleted)
    .execute(&mut *transaction)
    .await
    .context("staging messages")?;
    let (held, messages): (Vec<&str>, Vec<Uuid>) = columns.held.iter().map(|(held, id)| (held.as_str(), *id)).unzip();
    sqlx::query("INSERT INTO held_message_ids SELECT * FROM unnest($1::text[], $2::uuid[]) ON CONFLICT DO NOTHING")
        .bind(&held)
        .bind(&messages)
        .execute(&mut *transaction)
        .await?;
    write_held_conversations(&mut transaction, &columns.held_conversations).await?;
    sqlx::query("UPDATE chat_import.runs SET last_id = $2 WHERE run_id = $1")
        .bind(run_id)
        .bind(last_id)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}
