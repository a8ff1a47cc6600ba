//! What a delivery says: `id`, `type`, `timestamp` and `data`. Messages are read when they are delivered, so that
//! content deleted or erased meanwhile is not sent.

use std::collections::HashMap;

use anyhow::Context;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::clock::Timestamp;
use shared::events::message::Message;
use shared::ids::{MessageId, UserId};
use shared::webhooks::WebhookEvent;

use crate::app::App;
use crate::error::Failure;
use crate::history::show_as_new;
use crate::store::history;
use crate::store::session::PgSession;
use crate::store::users::NOBODY;
use crate::store::webhooks::DeliveryRow;

/// Larger bodies lose their longest lists.
pub const MAX_BYTES: usize = 256 * 1024;

/// The messages that deliveries are about: `None` for one that is stored and cannot be read.
pub type Messages = HashMap<MessageId, Option<Message>>;

/// A delivery with its own body needs no message, except a report, which has both.
fn shows_message(row: &DeliveryRow) -> bool {
    row.body.is_none() || row.event == WebhookEvent::MessageReported.as_str()
}

/// Reads the messages that these deliveries are about.
pub async fn load_messages(app: &App, db: &mut PgSession, rows: &[DeliveryRow]) -> Result<Messages, Failure> {
    let ids: Vec<MessageId> = rows.iter().filter(|row| shows_message(row)).filter_map(|row| row.about).collect();
    if ids.is_empty() {
        return Ok(Messages::new());
    }
    let stored = history::list_by_id(db, &ids).await?;
    let mut messages: Messages = stored.iter().map(|row| (row.message_id, None)).collect();
    for message in show_as_new(app, db, NOBODY, &stored).await? {
        messages.insert(message.message_id, Some(message));
    }
    Ok(messages)
}

/// The data of a delivery, without the recipients of a push.
///
/// # Errors
/// When the body or the message cannot be read.
pub fn data(app: &App, row: &DeliveryRow, messages: &Messages) -> anyhow::Result<Value> {
    if let Some(sealed) = &row.body {
        let plain = app.keyring.open_blob(row.event_id.0, sealed).context("its body cannot be decrypted")?;
        let mut told: Map<String, Value> = serde_json::from_slice(&plain).context("its body cannot be parsed")?;
        for field in ["type", "eventId", "timestamp"] {
            told.remove(field);
        }
        if shows_message(row) {
            let message = row.about.and_then(|about| messages.get(&about));
            told.insert("message".to_owned(), serde_json::to_value(message)?);
        }
        return Ok(Value::Object(told));
    }
    let about = row.about.context("it has neither a body nor a message")?;
    match messages.get(&about) {
        Some(Some(message)) => Ok(serde_json::to_value(message)?),
        Some(None) => anyhow::bail!("the message cannot be decrypted"),
        // Deleted since.
        None => Ok(json!({"messageId": about, "conversationId": row.topic, "content": null, "removed": true})),
    }
}

/// The data of a push: the message, and its recipients.
pub fn push(message: Value, recipients: &[UserId]) -> Value {
    json!({"message": message, "recipientIds": recipients})
}

#[derive(Serialize)]
struct Delivery<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    event: &'a str,
    timestamp: Timestamp,
    data: &'a Value,
}

/// Encodes the body.
///
/// # Errors
/// When it is too large even without its lists.
pub fn encode(id: &str, row: &DeliveryRow, mut data: Value) -> anyhow::Result<Bytes> {
    loop {
        let delivery = Delivery { id, event: &row.event, timestamp: row.happened_at.into(), data: &data };
        let json = serde_json::to_vec(&delivery)?;
        if json.len() <= MAX_BYTES {
            return Ok(json.into());
        }
        let longest = data.as_object_mut().and_then(leave_out_longest);
        let longest = longest.context("it is too large")?;
        if let Some(fields) = data.as_object_mut() {
            let omitted = fields.entry("omitted").or_insert_with(|| json!([]));
            omitted.as_array_mut().context("it is too large")?.push(longest.into());
        }
    }
}

/// Removes the longest list or object; returns its name.
fn leave_out_longest(fields: &mut Map<String, Value>) -> Option<String> {
    let lists = fields.iter().filter(|(name, value)| (value.is_array() || value.is_object()) && *name != "omitted");
    let longest = lists.max_by_key(|(_, value)| value.to_string().len()).map(|(name, _)| name.clone())?;
    fields.remove(&longest);
    Some(longest)
}

#[cfg(test)]
mod tests {
    use shared::ids::EventId;
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;

    fn row() -> DeliveryRow {
        DeliveryRow {
            delivery_id: 1,
            topic: "conv_1_2".to_owned(),
            event: "group.created".to_owned(),
            event_id: EventId(Uuid::nil()),
            about: None,
            body: None,
            happened_at: OffsetDateTime::UNIX_EPOCH,
            after_user: UserId(0),
        }
    }

    #[test]
    fn a_body_that_is_too_large_loses_its_longest_lists() {
        let members: Vec<String> = vec!["x".repeat(1_000); 300];
        let data =
            json!({"groupId": "g", "members": members, "group": {"members": ["x".repeat(MAX_BYTES)]}, "short": [1]});
        let body: Value = serde_json::from_slice(&encode("i", &row(), data).unwrap()).unwrap();
        let kept = json!({"groupId": "g", "short": [1], "omitted": ["members", "group"]});
        let mut omitted = body["data"].clone();
        // Both are about equally long.
        omitted["omitted"].as_array_mut().unwrap().sort_by_key(|name| name != "members");
        assert_eq!(omitted, kept);
        assert_eq!((&body["type"], &body["id"]), (&json!("group.created"), &json!("i")));
        assert!(encode("i", &row(), json!({"text": "x".repeat(MAX_BYTES)})).is_err());
    }
}
