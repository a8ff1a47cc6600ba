//! The answer series of `sync`: a part per conversation, then the end.

use schemars::JsonSchema;
use serde::Serialize;

use super::Event;
use super::message::Message;
use crate::clock::Timestamp;
use crate::ids::ConversationId;

/// The messages of one conversation after the number that the client knows.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncMessages {
    pub conversation_id: ConversationId,
    /// Oldest first.
    pub messages: Vec<Message>,
    /// There are more: another `sync` from the last number goes on.
    pub has_more: bool,
}

impl Event for SyncMessages {
    const TYPE: &'static str = "sync_messages";
}

/// The end of the series.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SyncComplete {
    pub timestamp: Timestamp,
}

impl Event for SyncComplete {
    const TYPE: &'static str = "sync_complete";
    const HAS_TIMESTAMP: bool = true;
}
