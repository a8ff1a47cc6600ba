//! Answers and events of direct conversations.

use schemars::JsonSchema;
use serde::Serialize;

use super::Event;
use super::message::Message;
use crate::clock::Timestamp;
use crate::ids::{ConversationId, MessageId};

/// The message is committed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageSent<'a> {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: i64,
    pub created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<&'a str>,
    /// This `clientMessageId` was used before; nothing was stored again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<bool>,
    /// `NOT_FOLLOWING`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<&'a str>,
}

impl Event for MessageSent<'_> {
    const TYPE: &'static str = "message_sent";
}

/// Where a page lies in its history.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pagination {
    pub limit: u32,
    /// From the newest; `null` when the page was asked for by `seq`.
    pub offset: Option<u32>,
    pub has_more: bool,
    pub total: i64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrivateMessages {
    pub conversation_id: ConversationId,
    /// Oldest first.
    pub messages: Vec<Message>,
    pub pagination: Pagination,
    pub has_more: bool,
    pub total: i64,
}

impl Event for PrivateMessages {
    const TYPE: &'static str = "private_messages";
}
