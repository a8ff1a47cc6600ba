//! `unblock_user`: ends a block.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnblockUser {
    pub user: UserId,
}

impl Contract for UnblockUser {
    const NAME: &'static str = "unblock_user";
    const SUMMARY: &'static str =
        "Ends the caller's block of a user. Only available if this server keeps the accounts (`BUILTIN_AUTH`).";
    const FIELDS: &'static [Field] = &[Field::required("userId", Kind::UserId, "The user; not the caller.")];
    const REPLIES: &'static [&'static str] = &["user_unblocked"];
    const EVENTS: &'static [&'static str] = &["user_unblocked"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(UnblockUser { user: context.other_user(fields, "userId")? })
    }

    fn route(&self, caller: UserId) -> Route {
        Route::Ordered(Subject::User(caller))
    }
}
