//! `start_conversation`: opens the direct conversation with a user; stores nothing.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartConversation {
    pub recipient: UserId,
}

impl Contract for StartConversation {
    const NAME: &'static str = "start_conversation";
    const SUMMARY: &'static str = "Opens the direct conversation with a user and returns its last 50 messages. Nothing is \
        stored.";
    const FIELDS: &'static [Field] = &[Field::required("recipientId", Kind::UserId, "Not the caller.")];
    const REPLIES: &'static [&'static str] = &["conversation_started"];
    const ERRORS: &'static [ErrorCode] =
        &[ErrorCode::ResourceNotFound, ErrorCode::UserBlocked, ErrorCode::NotFollowing];

    fn decode(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(StartConversation { recipient: context.other_user(fields, "recipientId")? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
