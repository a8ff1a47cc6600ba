//! `edit_group_message`: replaces the content of the caller's own message.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditGroupMessage {
    pub message: MessageId,
    pub content: String,
    #[serde(skip)]
    pub metadata: MetadataField,
}

impl Contract for EditGroupMessage {
    const NAME: &'static str = "edit_group_message";
    const SUMMARY: &'static str = "Changes the text of a group message. Allowed for its sender, within `EDIT_WINDOW` (5 \
        minutes by default).";
    const FIELDS: &'static [Field] = &[MESSAGE, CONTENT, NEW_CONTENT, NEW_METADATA];
    const REPLIES: &'static [&'static str] = &["group_message_edited"];
    const EVENTS: &'static [&'static str] = &["group_message_edited"];
    const ERRORS: &'static [ErrorCode] = &[
        ErrorCode::ResourceNotFound,
        ErrorCode::PermissionDenied,
        ErrorCode::EditWindowExpired,
        ErrorCode::MessageRejected,
        ErrorCode::MemberMuted,
    ];

    fn decode(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(EditGroupMessage {
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
