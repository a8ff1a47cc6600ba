//! `error`: the answer to a rejected command.

use schemars::JsonSchema;
use serde::Serialize;

use super::Event;
use crate::clock::Timestamp;
use crate::protocol::{ErrorCode, Rejection};

/// A command was rejected, or a connection refused.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorEvent<'a> {
    /// For people.
    pub message: &'a str,
    /// The same as `message`.
    pub error: &'a str,
    /// What has to change for the command to succeed.
    pub details: &'a str,
    /// For programs.
    pub code: ErrorCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'a str>,
    /// Whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires_auth: Option<bool>,
    /// Also in the server's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_id: Option<&'a str>,
    /// The `type` of the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_type: Option<&'a str>,
    pub timestamp: Timestamp,
}

impl Event for ErrorEvent<'_> {
    const TYPE: &'static str = "error";
    const HAS_TIMESTAMP: bool = true;
}

impl Rejection {
    /// The event that carries this to the sender of a command named `request_type`.
    pub fn event<'a>(&'a self, request_type: Option<&'a str>) -> ErrorEvent<'a> {
        // A reason of the product's own is meant for people.
        let has_reason = self.code == ErrorCode::MessageRejected && !self.details.is_empty();
        let message = if has_reason { &self.details } else { self.code.message() };
        ErrorEvent {
            message,
            error: message,
            details: &self.details,
            code: self.code,
            field: self.field,
            retry_after: self.retry_after,
            requires_auth: (self.code == ErrorCode::AuthRequired).then_some(true),
            error_id: self.error_id.as_deref(),
            request_type,
            timestamp: Timestamp::now(),
        }
    }
}
