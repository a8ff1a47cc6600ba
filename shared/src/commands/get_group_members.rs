//! `get_group_members`: a group's members.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetGroupMembers {
    pub group: GroupId,
}

impl Contract for GetGroupMembers {
    const NAME: &'static str = "get_group_members";
    const SUMMARY: &'static str = "Returns the members of a group. Allowed for its members.";
    const FIELDS: &'static [Field] = &[GROUP];
    const REPLIES: &'static [&'static str] = &["group_members"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, _context: &Context<'_>) -> Result<Self, Invalid> {
        Ok(GetGroupMembers { group: fields.required_group_id("groupId")? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
