//! `add_group_reaction`: reacts to a group message. A different reaction replaces the earlier one; the same one again
//! removes it.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddGroupReaction {
    pub message: MessageId,
    pub reaction: String,
}

impl Contract for AddGroupReaction {
    const NAME: &'static str = "add_group_reaction";
    const SUMMARY: &'static str = "Reacts to a group message. A different reaction replaces the first; the same one again \
        removes it.";
    const FIELDS: &'static [Field] = &[MESSAGE, REACTION, EMOJI];
    const REPLIES: &'static [&'static str] = &["group_reaction_added", "group_reaction_removed"];
    const EVENTS: &'static [&'static str] = &["group_reaction_added", "group_reaction_removed"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::MemberMuted];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(AddGroupReaction { message: fields.required_message_id("messageId")?, reaction: reaction(fields)? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::message(self.message)
    }
}
