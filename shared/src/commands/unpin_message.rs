//! `unpin_message`: takes a pin away.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpinMessage {
    pub message: MessageId,
    pub conversation: ConversationId,
}

impl Contract for UnpinMessage {
    const NAME: &'static str = "unpin_message";

    fn decode(fields: Fields<'_>, _context: &Context<'_>) -> Result<Self, Invalid> {
        Ok(UnpinMessage {
            message: fields.required_message_id("messageId")?,
            conversation: conversation_or_group(fields)?,
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(self.conversation)
    }
}
