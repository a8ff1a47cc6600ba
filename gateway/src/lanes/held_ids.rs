//! Ids that only the original server and its clients used: finds them in a rejected command, and asks a worker which
//! ids of ours they stand for.

use serde_json::{Map, Value};
use shared::held_ids;
use shared::ids::{ConversationId, MessageId, UserId};
use shared::limits::MAX_SYNC_ENTRIES;
use shared::protocol::fields::parse_conversation_id;
use shared::protocol::{Fields, Rejection};
use shared::stream::{Internal, InternalReply};

use crate::lanes::ask::Requests;

/// The held ids in one field of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldIds {
    pub field: &'static str,
    pub ids: Vec<String>,
    question: Internal,
}

/// A field, and each of its held ids with ours.
pub struct KnownIds {
    pub field: &'static str,
    pub ids: Vec<(String, String)>,
}

impl HeldIds {
    /// Finds the held ids in a field that was rejected; `None` if the fault must be another one.
    pub fn find(fields: Fields<'_>, rejected: &'static str) -> Option<Self> {
        // Either name serves.
        let field = match rejected {
            "replyToMessageId" if fields.get(rejected).is_none() => "replyTo",
            field => field,
        };
        let (ids, question) = match (field, fields.get(field)?) {
            ("conversationId" | "groupId", Value::String(held)) if held.parse::<ConversationId>().is_err() => {
                (vec![held.clone()], Internal::HeldConversation { held: held.clone() })
            }
            ("messageId" | "aroundMessageId" | "replyToMessageId" | "replyTo", Value::String(held))
                if held.parse::<MessageId>().is_err() =>
            {
                (vec![held.clone()], Internal::HeldMessage { held: held.clone() })
            }
            ("conversations", Value::Object(entries)) => {
                let is_held = |id: &&String| parse_conversation_id(id).is_none();
                let held: Vec<String> = entries.keys().filter(is_held).cloned().collect();
                (held.clone(), Internal::HeldConversations { held })
            }
            _ => return None,
        };
        let can_be_held = (1..=MAX_SYNC_ENTRIES).contains(&ids.len()) && ids.iter().all(|id| held_ids::can_be_held(id));
        can_be_held.then_some(HeldIds { field, ids, question })
    }

    /// Asks a worker; `None` if one of them stands for nothing.
    ///
    /// # Errors
    /// If no answer arrives in time.
    pub async fn look_up(self, requests: &Requests, caller: UserId) -> Result<Option<KnownIds>, Rejection> {
        let found = match requests.ask(caller, &self.question, None).await {
            InternalReply::HeldConversation(found) => vec![found.map(|id| id.to_string())],
            InternalReply::HeldMessage(found) => vec![found.map(|id| id.to_string())],
            InternalReply::HeldConversations(found) => {
                found.into_iter().map(|found| found.map(|id| id.to_string())).collect()
            }
            _ => return Err(Rejection::unavailable("The id could not be looked up", 2)),
        };
        let ours = found.into_iter().collect::<Option<Vec<String>>>().filter(|ours| ours.len() == self.ids.len());
        Ok(ours.map(|ours| KnownIds { field: self.field, ids: self.ids.into_iter().zip(ours).collect() }))
    }
}

impl KnownIds {
    /// Puts our ids in the place of the held ones.
    pub fn put(&self, fields: &mut Map<String, Value>) {
        for (held, ours) in &self.ids {
            match fields.get_mut(self.field) {
                Some(Value::Object(entries)) => {
                    if let Some(value) = entries.remove(held) {
                        entries.insert(ours.clone(), value);
                    }
                }
                Some(value) => *value = Value::String(ours.clone()),
                None => {}
            }
        }
    }
}
