//! `promote_member`: makes a member an admin.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromoteMember {
    pub group: GroupId,
    pub user: UserId,
}

impl Contract for PromoteMember {
    const NAME: &'static str = "promote_member";
    const SUMMARY: &'static str = "Makes a member an admin. Allowed for the owner.";
    const FIELDS: &'static [Field] = &[GROUP, MEMBER];
    const REPLIES: &'static [&'static str] = &["member_promoted"];
    const EVENTS: &'static [&'static str] = &["member_promoted"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(PromoteMember { group: fields.required_group_id("groupId")?, user: fields.required_user_id("userId")? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.group))
    }
}
