//! The table of error codes, and `Rejection`: an answer that says why a command was not carried out.
//! Internal texts never get into it; they go to the log under the `errorId`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Invalid;
use crate::events::error::ErrorEvent;

/// Every code an `error` may carry (protocol section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    AuthRequired,
    AuthFailed,
    ValidationError,
    InvalidJson,
    UnknownType,
    UserBlocked,
    NotFollowing,
    RateLimitExceeded,
    EditWindowExpired,
    PermissionDenied,
    ResourceNotFound,
    GroupFull,
    TooManyMembers,
    OwnerCannotLeave,
    MaxConnectionsExceeded,
    PayloadTooLarge,
    ServiceUnavailable,
    InternalError,
}

impl ErrorCode {
    /// As on the wire, and as a metric's label.
    pub fn as_str(self) -> &'static str {
        use ErrorCode::*;
        match self {
            AuthRequired => "AUTH_REQUIRED",
            AuthFailed => "AUTH_FAILED",
            ValidationError => "VALIDATION_ERROR",
            InvalidJson => "INVALID_JSON",
            UnknownType => "UNKNOWN_TYPE",
            UserBlocked => "USER_BLOCKED",
            NotFollowing => "NOT_FOLLOWING",
            RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
            EditWindowExpired => "EDIT_WINDOW_EXPIRED",
            PermissionDenied => "PERMISSION_DENIED",
            ResourceNotFound => "RESOURCE_NOT_FOUND",
            GroupFull => "GROUP_FULL",
            TooManyMembers => "TOO_MANY_MEMBERS",
            OwnerCannotLeave => "OWNER_CANNOT_LEAVE",
            MaxConnectionsExceeded => "MAX_CONNECTIONS_EXCEEDED",
            PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            ServiceUnavailable => "SERVICE_UNAVAILABLE",
            InternalError => "INTERNAL_ERROR",
        }
    }

    /// The text for people when the rejecting place has none of its own.
    pub fn message(self) -> &'static str {
        use ErrorCode::*;
        match self {
            AuthRequired => "Authentication required",
            AuthFailed => "Authentication failed",
            ValidationError => "The command is not valid",
            InvalidJson => "The message is not valid JSON",
            UnknownType => "Unknown message type",
            UserBlocked => "One of the two users blocks the other",
            NotFollowing => "You do not follow this user",
            RateLimitExceeded => "Too many messages",
            EditWindowExpired => "This message can no longer be edited",
            PermissionDenied => "You may not do this",
            ResourceNotFound => "Not found",
            GroupFull => "The group is full",
            TooManyMembers => "Too many members",
            OwnerCannotLeave => "The owner cannot leave the group",
            MaxConnectionsExceeded => "Too many connections",
            PayloadTooLarge => "The message is too large",
            ServiceUnavailable => "The service is not available for the moment",
            InternalError => "An internal error occurred",
        }
    }
}

/// A command that is not carried out, and what its sender is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub code: ErrorCode,
    /// What has to change for the command to succeed: the field and the bound.
    pub details: String,
    pub field: Option<&'static str>,
    /// Whole seconds.
    pub retry_after: Option<u32>,
    pub error_id: Option<String>,
}

impl Rejection {
    pub fn new(code: ErrorCode, details: impl Into<String>) -> Self {
        Rejection { code, details: details.into(), field: None, retry_after: None, error_id: None }
    }

    pub fn invalid(field: &'static str, details: impl Into<String>) -> Self {
        Rejection { field: Some(field), ..Rejection::new(ErrorCode::ValidationError, details) }
    }

    pub fn not_found(field: &'static str, details: impl Into<String>) -> Self {
        Rejection { field: Some(field), ..Rejection::new(ErrorCode::ResourceNotFound, details) }
    }

    pub fn unavailable(details: impl Into<String>, retry_after_seconds: u32) -> Self {
        Rejection { retry_after: Some(retry_after_seconds), ..Rejection::new(ErrorCode::ServiceUnavailable, details) }
    }

    /// A fault of ours; `error_id` is in the log with the cause.
    pub fn internal(error_id: String) -> Self {
        Rejection {
            error_id: Some(error_id),
            ..Rejection::new(ErrorCode::InternalError, "The cause is in the server's log under this errorId")
        }
    }

    /// The event that carries this to the sender of a command named `request_type`.
    pub fn event<'a>(&'a self, request_type: Option<&'a str>) -> ErrorEvent<'a> {
        ErrorEvent {
            message: self.code.message(),
            details: &self.details,
            code: self.code,
            field: self.field,
            retry_after: self.retry_after,
            requires_auth: (self.code == ErrorCode::AuthRequired).then_some(true),
            error_id: self.error_id.as_deref(),
            request_type,
            timestamp: crate::clock::Timestamp::now(),
        }
    }
}

impl From<Invalid> for Rejection {
    fn from(invalid: Invalid) -> Self {
        Rejection::invalid(invalid.field, invalid.details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_and_the_serialised_form_agree() {
        for code in [ErrorCode::AuthRequired, ErrorCode::InvalidJson, ErrorCode::InternalError] {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{}\"", code.as_str()));
        }
    }
}
