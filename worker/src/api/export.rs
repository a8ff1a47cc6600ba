//! `GET /api/server/v1/users/{userId}/export`: everything that is stored about a user, one part at a time. A part is
//! bounded in rows, in bytes, and in the number of messages searched, so it may be empty and still not be the last.

use serde::Serialize;
use serde_json::Value;
use shared::clock::Timestamp;
use shared::cursor::Cursor;
use shared::http::{Exported, ExportedEvent, ExportedMessage, ExportedRows, Success};
use shared::ids::{EventId, MessageId, UserId};
use shared::limits::{MAX_EXPORTED_BYTES, MAX_EXPORTED_ROWS};
use shared::personal_data::{SECTIONS, open_row};
use shared::stream::{Envelope, ExportPosition};
use uuid::Uuid;

use crate::app::App;
use crate::error::Failure;
use crate::metadata;
use crate::outcome::Outcome;
use crate::store::personal_data::{self, StoredEvent, StoredMessage};
use crate::store::session::PgSession;

/// How many messages of any sender are searched for one part: no index leads to a user's own messages.
const MESSAGES_SEARCHED: i64 = 20_000;

pub async fn list(
    app: &App,
    envelope: &Envelope,
    user: UserId,
    after: Option<ExportPosition>,
) -> Result<Outcome, Failure> {
    let mut db = app.db.acquire().await?;
    let mut position = after.or_else(|| start_of(SECTIONS.first()));
    let mut part = ExportPart::default();
    while let Some(from) = position.take() {
        position = match from {
            ExportPosition::Rows { section, after } => rows(app, &mut db, &mut part, user, &section, &after).await?,
            ExportPosition::Messages { after } => messages(app, &mut db, &mut part, user, MessageId(after)).await?,
            ExportPosition::Events { after } => events(app, &mut db, &mut part, user, EventId(after)).await?,
        };
        if part.is_done {
            break;
        }
    }
    let next_cursor = position.map(|position| position.to_text());
    super::ok(envelope, &Exported { status: Success::Ok, parts: part.parts, next_cursor })
}

/// The content of one answer.
#[derive(Default)]
struct ExportPart {
    parts: Vec<ExportedRows>,
    rows: usize,
    bytes: usize,
    /// True if there is nothing more to search.
    is_done: bool,
}

impl ExportPart {
    fn left(&self) -> i64 {
        (MAX_EXPORTED_ROWS - self.rows) as i64
    }

    /// Adds a row unless the part is full.
    fn push(&mut self, section: &'static str, row: Value) -> bool {
        let bytes = row.to_string().len();
        self.is_done = self.rows > 0 && self.bytes + bytes > MAX_EXPORTED_BYTES;
        if self.is_done {
            return false;
        }
        self.rows += 1;
        self.bytes += bytes;
        self.is_done = self.rows == MAX_EXPORTED_ROWS;
        match self.parts.last_mut() {
            Some(last) if last.section == section => last.rows.push(row),
            _ => self.parts.push(ExportedRows { section, rows: vec![row] }),
        }
        true
    }
}

fn start_of(section: Option<&&str>) -> Option<ExportPosition> {
    let rows = |section: &&str| ExportPosition::Rows { section: (*section).to_owned(), after: String::new() };
    Some(section.map_or(ExportPosition::Messages { after: Uuid::nil() }, rows))
}

fn json<T: Serialize>(value: &T) -> Result<Value, Failure> {
    Ok(serde_json::to_value(value).map_err(anyhow::Error::from)?)
}

async fn rows(
    app: &App,
    db: &mut PgSession,
    part: &mut ExportPart,
    user: UserId,
    section: &str,
    after: &str,
) -> Result<Option<ExportPosition>, Failure> {
    // Only this process makes cursors; one of another version may name a section that does not exist here.
    let Some(place) = SECTIONS.iter().position(|known| *known == section) else { return Ok(None) };
    let limit = part.left();
    let found = personal_data::list_rows(db, user, section, after, limit).await?;
    let is_whole = (found.len() as i64) < limit;
    let mut after = after.to_owned();
    for row in found {
        let mut value = serde_json::from_str(&row.json).map_err(anyhow::Error::from)?;
        open_row(&app.keyring, section, &mut value);
        if !part.push(SECTIONS[place], value) {
            return Ok(Some(ExportPosition::Rows { section: section.to_owned(), after }));
        }
        after = row.digest;
    }
    if is_whole {
        return Ok(start_of(SECTIONS.get(place + 1)));
    }
    Ok(Some(ExportPosition::Rows { section: section.to_owned(), after }))
}

async fn messages(
    app: &App,
    db: &mut PgSession,
    part: &mut ExportPart,
    user: UserId,
    after: MessageId,
) -> Result<Option<ExportPosition>, Failure> {
    let through = personal_data::find_later_message(db, after, MESSAGES_SEARCHED).await?;
    let limit = part.left();
    let found = personal_data::list_messages(db, user, after, through.unwrap_or(MessageId(Uuid::max())), limit).await?;
    let is_whole = (found.len() as i64) < limit;
    let mut after = after;
    for message in found {
        let id = message.message_id;
        if !part.push("messages", json(&opened(app, message))?) {
            return Ok(Some(ExportPosition::Messages { after: after.0 }));
        }
        after = id;
    }
    match (is_whole, through) {
        (false, _) => Ok(Some(ExportPosition::Messages { after: after.0 })),
        (true, Some(through)) => {
            part.is_done = true;
            Ok(Some(ExportPosition::Messages { after: through.0 }))
        }
        (true, None) => Ok(Some(ExportPosition::Events { after: Uuid::nil() })),
    }
}

fn opened(app: &App, message: StoredMessage) -> ExportedMessage {
    let plain =
        app.keyring.open(message.message_id.0, message.key_id, &message.iv, message.mac.as_deref(), &message.content);
    ExportedMessage {
        message_id: message.message_id,
        conversation_id: message.conversation_id,
        seq: message.seq,
        sender_id: message.sender_id,
        content: plain.ok().map(|plain| String::from_utf8_lossy(&plain).into_owned()),
        created_at: message.created_at.into(),
        edited_at: message.edited_at.map(Timestamp::from),
        reply_to_message_id: message.reply_to_message_id,
        client_message_id: message.client_message_id,
        metadata: metadata::of_message(app, message.message_id, message.metadata.as_deref()).unwrap_or_default(),
    }
}

async fn events(
    app: &App,
    db: &mut PgSession,
    part: &mut ExportPart,
    user: UserId,
    after: EventId,
) -> Result<Option<ExportPosition>, Failure> {
    let limit = part.left();
    let found = personal_data::list_events(db, user, after, limit).await?;
    let is_whole = (found.len() as i64) < limit;
    let mut after = after;
    for event in found {
        let id = event.event_id;
        if !part.push("events", json(&opened_event(app, event))?) {
            return Ok(Some(ExportPosition::Events { after: after.0 }));
        }
        after = id;
    }
    Ok((!is_whole).then_some(ExportPosition::Events { after: after.0 }))
}

fn opened_event(app: &App, event: StoredEvent) -> ExportedEvent {
    let plain = app.keyring.open_blob(event.event_id.0, &event.body).ok();
    ExportedEvent {
        event: plain.and_then(|plain| serde_json::from_slice(&plain).ok()),
        created_at: event.created_at.into(),
        delivered_at: event.delivered_at.map(Timestamp::from),
    }
}
