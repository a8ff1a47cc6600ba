//! Changes of existing messages: read marks, edits, deletions, reactions and pins, in direct conversations and
//! in groups.

use schemars::JsonSchema;
use serde::Serialize;

use super::Event;
use super::message::Message;
use crate::clock::Timestamp;
use crate::ids::{ConversationId, GroupId, MessageId, UserId};
use crate::metadata::Metadata;

/// This message and all before it were read.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageRead {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    pub read_by: UserId,
    pub seq: i64,
}

impl Event for MessageRead {
    const TYPE: &'static str = "message_read";
}

/// The text of a direct message was changed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageEdited<'a> {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub content: &'a str,
    /// The same as `content`.
    pub new_content: &'a str,
    /// The previous text; absent if it can no longer be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_content: Option<&'a str>,
    pub edited_at: Timestamp,
    pub seq: i64,
    /// The conversation's version after this.
    pub version: i64,
    /// As it is after this; absent if the message has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a Metadata>,
}

impl Event for MessageEdited<'_> {
    const TYPE: &'static str = "message_edited";
}

/// The text of a group message was changed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupMessageEdited<'a> {
    pub message_id: MessageId,
    pub group_id: GroupId,
    pub content: &'a str,
    /// The same as `content`.
    pub new_content: &'a str,
    pub edited_at: Timestamp,
    pub edited_by: UserId,
    pub edited_by_username: &'a str,
    pub seq: i64,
    /// The conversation's version after this.
    pub version: i64,
    /// As it is after this; absent if the message has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a Metadata>,
}

impl Event for GroupMessageEdited<'_> {
    const TYPE: &'static str = "group_message_edited";
}

/// A direct message was deleted: for everyone, or only for the caller.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageDeleted {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub delete_for_everyone: bool,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for MessageDeleted {
    const TYPE: &'static str = "message_deleted";
}

/// A group message was deleted: for everyone, or only for the caller.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupMessageDeleted {
    pub message_id: MessageId,
    pub group_id: GroupId,
    pub deleted_by: UserId,
    pub delete_for_everyone: bool,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for GroupMessageDeleted {
    const TYPE: &'static str = "group_message_deleted";
}

/// A user reacted to a direct message; this replaces the user's earlier reaction.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReactionAdded<'a> {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub user_id: UserId,
    pub username: &'a str,
    pub reaction: &'a str,
    /// The same as `reaction`.
    pub emoji: &'a str,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for ReactionAdded<'_> {
    const TYPE: &'static str = "reaction_added";
}

/// A user removed a reaction to a direct message.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReactionRemoved<'a> {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub user_id: UserId,
    pub username: &'a str,
    pub reaction: &'a str,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for ReactionRemoved<'_> {
    const TYPE: &'static str = "reaction_removed";
}

/// A user reacted to a group message; this replaces the user's earlier reaction.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupReactionAdded<'a> {
    pub message_id: MessageId,
    pub group_id: GroupId,
    pub user_id: UserId,
    pub username: &'a str,
    pub reaction: &'a str,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for GroupReactionAdded<'_> {
    const TYPE: &'static str = "group_reaction_added";
}

/// A user removed a reaction to a group message.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupReactionRemoved<'a> {
    pub message_id: MessageId,
    pub group_id: GroupId,
    pub user_id: UserId,
    pub username: &'a str,
    pub reaction: &'a str,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for GroupReactionRemoved<'_> {
    const TYPE: &'static str = "group_reaction_removed";
}

/// A message was pinned.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessagePinned {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    pub pinned_by: UserId,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for MessagePinned {
    const TYPE: &'static str = "message_pinned";
}

/// A message was unpinned.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageUnpinned {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    pub unpinned_by: UserId,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for MessageUnpinned {
    const TYPE: &'static str = "message_unpinned";
}

/// The pinned messages.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PinnedMessages {
    pub conversation_id: ConversationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    /// Oldest first; the last pinned ones, at most 200 and 1 MiB.
    pub messages: Vec<Message>,
    /// Whether there are more.
    pub has_more: bool,
    /// The conversation's version; later changes have a higher one.
    pub version: i64,
}

impl Event for PinnedMessages {
    const TYPE: &'static str = "pinned_messages";
}
