//! `delete_group_message`: deletes a message for everyone, or hides it from the caller.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteGroupMessage {
    pub message: MessageId,
    pub for_everyone: bool,
}

impl Contract for DeleteGroupMessage {
    const NAME: &'static str = "delete_group_message";
    const SUMMARY: &'static str = "Deletes a group message. Its sender, the owner and admins can delete it for everyone; \
        any member can hide it from themselves.";
    const FIELDS: &'static [Field] = &[
        MESSAGE,
        Field::default("deleteForEveryone", Kind::Boolean, "true", "`false` hides it from the caller only."),
    ];
    const REPLIES: &'static [&'static str] = &["group_message_deleted"];
    const EVENTS: &'static [&'static str] = &["group_message_deleted"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(DeleteGroupMessage {
            message: fields.required_message_id("messageId")?,
            for_everyone: fields.boolean("deleteForEveryone")?.unwrap_or(true),
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::message(self.message)
    }
}
