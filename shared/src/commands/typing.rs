//! `typing`: that one is typing, or stopped; has no answer and is never stored.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typing {
    pub conversation: ConversationId,
    pub is_typing: bool,
}

impl Contract for Typing {
    const NAME: &'static str = "typing";
    const HAS_ANSWER: bool = false;

    fn decode(fields: Fields<'_>, context: &Context<'_>) -> Result<Self, Invalid> {
        let conversation = match fields.group_id("groupId")? {
            Some(group) => ConversationId::Group(group),
            None => ConversationId::direct(context.caller, context.other_user(fields, "recipientId")?),
        };
        let is_typing = fields.boolean("isTyping")?.ok_or_else(|| Invalid::required("isTyping"))?;
        Ok(Typing { conversation, is_typing })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
