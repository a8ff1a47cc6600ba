//! Answers and events of groups.

use schemars::JsonSchema;
use serde::Serialize;

use super::Event;
use super::message::Message;
use crate::clock::Timestamp;
use crate::ids::{ConversationId, GroupId, MessageId, UserId};
use crate::metadata::Metadata;

/// The message was stored.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupMessageSent<'a> {
    pub message_id: MessageId,
    pub group_id: GroupId,
    pub conversation_id: ConversationId,
    pub seq: i64,
    pub created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<bool>,
    /// As it was stored; absent of a repetition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a Metadata>,
}

impl Event for GroupMessageSent<'_> {
    const TYPE: &'static str = "group_message_sent";
}

/// The announcement was stored.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnnouncementSent<'a> {
    pub message_id: MessageId,
    pub group_id: GroupId,
    pub seq: i64,
    pub created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a Metadata>,
}

impl Event for AnnouncementSent<'_> {
    const TYPE: &'static str = "announcement_sent";
}

/// For each user whom a group message mentions, unless one of the two blocks the other.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MentionedInGroup<'a> {
    pub message_id: MessageId,
    pub group_id: GroupId,
    pub mentioned_by: UserId,
    pub mentioned_by_username: &'a str,
    /// The message, unless it was deleted meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a Message>,
    /// The conversation's version that the message made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

impl Event for MentionedInGroup<'_> {
    const TYPE: &'static str = "mentioned_in_group";
}
