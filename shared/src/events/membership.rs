//! Groups themselves: their information, their members, and changes to both. Their messages are in `group`.

use schemars::JsonSchema;
use serde::Serialize;

use super::Event;
use super::direct::{Around, Pagination};
use super::message::Message;
use super::moderation::Sanction;
use crate::clock::Timestamp;
use crate::ids::{GroupId, UserId};
use crate::metadata::Metadata;
use crate::role::Role;

/// A member of a group.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupMember {
    pub user_id: UserId,
    pub username: String,
    /// `owner`, `admin` or `member`
    #[schemars(with = "String")]
    pub role: Role,
    pub can_add_members: bool,
    pub joined_at: Timestamp,
}

/// A group with its members.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupDetails {
    pub group_id: GroupId,
    pub group_name: String,
    pub group_description: String,
    pub created_by: UserId,
    pub max_members: i32,
    pub member_count: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// At most 200, the owner and admins first; `memberCount` counts all, and `get_group_members` lists them.
    pub members: Vec<GroupMember>,
}

/// A user who was named but not added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SkippedMember {
    pub user_id: UserId,
    /// `RESOURCE_NOT_FOUND`, `USER_BLOCKED`, `NOT_FOLLOWING`, or `PERMISSION_DENIED` for a user whom the caller may not add (`GROUP_ADD_POLICY`), or who is in `MAX_GROUPS_PER_USER` groups
    pub reason: &'static str,
}

/// A new group, sent to its members and to members who are added later.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupCreated<'a> {
    #[serde(flatten)]
    pub details: &'a GroupDetails,
    /// Another name for the same object.
    pub group: &'a GroupDetails,
    /// Sent only to the creator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped_members: Option<&'a [SkippedMember]>,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for GroupCreated<'_> {
    const TYPE: &'static str = "group_created";
}

/// A page of a group's history.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupMessages {
    pub group_id: GroupId,
    /// Oldest first.
    pub messages: Vec<Message>,
    pub pagination: Pagination,
    /// The same as in `pagination`, like the next two.
    pub limit: u32,
    pub offset: Option<u32>,
    pub has_more: bool,
    /// The conversation's version; later changes have a higher one.
    pub version: i64,
    #[serde(flatten)]
    pub around: Option<Around>,
}

impl Event for GroupMessages {
    const TYPE: &'static str = "group_messages";
}

/// A group as one of its members sees it in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserGroup {
    pub group_id: GroupId,
    pub group_name: String,
    pub group_description: String,
    pub created_by: UserId,
    /// The caller's role.
    #[schemars(with = "String")]
    pub role: Role,
    /// The same as `role`.
    #[schemars(with = "String")]
    pub my_role: Role,
    pub member_count: i64,
    pub max_members: i32,
    pub joined_at: Timestamp,
    pub last_seq: i64,
    pub unread_count: i64,
    /// Absent also of groups at the end of a list that it would make too large; `get_group_info` has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

/// The caller's groups.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserGroups {
    pub groups: Vec<UserGroup>,
    /// To be given as `cursor` for the next part; absent with the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Event for UserGroups {
    const TYPE: &'static str = "user_groups";
}

/// A member of a group in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedMember {
    pub user_id: UserId,
    pub username: String,
    pub display_name: String,
    #[schemars(with = "String")]
    pub role: Role,
    pub can_add_members: bool,
    pub joined_at: Timestamp,
    pub online: bool,
    /// Up to which message the member has read; absent if nothing since joining, or if one of you blocks the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_seq: Option<i64>,
    /// Present while the member may not write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mute: Option<Sanction>,
}

/// A group's members.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupMembers {
    pub group_id: GroupId,
    pub members: Vec<ListedMember>,
    /// For a part of the members: send it as `cursor` to get the next part; absent in the last part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Event for GroupMembers {
    const TYPE: &'static str = "group_members";
}

/// A group's information.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupInfo {
    pub group_id: GroupId,
    pub group_name: String,
    pub group_description: String,
    pub created_by: UserId,
    pub max_members: i32,
    pub member_count: i64,
    pub created_at: Timestamp,
    pub slow_mode_seconds: i32,
    /// Present while the caller may not write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mute: Option<Sanction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// At most 200, the owner and admins first; `get_group_members` lists all.
    pub members: Vec<GroupMember>,
}

impl Event for GroupInfo {
    const TYPE: &'static str = "group_info";
}

/// The user who was added.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddedUser<'a> {
    pub user_id: UserId,
    pub username: &'a str,
}

/// A group has a new member.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberAdded<'a> {
    pub group_id: GroupId,
    pub user_id: UserId,
    pub username: &'a str,
    pub user: AddedUser<'a>,
    #[schemars(with = "String")]
    pub role: Role,
    pub added_by: UserId,
    /// `NOT_FOLLOWING`, sent only to the user who added the member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<&'a str>,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for MemberAdded<'_> {
    const TYPE: &'static str = "member_added";
}

/// A member was removed from a group; the removed user gets this event, too.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberRemoved<'a> {
    pub group_id: GroupId,
    pub user_id: UserId,
    pub username: &'a str,
    pub removed_by: UserId,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for MemberRemoved<'_> {
    const TYPE: &'static str = "member_removed";
}

/// A member left a group.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberLeft<'a> {
    pub group_id: GroupId,
    pub user_id: UserId,
    pub username: &'a str,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for MemberLeft<'_> {
    const TYPE: &'static str = "member_left";
}

/// A member became an admin.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberPromoted {
    pub group_id: GroupId,
    pub user_id: UserId,
    #[schemars(with = "String")]
    pub new_role: Role,
    pub promoted_by: UserId,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for MemberPromoted {
    const TYPE: &'static str = "member_promoted";
}

/// An admin became a member.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberDemoted {
    pub group_id: GroupId,
    pub user_id: UserId,
    #[schemars(with = "String")]
    pub new_role: Role,
    pub demoted_by: UserId,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for MemberDemoted {
    const TYPE: &'static str = "member_demoted";
}

/// A group has a new owner; the previous one is now an admin.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnershipTransferred {
    pub group_id: GroupId,
    pub from_user_id: UserId,
    pub to_user_id: UserId,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for OwnershipTransferred {
    const TYPE: &'static str = "ownership_transferred";
}

/// A group's name, description, size or metadata changed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupInfoUpdated {
    pub group_id: GroupId,
    pub group_name: String,
    pub group_description: String,
    pub max_members: i32,
    pub created_by: UserId,
    pub created_at: Timestamp,
    pub updated_by: UserId,
    pub updated_by_username: String,
    pub slow_mode_seconds: i32,
    /// Present if too many members came or went at once to announce them one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for GroupInfoUpdated {
    const TYPE: &'static str = "group_info_updated";
}

/// A group was deleted.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupDeleted {
    pub group_id: GroupId,
    pub deleted_by: UserId,
    pub permanent: bool,
    /// The conversation's version after this.
    pub version: i64,
}

impl Event for GroupDeleted {
    const TYPE: &'static str = "group_deleted";
}
