//! `get_pinned_messages`: lists the pinned messages of a conversation or group.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetPinnedMessages {
    pub conversation: ConversationId,
}

impl Contract for GetPinnedMessages {
    const NAME: &'static str = "get_pinned_messages";
    const SUMMARY: &'static str = "Returns the pinned messages of a direct conversation or a group.";
    const FIELDS: &'static [Field] = &[
        Field::required("conversationId", Kind::ConversationId, "The conversation."),
        Field::instead_of("conversationId", "groupId", Kind::GroupId, "The group."),
    ];
    const REPLIES: &'static [&'static str] = &["pinned_messages"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(GetPinnedMessages { conversation: conversation_or_group(fields)? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
