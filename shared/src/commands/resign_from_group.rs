//! `resign_from_group`: leaves a group, whatever role the caller has in it.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResignFromGroup {
    pub group: GroupId,
}

impl Contract for ResignFromGroup {
    const NAME: &'static str = "resign_from_group";
    const SUMMARY: &'static str = "Leaves a group, as the owner, too: the admin who joined first becomes the owner. \
        Without an admin the group is deleted for good.";
    const FIELDS: &'static [Field] = &[GROUP];
    const REPLIES: &'static [&'static str] = &["member_left", "group_deleted"];
    const EVENTS: &'static [&'static str] = &["member_left", "ownership_transferred", "group_deleted"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(ResignFromGroup { group: fields.required_group_id("groupId")? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.group))
    }
}
