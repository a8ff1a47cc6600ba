//! `transfer_ownership`: makes another member the owner; the previous owner becomes an admin.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferOwnership {
    pub group: GroupId,
    pub user: UserId,
}

impl Contract for TransferOwnership {
    const NAME: &'static str = "transfer_ownership";
    const SUMMARY: &'static str = "Makes another member the owner of the group. The previous owner becomes an admin.";
    const FIELDS: &'static [Field] = &[GROUP, MEMBER];
    const REPLIES: &'static [&'static str] = &["ownership_transferred"];
    const EVENTS: &'static [&'static str] = &["ownership_transferred"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(TransferOwnership { group: fields.required_group_id("groupId")?, user: fields.required_user_id("userId")? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.group))
    }
}
