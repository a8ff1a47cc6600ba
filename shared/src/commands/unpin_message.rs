//! `unpin_message`: unpins a message.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpinMessage {
    pub message: MessageId,
    pub conversation: ConversationId,
}

impl Contract for UnpinMessage {
    const NAME: &'static str = "unpin_message";
    const SUMMARY: &'static str = "Unpins a message. In groups this is allowed for the owner and admins. Unpinning a \
        message that is not pinned is answered and changes nothing.";
    const FIELDS: &'static [Field] = &[
        MESSAGE,
        Field::required("conversationId", Kind::ConversationId, "Where the message is."),
        Field::instead_of("conversationId", "groupId", Kind::GroupId, "Where the message is, for groups."),
    ];
    const REPLIES: &'static [&'static str] = &["message_unpinned"];
    const EVENTS: &'static [&'static str] = &["message_unpinned"];
    const ERRORS: &'static [ErrorCode] =
        &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied, ErrorCode::UserBlocked];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(UnpinMessage {
            message: fields.required_message_id("messageId")?,
            conversation: conversation_or_group(fields)?,
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(self.conversation)
    }
}
