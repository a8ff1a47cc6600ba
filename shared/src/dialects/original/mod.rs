//! `original`: the dialect of the clients of the server that this one replaces, as recorded from that server (the
//! end-to-end tests use the recording). `incoming` converts their commands into ours, `outgoing` our events into
//! theirs, and `ids` shows ids as they know them.

mod ids;
mod incoming;
mod outgoing;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use super::{Object, Translator};
use crate::ids::UserId;
use crate::limits::Limits;
use crate::protocol::Invalid;

/// The longest message that server accepted.
const MAX_MESSAGE_CHARACTERS: usize = 1_000;
const MAX_GROUP_NAME_CHARACTERS: usize = 255;
/// That server allowed twice as many messages longer than this.
const LONG_MESSAGE_CHARACTERS: usize = 500;

pub struct Original;

impl Translator for Original {
    fn limits(&self, limits: Limits) -> Limits {
        Limits {
            message_characters: limits.message_characters.min(MAX_MESSAGE_CHARACTERS),
            group_name_characters: MAX_GROUP_NAME_CHARACTERS,
            ..limits
        }
    }

    fn message_rate_limit(&self, limit: u32, text: &str) -> u32 {
        if text.chars().count() > LONG_MESSAGE_CHARACTERS { limit.saturating_mul(2) } else { limit }
    }

    fn has_single_connection(&self) -> bool {
        true
    }

    fn has_json_metrics(&self) -> bool {
        true
    }

    fn command(&self, command: &mut Object, limits: &Limits) -> Result<(), Invalid> {
        incoming::command(command, limits)
    }

    fn confirmation(&self, command: &Object) -> Option<Value> {
        incoming::confirmation(command)
    }

    fn answer(&self, answer: &Object) -> Vec<Value> {
        outgoing::answer(answer)
    }

    fn event(&self, event: &Object, own: bool) -> Value {
        outgoing::event(event, own)
    }

    fn actor(&self, event: &Object) -> Option<UserId> {
        outgoing::actor(event)
    }

    fn http(&self, path: &str, answer: &mut Object) {
        if path == "/api/conversations"
            && let Some(Value::Array(conversations)) = answer.get_mut("conversations")
        {
            conversations.iter_mut().filter_map(Value::as_object_mut).for_each(conversation);
        }
    }
}

/// An entry of the list of conversations as the web page reads it.
fn conversation(entry: &mut Object) {
    let participant = entry.get("participant").cloned().unwrap_or_default();
    entry.insert("participantId".to_owned(), participant["userId"].clone());
    entry.insert("name".to_owned(), participant["displayName"].clone());
    let last = entry.remove("lastMessage").unwrap_or_default();
    entry.insert("lastMessageAt".to_owned(), last["timestamp"].clone());
    entry.insert("lastMessage".to_owned(), last.get("content").cloned().unwrap_or_else(|| json!("")));
    ids::show_in(entry);
}
