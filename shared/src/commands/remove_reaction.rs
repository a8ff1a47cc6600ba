//! `remove_reaction`: removes the caller's reaction to a direct message.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveReaction {
    pub message: MessageId,
}

impl Contract for RemoveReaction {
    const NAME: &'static str = "remove_reaction";
    const SUMMARY: &'static str = "Removes the caller's reaction to a direct message.";
    const FIELDS: &'static [Field] = &[MESSAGE];
    const REPLIES: &'static [&'static str] = &["reaction_removed"];
    const EVENTS: &'static [&'static str] = &["reaction_removed"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(RemoveReaction { message: fields.required_message_id("messageId")? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::message(self.message)
    }
}
