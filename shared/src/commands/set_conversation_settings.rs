//! `set_conversation_settings`: mutes a conversation, pins it or marks it as unread, for the caller only.

use serde::{Deserialize, Serialize};

use super::prelude::*;
use crate::clock::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetConversationSettings {
    pub conversation: ConversationId,
    /// `Some(None)` unmutes.
    pub muted_until: Option<Option<Timestamp>>,
    pub pinned: Option<bool>,
    pub marked_unread: Option<bool>,
}

impl Contract for SetConversationSettings {
    const NAME: &'static str = "set_conversation_settings";
    const SUMMARY: &'static str = "Sets how the caller sees a conversation. What is absent stays as it is. It concerns nobody else; the \
        caller's other connections are told.";
    const FIELDS: &'static [Field] = &[
        Field::required("conversationId", Kind::ConversationId, "A direct conversation or a group."),
        Field::optional(
            "mutedUntil",
            Kind::TimeOrNull,
            "Until when clients should not draw attention to it; `null` unmutes. Messages are delivered anyway.",
        ),
        Field::optional("pinned", Kind::Boolean, "Whether clients should show it before other conversations."),
        Field::optional(
            "markedUnread",
            Kind::Boolean,
            "Whether it counts as unread, regardless of what was read. The next `mark_message_read` in it resets this.",
        ),
    ];
    const REPLIES: &'static [&'static str] = &["conversation_settings"];
    const EVENTS: &'static [&'static str] = &["conversation_settings"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        let conversation = fields.conversation_id("conversationId")?;
        Ok(SetConversationSettings {
            conversation: conversation.ok_or_else(|| Invalid::required("conversationId"))?,
            muted_until: fields.time_or_null("mutedUntil")?,
            pinned: fields.boolean("pinned")?,
            marked_unread: fields.boolean("markedUnread")?,
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(self.conversation)
    }
}
