//! The list of a user's conversations, and how the user sees each of them.

use schemars::JsonSchema;
use serde::Serialize;

use super::Event;
use super::message::Message;
use crate::clock::Timestamp;
use crate::ids::{ConversationId, GroupId, UserId};
use crate::metadata::Metadata;
use crate::role::Role;

/// A part of the caller's list of conversations.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inbox {
    /// Most recently active first.
    pub entries: Vec<InboxEntry>,
    /// Send it as `cursor` to get the next part; absent in the last part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Unread messages in all conversations, including those not in this part, counted up to 1,000; 1,000 means that
    /// many or more.
    pub total_unread: i64,
}

impl Event for Inbox {
    const TYPE: &'static str = "inbox";
}

/// The kind of conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConversationKind {
    Direct,
    Group,
    Community,
}

/// A conversation in the list, as the caller sees it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboxEntry {
    /// `direct`, `group`, or `community` for the default group of a community.
    pub kind: ConversationKind,
    pub conversation_id: ConversationId,
    /// For groups and communities: the same as `conversationId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    /// For communities: the main backend's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community_id: Option<String>,
    /// For groups and communities: the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of groups and communities, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Of direct conversations: the other user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub participant: Option<InboxParticipant>,
    /// The newest message that the caller can see; absent if there is none, or it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message: Option<Message>,
    /// When the newest message was sent, even if it is deleted; for a group without messages, when the caller joined.
    pub last_activity_at: Timestamp,
    /// `seq` of the newest message, even if it is deleted; 0 if there was none.
    pub last_seq: i64,
    /// The caller has read all messages up to this number.
    pub read_seq: i64,
    /// For direct conversations: how far the other user has read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_read_seq: Option<i64>,
    /// Messages of others that the caller has not read, counted up to 1,000; 1,000 means that many or more.
    pub unread_count: i64,
    /// How many of them mention the caller, or everyone, unless the author or the caller blocks the other; counted in the same way.
    pub unread_mentions: i64,
    /// The conversation's version: it increases with each change that participants can see.
    pub version: i64,
    /// Until when the caller muted it; absent if it is not muted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<Timestamp>,
    /// Whether the caller pinned it.
    pub pinned: bool,
    /// Whether the caller marked it as unread.
    pub marked_unread: bool,
    /// For groups and communities: `owner`, `admin` or `member`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub my_role: Option<Role>,
}

/// The other user of a direct conversation.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboxParticipant {
    pub user_id: UserId,
    /// Empty if the account was deleted.
    pub username: String,
    pub display_name: String,
    pub profile_image: Option<String>,
    /// Whether the user is online; `false` if one of the two blocks the other.
    pub online: bool,
}

/// The caller's settings for a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversationSettings {
    pub conversation_id: ConversationId,
    /// Until when the caller muted it; `null` if it is not muted.
    pub muted_until: Option<Timestamp>,
    /// Whether the caller pinned it.
    pub pinned: bool,
    /// Whether the caller marked it as unread.
    pub marked_unread: bool,
}

impl Event for ConversationSettings {
    const TYPE: &'static str = "conversation_settings";
}
