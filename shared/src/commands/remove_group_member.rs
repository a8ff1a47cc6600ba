//! `remove_group_member`: removes a user from a group.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveGroupMember {
    pub group: GroupId,
    pub user: UserId,
}

impl Contract for RemoveGroupMember {
    const NAME: &'static str = "remove_group_member";
    const SUMMARY: &'static str = "Removes a member from a group. The owner can remove anyone, admins only ordinary \
        members.";
    const FIELDS: &'static [Field] = &[GROUP, MEMBER];
    const REPLIES: &'static [&'static str] = &["member_removed"];
    const EVENTS: &'static [&'static str] = &["member_removed"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(RemoveGroupMember { group: fields.required_group_id("groupId")?, user: fields.required_user_id("userId")? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.group))
    }
}
