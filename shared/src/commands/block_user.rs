//! `block_user`: blocks a user.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockUser {
    pub user: UserId,
}

impl Contract for BlockUser {
    const NAME: &'static str = "block_user";
    const SUMMARY: &'static str = "Blocks a user: neither can write to the other, finds the other, or sees if the other is online. The blocked user is not notified. Only available if this server keeps the accounts (`BUILTIN_AUTH`).";
    const FIELDS: &'static [Field] = &[Field::required("userId", Kind::UserId, "The user; not the caller.")];
    const REPLIES: &'static [&'static str] = &["user_blocked"];
    const EVENTS: &'static [&'static str] = &["user_blocked"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::PermissionDenied, ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(BlockUser { user: context.other_user(fields, "userId")? })
    }

    fn route(&self, caller: UserId) -> Route {
        Route::Ordered(Subject::User(caller))
    }
}
