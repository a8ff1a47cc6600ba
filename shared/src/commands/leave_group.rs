//! `leave_group`: leaves a group.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveGroup {
    pub group: GroupId,
}

impl Contract for LeaveGroup {
    const NAME: &'static str = "leave_group";
    const SUMMARY: &'static str = "Leaves a group. The owner cannot leave.";
    const FIELDS: &'static [Field] = &[GROUP];
    const REPLIES: &'static [&'static str] = &["member_left"];
    const EVENTS: &'static [&'static str] = &["member_left"];
    const ERRORS: &'static [ErrorCode] =
        &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied, ErrorCode::OwnerCannotLeave];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(LeaveGroup { group: fields.required_group_id("groupId")? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.group))
    }
}
