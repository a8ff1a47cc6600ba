//! Moderation: reports, mutes and bans.

use schemars::JsonSchema;
use serde::Serialize;

use super::Event;
use crate::clock::Timestamp;
use crate::ids::{GroupId, MessageId, ReportId, UserId};

/// The report was stored, or had been stored before.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageReported {
    /// The moderators know the report by it.
    pub report_id: ReportId,
    pub message_id: MessageId,
    /// When the caller first reported the message.
    pub reported_at: Timestamp,
}

impl Event for MessageReported {
    const TYPE: &'static str = "message_reported";
}

/// A mute or a ban that is in effect.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sanction {
    /// When it ends; absent if somebody has to end it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why; absent if no reason was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A member may not write in the group.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberMuted<'a> {
    pub group_id: GroupId,
    pub user_id: UserId,
    pub username: &'a str,
    pub muted_by: UserId,
    #[serde(flatten)]
    pub sanction: &'a Sanction,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for MemberMuted<'_> {
    const TYPE: &'static str = "member_muted";
}

/// A mute was ended before its time. One that ends by itself has no event.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberUnmuted<'a> {
    pub group_id: GroupId,
    pub user_id: UserId,
    pub username: &'a str,
    pub unmuted_by: UserId,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for MemberUnmuted<'_> {
    const TYPE: &'static str = "member_unmuted";
}

/// A user may not be in the group. If the user was a member, `member_removed` follows; the user gets both.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberBanned<'a> {
    pub group_id: GroupId,
    pub user_id: UserId,
    pub username: &'a str,
    pub banned_by: UserId,
    #[serde(flatten)]
    pub sanction: &'a Sanction,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for MemberBanned<'_> {
    const TYPE: &'static str = "member_banned";
}

/// A ban was ended before its time. One that ends by itself has no event.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberUnbanned<'a> {
    pub group_id: GroupId,
    pub user_id: UserId,
    pub username: &'a str,
    pub unbanned_by: UserId,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for MemberUnbanned<'_> {
    const TYPE: &'static str = "member_unbanned";
}

/// A user who is banned from a group.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BannedMember {
    pub user_id: UserId,
    pub username: String,
    pub banned_by: UserId,
    /// When the ban began.
    pub banned_at: Timestamp,
    #[serde(flatten)]
    pub sanction: Sanction,
}

/// The users who are banned from a group.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BannedMembers {
    pub group_id: GroupId,
    pub members: Vec<BannedMember>,
    /// To be given as `cursor` for the next part; absent with the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Event for BannedMembers {
    const TYPE: &'static str = "banned_members";
}
