//! `delete_group`: deletes a group, immediately or after a while.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteGroup {
    pub group: GroupId,
    pub permanent: bool,
}

impl Contract for DeleteGroup {
    const NAME: &'static str = "delete_group";
    const SUMMARY: &'static str = "Deletes a group. Allowed for the owner. The group disappears at once; its data is \
        purged after `GROUP_PURGE_AFTER` (30 days by default), or at once with `permanent`.";
    const FIELDS: &'static [Field] =
        &[GROUP, Field::default("permanent", Kind::Boolean, "false", "Purges it immediately.")];
    const REPLIES: &'static [&'static str] = &["group_deleted"];
    const EVENTS: &'static [&'static str] = &["group_deleted"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(DeleteGroup {
            group: fields.required_group_id("groupId")?,
            permanent: fields.boolean("permanent")?.unwrap_or(false),
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.group))
    }
}
