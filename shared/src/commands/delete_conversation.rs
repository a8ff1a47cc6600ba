//! `delete_conversation`: deletes a direct conversation's messages, or hides them from the caller.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteConversation {
    pub conversation: ConversationId,
    pub for_everyone: bool,
}

impl Contract for DeleteConversation {
    const NAME: &'static str = "delete_conversation";
    const SUMMARY: &'static str = "Deletes the messages of a direct conversation for both users, or hides them from the \
        caller. A new message makes the conversation visible again.";
    const FIELDS: &'static [Field] = &[
        Field::required("conversationId", Kind::DirectConversationId, "Either order of the two ids is accepted."),
        Field::default("deleteForEveryone", Kind::Boolean, "false", "`true` removes the messages for both."),
    ];
    const REPLIES: &'static [&'static str] = &["conversation_deleted"];
    const EVENTS: &'static [&'static str] = &["conversation_deleted"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        let conversation = match fields.conversation_id("conversationId")? {
            Some(ConversationId::Group(_)) => {
                return Err(Invalid::new(
                    "conversationId",
                    "`conversationId` must name a direct conversation; groups have `delete_group`",
                ));
            }
            Some(conversation) => conversation,
            None => return Err(Invalid::required("conversationId")),
        };
        Ok(DeleteConversation { conversation, for_everyone: fields.boolean("deleteForEveryone")?.unwrap_or(false) })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(self.conversation)
    }
}
