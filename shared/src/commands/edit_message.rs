//! `edit_message`: replaces the content of the caller's own message.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditMessage {
    pub message: MessageId,
    pub content: String,
    #[serde(skip)]
    pub metadata: MetadataField,
}

impl Contract for EditMessage {
    const NAME: &'static str = "edit_message";
    const ALIASES: &'static [&'static str] = &["edit_private_message", "update_message"];
    const SUMMARY: &'static str = "Changes the text of a direct message. Allowed for its sender, within `EDIT_WINDOW` (5 \
        minutes by default).";
    const FIELDS: &'static [Field] = &[MESSAGE, CONTENT, NEW_CONTENT, NEW_METADATA];
    const REPLIES: &'static [&'static str] = &["message_edited"];
    const EVENTS: &'static [&'static str] = &["message_edited"];
    const ERRORS: &'static [ErrorCode] = &[
        ErrorCode::ResourceNotFound,
        ErrorCode::PermissionDenied,
        ErrorCode::UserBlocked,
        ErrorCode::EditWindowExpired,
        ErrorCode::MessageRejected,
    ];

    fn decode(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(EditMessage {
            message: fields.required_message_id("messageId")?,
            content: fields.content(&["content", "newContent"], context.limits.message_characters)?,
            metadata: fields.metadata()?,
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::message(self.message)
    }

    fn metadata(&mut self) -> Option<&mut MetadataField> {
        Some(&mut self.metadata)
    }
}
