//! The message object, the same in live events, history and replay, and the events that consist of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Event;
use crate::clock::Timestamp;
use crate::ids::{ConversationId, GroupId, MessageId, UserId};
use crate::metadata::Metadata;

/// The kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageKind {
    Text,
    Announcement,
    /// Sent by the product, not by its sender. Only the server API sends it.
    System,
}

// Cached pages are read back, hence `Deserialize`.
/// A message, the same in live events, history and replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    /// Counts the conversation's messages from 1.
    pub seq: i64,
    pub sender_id: UserId,
    pub sender_username: String,
    pub content: String,
    pub created_at: Timestamp,
    pub kind: MessageKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to_message_id: Option<MessageId>,
    /// Absent if the message replied to is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<ReplyPreview>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<Mention>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_read: Option<bool>,
    pub is_edited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Timestamp>,
    pub is_pinned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_by: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// The conversation's version that this message made: in the event of a new message only, and not in pages, which have a version
    /// of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

/// The message that this one answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplyPreview {
    pub message_id: MessageId,
    pub seq: i64,
    pub sender_username: String,
    /// Cut at 200 characters.
    pub content: String,
    pub created_at: Timestamp,
}

/// A user who is mentioned, or everyone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Mention {
    #[serde(rename_all = "camelCase")]
    User { user_id: UserId, username: String },
    #[serde(rename_all = "camelCase")]
    Everyone {
        /// The users that everyone stands for, in the message's live or replayed event; left out in larger groups.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        user_ids: Vec<UserId>,
    },
}

/// A user's reaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reaction {
    pub user_id: UserId,
    pub username: String,
    pub reaction: String,
    pub timestamp: Timestamp,
}

/// An event that is one message.
macro_rules! message_event {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Serialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name<'a>(pub &'a Message);

        impl Event for $name<'_> {
            const TYPE: &'static str = $kind;
        }
    )*};
}

message_event! {
    /// A direct message, sent to every connection of both users.
    NewMessage = "new_message";
    /// A group message, sent to all members.
    NewGroupMessage = "new_group_message";
    /// An announcement, sent to all members.
    GroupAnnouncement = "group_announcement";
}
