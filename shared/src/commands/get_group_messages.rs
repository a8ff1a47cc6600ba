//! `get_group_messages`: returns a page of a group's history.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetGroupMessages {
    pub group: GroupId,
    pub page: PageRequest,
}

impl Contract for GetGroupMessages {
    const NAME: &'static str = "get_group_messages";
    const SUMMARY: &'static str = "Returns a page of a group's history, oldest first. Allowed for its members.";
    const FIELDS: &'static [Field] = &[GROUP, LIMIT, OFFSET, BEFORE_SEQ, AFTER_SEQ, AROUND_SEQ, AROUND_MESSAGE];
    const REPLIES: &'static [&'static str] = &["group_messages"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(GetGroupMessages {
            group: fields.required_group_id("groupId")?,
            page: PageRequest::decode(fields, context.limits)?,
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
