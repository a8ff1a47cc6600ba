//! `demote_member`: makes an admin a member.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoteMember {
    pub group: GroupId,
    pub user: UserId,
}

impl Contract for DemoteMember {
    const NAME: &'static str = "demote_member";
    const SUMMARY: &'static str = "Makes an admin an ordinary member. Allowed for the owner.";
    const FIELDS: &'static [Field] = &[GROUP, MEMBER];
    const REPLIES: &'static [&'static str] = &["member_demoted"];
    const EVENTS: &'static [&'static str] = &["member_demoted"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(DemoteMember { group: fields.required_group_id("groupId")?, user: fields.required_user_id("userId")? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.group))
    }
}
