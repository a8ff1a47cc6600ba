//! `mark_message_read`: marks a message and all before it as read, direct or group.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkMessageRead {
    pub message: MessageId,
    pub conversation: Option<ConversationId>,
}

impl Contract for MarkMessageRead {
    const NAME: &'static str = "mark_message_read";
    const SUMMARY: &'static str = "Marks a message and all earlier ones as read, in direct conversations and groups. It \
        is always answered; others receive the event only if something changed.";
    const FIELDS: &'static [Field] = &[
        MESSAGE,
        Field::optional("conversationId", Kind::ConversationId, "Where the message is; only checked."),
        Field::instead_of("conversationId", "groupId", Kind::GroupId, "The same, for groups."),
    ];
    const REPLIES: &'static [&'static str] = &["message_read"];
    const EVENTS: &'static [&'static str] = &["message_read", "conversation_settings"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        let conversation = match fields.group_id("groupId")? {
            Some(group) => Some(ConversationId::Group(group)),
            None => fields.conversation_id("conversationId")?,
        };
        Ok(MarkMessageRead { message: fields.required_message_id("messageId")?, conversation })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::message(self.message)
    }
}
