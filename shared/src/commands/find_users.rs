//! `find_users`: finds users by the beginning of their name.

use serde::{Deserialize, Serialize};

use super::prelude::*;
use crate::limits::{DEFAULT_FOUND_USERS, MAX_FOUND_USERS, MAX_USER_QUERY_CHARACTERS};
use crate::protocol::fields::is_blank;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindUsers {
    pub query: String,
    pub limit: u32,
}

impl Contract for FindUsers {
    const NAME: &'static str = "find_users";
    const SUMMARY: &'static str = "Returns users whose username or display name begins with a text, in any letter case; nobody who blocks \
        the caller or whom the caller blocks. Depending on the setting `USER_SEARCH` among all users, among those who share a \
        conversation, a group or a follow with the caller, or not at all.";
    const FIELDS: &'static [Field] = &[
        Field::required("query", Kind::Words { max: MAX_USER_QUERY_CHARACTERS }, "The beginning of the name."),
        Field::default("limit", Kind::LIMIT, "20", "The maximum number of users to return. More than 50 becomes 50."),
    ];
    const REPLIES: &'static [&'static str] = &["users_found"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        let query = fields.bounded("query", 1, MAX_USER_QUERY_CHARACTERS)?.ok_or_else(|| Invalid::required("query"))?;
        if is_blank(&query) {
            return Err(Invalid::new("query", "`query` must not be empty"));
        }
        Ok(FindUsers { query, limit: fields.limit_of(DEFAULT_FOUND_USERS, MAX_FOUND_USERS)? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
