//! The answer series of `sync`: for each conversation its changes and its new messages, then the end.

use schemars::JsonSchema;
use serde::Serialize;

use super::Event;
use super::message::Message;
use super::moderation::Sanction;
use crate::clock::Timestamp;
use crate::ids::{ConversationId, GroupId, MessageId, UserId};
use crate::metadata::Metadata;
use crate::role::Role;

/// Changes to the messages of one conversation that the client holds. They describe the present state, so applying them
/// twice does no harm.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncChanges {
    pub conversation_id: ConversationId,
    /// The version that the client had. Absent with `stale`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_version: Option<i64>,
    /// The version that the client has after this.
    pub version: i64,
    /// Changed messages as they are now, each once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<Vec<Message>>,
    /// Messages that were deleted for everyone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Vec<MessagePlace>>,
    /// Messages that the caller hid, here or on another device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Vec<MessagePlace>>,
    /// All messages up to this number are gone for the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_through_seq: Option<i64>,
    /// The group's present information and the caller's own settings, if they changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<SyncInfo>,
    /// There are more changes: another part follows, or another `sync` from `version` continues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_more: Option<bool>,
    /// The changes since the client's version are no longer kept: the client must drop this conversation and load it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<bool>,
}

impl Event for SyncChanges {
    const TYPE: &'static str = "sync_changes";
}

/// A message and its position in the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessagePlace {
    pub message_id: MessageId,
    pub seq: i64,
}

/// A group's present information and the caller's own settings; only what changed is included.
#[derive(Debug, Default, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_members: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_mode_seconds: Option<i32>,
    /// The caller's own role.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub my_role: Option<Role>,
    /// Present while the caller may not write; with `groupId` and without this, the caller may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mute: Option<Sanction>,
    /// The group's metadata; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    #[serde(flatten)]
    pub settings: Option<OwnSettings>,
}

/// The caller's settings for a conversation, as in `conversation_settings`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnSettings {
    /// Until when the caller muted the conversation; `null` if it is not muted.
    pub muted_until: Option<Timestamp>,
    /// Whether the caller pinned the conversation.
    pub pinned: bool,
    /// Whether the caller marked the conversation as unread.
    pub marked_unread: bool,
}

/// The messages of one conversation after the number that the client knows.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncMessages {
    pub conversation_id: ConversationId,
    /// Oldest first.
    pub messages: Vec<Message>,
    /// There are more: another `sync` from the last number continues.
    pub has_more: bool,
    /// The version that the client has after this and the preceding changes.
    pub version: i64,
}

impl Event for SyncMessages {
    const TYPE: &'static str = "sync_messages";
}

/// The caller is no longer part of this conversation, or it is gone.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncGone {
    pub conversation_id: ConversationId,
}

impl Event for SyncGone {
    const TYPE: &'static str = "sync_gone";
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
