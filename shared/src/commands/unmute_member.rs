//! `unmute_member`: ends a mute.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmuteMember {
    pub group: GroupId,
    pub user: UserId,
}

impl Contract for UnmuteMember {
    const NAME: &'static str = "unmute_member";
    const SUMMARY: &'static str = "Ends the mute of a user in a group. The rights are those of `mute_member`.";
    const FIELDS: &'static [Field] = &[GROUP, MEMBER];
    const REPLIES: &'static [&'static str] = &["member_unmuted"];
    const EVENTS: &'static [&'static str] = &["member_unmuted"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(UnmuteMember { group: fields.required_group_id("groupId")?, user: fields.required_user_id("userId")? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.group))
    }
}
