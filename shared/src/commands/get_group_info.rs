//! `get_group_info`: returns a group's name, description and size.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetGroupInfo {
    pub group: GroupId,
}

impl Contract for GetGroupInfo {
    const NAME: &'static str = "get_group_info";
    const SUMMARY: &'static str = "Returns the name, description and size of a group. Allowed for its members.";
    const FIELDS: &'static [Field] = &[GROUP];
    const REPLIES: &'static [&'static str] = &["group_info"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(GetGroupInfo { group: fields.required_group_id("groupId")? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
