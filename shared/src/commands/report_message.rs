//! `report_message`: tells the product's moderators of a message.

use serde::{Deserialize, Serialize};

use super::prelude::*;
use crate::limits::MAX_REASON_CHARACTERS;
use crate::protocol::fields::is_blank;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportMessage {
    pub message: MessageId,
    pub reason: String,
}

impl Contract for ReportMessage {
    const NAME: &'static str = "report_message";
    const SUMMARY: &'static str = "Reports somebody else's message to the moderators of the product, for anyone who can read it. \
        Nobody in the conversation is told. A second report of the same message gets the first one's answer.";
    const FIELDS: &'static [Field] =
        &[MESSAGE, Field::required("reason", Kind::Words { max: MAX_REASON_CHARACTERS }, "What is wrong with it.")];
    const REPLIES: &'static [&'static str] = &["message_reported"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        let message = fields.required_message_id("messageId")?;
        let reason = fields.bounded("reason", 1, MAX_REASON_CHARACTERS)?;
        let reason = reason.ok_or_else(|| Invalid::required("reason"))?;
        if is_blank(&reason) {
            return Err(Invalid::new("reason", "`reason` must not be empty"));
        }
        Ok(ReportMessage { message, reason })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::message(self.message)
    }
}
