//! Answers and events of direct conversations.

use schemars::JsonSchema;
use serde::Serialize;

use super::Event;
use super::message::Message;
use crate::clock::Timestamp;
use crate::ids::{ConversationId, MessageId, UserId};
use crate::metadata::Metadata;

/// The message was stored.
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
    /// As it was stored; absent of a repetition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a Metadata>,
}

impl Event for MessageSent<'_> {
    const TYPE: &'static str = "message_sent";
}

/// The position of a page in its history.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pagination {
    pub limit: u32,
    /// Counted from the newest; `null` if the page was requested by `seq` or around a message.
    pub offset: Option<u32>,
    pub has_more: bool,
    pub total: i64,
}

/// What lies beyond a page that was requested around a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Around {
    /// Whether there are older messages than this page has; only for a page around a message, and then `hasMore` is the same.
    pub has_before: bool,
    /// Whether there are newer messages than this page has; only for a page around a message.
    pub has_after: bool,
}

/// A page of a direct conversation's history.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrivateMessages {
    pub conversation_id: ConversationId,
    /// Oldest first.
    pub messages: Vec<Message>,
    pub pagination: Pagination,
    /// The same as in `pagination`, like the next three.
    pub limit: u32,
    pub offset: Option<u32>,
    pub has_more: bool,
    pub total: i64,
    /// The conversation's version; later changes have a higher one.
    pub version: i64,
    #[serde(flatten)]
    pub around: Option<Around>,
}

impl Event for PrivateMessages {
    const TYPE: &'static str = "private_messages";
}

/// The other user of a direct conversation.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    pub user_id: UserId,
    pub username: String,
    pub display_name: String,
}

/// The conversation is open; nothing was stored.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversationStarted<'a> {
    pub conversation_id: ConversationId,
    pub recipient: &'a Participant,
    /// The same as `recipient`.
    pub participant: &'a Participant,
    /// The last 50 messages, oldest first.
    pub messages: Vec<Message>,
    /// Whether there are older ones.
    pub has_more: bool,
    /// `NOT_FOLLOWING`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<&'a str>,
    /// The conversation's version; later changes have a higher one.
    pub version: i64,
}

impl Event for ConversationStarted<'_> {
    const TYPE: &'static str = "conversation_started";
}

/// A direct conversation was emptied: for both users, or only for the caller.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversationDeleted {
    pub conversation_id: ConversationId,
    pub delete_for_everyone: bool,
    /// All messages up to this number are gone.
    pub through_seq: i64,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for ConversationDeleted {
    const TYPE: &'static str = "conversation_deleted";
}

/// A user started or stopped typing.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserTyping<'a> {
    pub user_id: UserId,
    pub username: &'a str,
    pub is_typing: bool,
    pub conversation_id: ConversationId,
}

impl Event for UserTyping<'_> {
    const TYPE: &'static str = "user_typing";
}

/// The caller's direct conversations, most recently active first.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Conversations {
    pub conversations: Vec<ConversationSummary>,
    pub pagination: ListPagination,
    pub timestamp: Timestamp,
}

impl Event for Conversations {
    const TYPE: &'static str = "conversations";
    const HAS_TIMESTAMP: bool = true;
}

/// A direct conversation in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversationSummary {
    pub conversation_id: ConversationId,
    pub participant: Participant,
    /// The newest message that the caller can see; `null` if it cannot be read.
    pub last_message: Option<LastMessage>,
    /// Messages of the other participant that the caller has not read; counted up to 200.
    pub unread_count: i64,
}

/// The newest message of a conversation.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastMessage {
    /// The message.
    pub id: MessageId,
    pub content: String,
    pub sender_id: UserId,
    pub timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

/// The position of a part in its list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListPagination {
    pub limit: u32,
    pub offset: u32,
    /// The number of entries in this part.
    pub count: usize,
    /// Whether more entries follow.
    pub has_more: bool,
}

/// All of the sender's messages up to this one have reached the recipient.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageDelivered {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: i64,
    pub delivered_to: UserId,
}

impl Event for MessageDelivered {
    const TYPE: &'static str = "message_delivered";
}
