//! `unban_member`: ends a ban.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnbanMember {
    pub group: GroupId,
    pub user: UserId,
}

impl Contract for UnbanMember {
    const NAME: &'static str = "unban_member";
    const SUMMARY: &'static str = "Ends the ban of a user from a group. The user is not a member again until somebody adds the user. The rights are those of \
        `ban_member`.";
    const FIELDS: &'static [Field] = &[GROUP, MEMBER];
    const REPLIES: &'static [&'static str] = &["member_unbanned"];
    const EVENTS: &'static [&'static str] = &["member_unbanned"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(UnbanMember { group: fields.required_group_id("groupId")?, user: fields.required_user_id("userId")? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.group))
    }
}
