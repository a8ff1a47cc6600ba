//! `remove_group_reaction`: removes the caller's reaction to a group message.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveGroupReaction {
    pub message: MessageId,
}

impl Contract for RemoveGroupReaction {
    const NAME: &'static str = "remove_group_reaction";
    const SUMMARY: &'static str = "Removes the caller's reaction to a group message.";
    const FIELDS: &'static [Field] = &[MESSAGE];
    const REPLIES: &'static [&'static str] = &["group_reaction_removed"];
    const EVENTS: &'static [&'static str] = &["group_reaction_removed"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(RemoveGroupReaction { message: fields.required_message_id("messageId")? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::message(self.message)
    }
}
