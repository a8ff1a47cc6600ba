//! `delete_message`: deletes a message for everyone, or hides it from the caller.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteMessage {
    pub message: MessageId,
    pub for_everyone: bool,
}

impl Contract for DeleteMessage {
    const NAME: &'static str = "delete_message";
    const ALIASES: &'static [&'static str] = &["delete_private_message"];
    const SUMMARY: &'static str = "Deletes a direct message. Its sender can delete it for everyone; either user can hide \
        it from themselves.";
    const FIELDS: &'static [Field] = &[
        MESSAGE,
        Field::default("deleteForEveryone", Kind::Boolean, "true", "`false` hides it from the caller only."),
    ];
    const REPLIES: &'static [&'static str] = &["message_deleted"];
    const EVENTS: &'static [&'static str] = &["message_deleted"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(DeleteMessage {
            message: fields.required_message_id("messageId")?,
            for_everyone: fields.boolean("deleteForEveryone")?.unwrap_or(true),
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::message(self.message)
    }
}
