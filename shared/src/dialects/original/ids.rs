//! Ids and texts inside objects as clients of the original know them: messages as bare UUIDs, direct conversations as
//! the two user ids sorted as strings, and texts that are safe to display as HTML, which some of these clients do.

use serde_json::Value;
use uuid::Uuid;

use super::super::Object;
use crate::ids::ConversationId;

/// Fields that hold an id of a message or a conversation.
const FIELDS: [&str; 6] = ["id", "messageId", "replyTo", "replyToMessageId", "announcementId", "conversationId"];
/// Fields that contain what people wrote.
const TEXTS: [&str; 13] = [
    "content",
    "newContent",
    "oldContent",
    "lastMessage",
    "reaction",
    "groupName",
    "groupDescription",
    "name",
    "description",
    "displayName",
    "firstName",
    "lastName",
    "bio",
];
/// Fields that hold what is not ours to change.
const OPAQUE: [&str; 2] = ["payload", "metadata"];

/// Converts all ids and texts in an object and its nested values.
pub fn show_in(object: &mut Object) {
    for (name, value) in object.iter_mut() {
        if OPAQUE.contains(&name.as_str()) {
            continue;
        }
        match value {
            Value::String(id) if FIELDS.contains(&name.as_str()) => {
                if let Some(shown) = shown(id) {
                    *id = shown;
                }
            }
            Value::String(text) if TEXTS.contains(&name.as_str()) => escape(text),
            Value::Object(inner) => show_in(inner),
            Value::Array(items) => items.iter_mut().filter_map(Value::as_object_mut).for_each(show_in),
            _ => {}
        }
    }
}

/// The original stored `<` and `>` as entities. `&` stays, because a text imported from the original's storage already
/// contains entities.
fn escape(text: &mut String) {
    if text.contains(['<', '>']) {
        *text = text.replace('<', "&lt;").replace('>', "&gt;");
    }
}

/// `None` if it stays as it is.
fn shown(id: &str) -> Option<String> {
    if let Some(bare) = id.strip_prefix("msg_") {
        return Uuid::try_parse(bare).is_ok().then(|| bare.to_owned());
    }
    match id.parse() {
        Ok(ConversationId::Direct(one, other)) => {
            let (one, other) = (one.to_string(), other.to_string());
            let (first, second) = if one <= other { (one, other) } else { (other, one) };
            Some(format!("conv_{first}_{second}"))
        }
        _ => None,
    }
}
