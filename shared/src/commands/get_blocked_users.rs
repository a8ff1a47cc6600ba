//! `get_blocked_users`: lists the users whom the caller blocks.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetBlockedUsers;

impl Contract for GetBlockedUsers {
    const NAME: &'static str = "get_blocked_users";
    const SUMMARY: &'static str = "Returns the users whom the caller blocks, the latest first; at most 1,000. Only where this server keeps \
        the accounts (`BUILTIN_AUTH`).";
    const REPLIES: &'static [&'static str] = &["blocked_users"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::PermissionDenied];

    fn decode(_fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(GetBlockedUsers)
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
