//! `add_group_member`: adds a user to a group.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddGroupMember {
    pub group: GroupId,
    pub user: UserId,
}

impl Contract for AddGroupMember {
    const NAME: &'static str = "add_group_member";
    const SUMMARY: &'static str = "Adds a user to a group. Allowed for the owner, admins and members with \
        `canAddMembers`. The new member also receives `group_created`.";
    const FIELDS: &'static [Field] = &[GROUP, MEMBER];
    const REPLIES: &'static [&'static str] = &["member_added"];
    const EVENTS: &'static [&'static str] = &["member_added", "group_created"];
    const ERRORS: &'static [ErrorCode] = &[
        ErrorCode::ResourceNotFound,
        ErrorCode::PermissionDenied,
        ErrorCode::UserBlocked,
        ErrorCode::NotFollowing,
        ErrorCode::GroupFull,
        ErrorCode::MemberBanned,
    ];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(AddGroupMember { group: fields.required_group_id("groupId")?, user: fields.required_user_id("userId")? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.group))
    }
}
