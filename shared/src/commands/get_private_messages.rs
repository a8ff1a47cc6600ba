//! `get_private_messages`: returns a page of a direct conversation's history.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetPrivateMessages {
    pub conversation: ConversationId,
    pub page: PageRequest,
}

impl Contract for GetPrivateMessages {
    const NAME: &'static str = "get_private_messages";
    const ALIASES: &'static [&'static str] = &["get_messages"];
    const SUMMARY: &'static str = "Returns a page of a direct conversation's history, oldest first.";
    const FIELDS: &'static [Field] = &[
        Field::required("conversationId", Kind::DirectConversationId, "Either order of the two ids is accepted."),
        Field::instead_of("conversationId", "recipientId", Kind::UserId, "The other user."),
        LIMIT,
        OFFSET,
        BEFORE_SEQ,
        AFTER_SEQ,
        AROUND_SEQ,
        AROUND_MESSAGE,
    ];
    const REPLIES: &'static [&'static str] = &["private_messages"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        let conversation = match fields.conversation_id("conversationId")? {
            Some(ConversationId::Group(_)) => {
                return Err(Invalid::new(
                    "conversationId",
                    "`conversationId` must name a direct conversation; groups have `get_group_messages`",
                ));
            }
            Some(conversation) => conversation,
            None => match fields.user_id("recipientId")? {
                Some(recipient) => ConversationId::direct(context.caller, recipient),
                None => return Err(Invalid::new("conversationId", "`conversationId` or `recipientId` is required")),
            },
        };
        Ok(GetPrivateMessages { conversation, page: PageRequest::decode(fields, context.limits)? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
