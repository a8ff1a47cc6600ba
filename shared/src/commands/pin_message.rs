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
    const SUMMARY: &'static str = "Pins a message for all participants. In groups this is allowed for the owner and \
        admins. Pinning a pinned message is answered and changes nothing.";
    const FIELDS: &'static [Field] = &[
        MESSAGE,
        Field::required("conversationId", Kind::ConversationId, "Where the message is."),
        Field::instead_of("conversationId", "groupId", Kind::GroupId, "Where the message is, for groups."),
    ];
    const REPLIES: &'static [&'static str] = &["message_pinned"];
    const EVENTS: &'static [&'static str] = &["message_pinned"];
    const ERRORS: &'static [ErrorCode] =
        &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied, ErrorCode::UserBlocked];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(PinMessage {
            message: fields.required_message_id("messageId")?,
            conversation: conversation_or_group(fields)?,
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(self.conversation)
    }
}
