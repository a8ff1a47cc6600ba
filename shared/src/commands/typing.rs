//! `typing`: says that the caller is typing or has stopped. It has no answer and is never stored.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typing {
    pub conversation: ConversationId,
    pub is_typing: bool,
}

impl Contract for Typing {
    const NAME: &'static str = "typing";
    const SUMMARY: &'static str = "Tells the others that the caller is typing or has stopped. Typing ends by itself 3 s \
        after the last `isTyping: true`. Only errors are answered. If one of the two users \
        blocks the other, nothing happens. In groups with more than 1,000 members, nobody is told.";
    const FIELDS: &'static [Field] = &[
        Field::required("recipientId", Kind::UserId, "Not the caller."),
        Field::instead_of("recipientId", "groupId", Kind::GroupId, "The group in which the caller is typing."),
        Field::required("isTyping", Kind::Boolean, "`false` ends it immediately."),
    ];
    const REPLIES: &'static [&'static str] = &[];
    const EVENTS: &'static [&'static str] = &["user_typing"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Self, Invalid> {
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
