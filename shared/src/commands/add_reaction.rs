//! `add_reaction`: reacts to a direct message. A different reaction replaces the earlier one; the same one again
//! removes it.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddReaction {
    pub message: MessageId,
    pub reaction: String,
}

impl Contract for AddReaction {
    const NAME: &'static str = "add_reaction";
    const SUMMARY: &'static str = "Reacts to a direct message. A different reaction replaces the first; the same one \
        again removes it.";
    const FIELDS: &'static [Field] = &[MESSAGE, REACTION, EMOJI];
    const REPLIES: &'static [&'static str] = &["reaction_added", "reaction_removed"];
    const EVENTS: &'static [&'static str] = &["reaction_added", "reaction_removed"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::UserBlocked];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(AddReaction { message: fields.required_message_id("messageId")?, reaction: reaction(fields)? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::message(self.message)
    }
}
