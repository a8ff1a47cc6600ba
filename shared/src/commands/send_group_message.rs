//! `send_group_message`: a message to a group.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendGroupMessage {
    pub group: GroupId,
    pub content: String,
    pub reply_to: Option<MessageId>,
    pub client_message_id: Option<String>,
}

impl Contract for SendGroupMessage {
    const NAME: &'static str = "send_group_message";
    const IS_MESSAGE: bool = true;

    fn decode(fields: Fields<'_>, context: &Context<'_>) -> Result<Self, Invalid> {
        Ok(SendGroupMessage {
            group: fields.required_group_id("groupId")?,
            content: fields.content(&["content"], context.limits.message_characters)?,
            reply_to: fields.message_id("replyToMessageId")?,
            client_message_id: client_message_id(fields)?,
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.group))
    }
}
