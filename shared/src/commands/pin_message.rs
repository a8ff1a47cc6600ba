//! `pin_message`: pins a message for all participants.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinMessage {
    pub message: MessageId,
    pub conversation: ConversationId,
}

impl Contract for PinMessage {
    const NAME: &'static str = "pin_message";

    fn decode(fields: Fields<'_>, _context: &Context<'_>) -> Result<Self, Invalid> {
        Ok(PinMessage {
            message: fields.required_message_id("messageId")?,
            conversation: conversation_or_group(fields)?,
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(self.conversation)
    }
}
