//! The table of error codes, and `Rejection`: an answer that says why a command was rejected. It never contains
//! internal texts; those go to the log under the `errorId`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Invalid;

/// Generates the enum, and the description of each code, from one table.
macro_rules! error_codes {
    ($(#[doc = $about:literal] $code:ident $name:literal $message:literal;)*) => {
        /// Every code that an `error` may have (protocol section 3).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum ErrorCode {
            $(#[doc = $about] #[serde(rename = $name)] $code,)*
        }

        impl ErrorCode {
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$code,)*];

            /// The code on the wire, also used as a metric's label.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(ErrorCode::$code => $name,)*
                }
            }

            /// The text for people, if the place that rejects has none of its own.
            pub fn message(self) -> &'static str {
                match self {
                    $(ErrorCode::$code => $message,)*
                }
            }
        }
    };
}

error_codes! {
    /// The command needs `authenticate` first; the error has `requiresAuth: true`.
    AuthRequired "AUTH_REQUIRED" "Authentication required";
    /// Over HTTP: the token was revoked, its user does not exist, or username and password do not match.
    AuthFailed "AUTH_FAILED" "Authentication failed";
    /// A field breaks the contract; `field` names it, `details` says what is expected.
    ValidationError "VALIDATION_ERROR" "The command is not valid";
    /// The message is not JSON.
    InvalidJson "INVALID_JSON" "The message is not valid JSON";
    /// There is no such command; `details` lists the commands.
    UnknownType "UNKNOWN_TYPE" "Unknown message type";
    /// One of the two users blocks the other.
    UserBlocked "USER_BLOCKED" "One of the two users blocks the other";
    /// The caller does not follow the other user, and `FOLLOW_POLICY` is `enforce`. With `warn`, the default, the answer has this code as its `warning` instead.
    NotFollowing "NOT_FOLLOWING" "You do not follow this user";
    /// The user sent too many messages or other commands, or the address too many requests. Try again after `retryAfter` seconds.
    RateLimitExceeded "RATE_LIMIT_EXCEEDED" "Too many messages";
    /// The message is older than `EDIT_WINDOW` (5 minutes by default).
    EditWindowExpired "EDIT_WINDOW_EXPIRED" "This message can no longer be edited";
    /// The caller's role does not allow this command.
    PermissionDenied "PERMISSION_DENIED" "You may not do this";
    /// The product does not let this message through; `details` has the reason that its backend gave, which may be empty.
    MessageRejected "MESSAGE_REJECTED" "This message was not accepted";
    /// It does not exist, or the caller may not know that it does.
    ResourceNotFound "RESOURCE_NOT_FOUND" "Not found";
    /// The group has `maxMembers` members.
    GroupFull "GROUP_FULL" "The group is full";
    /// There are more initial members than the group may have.
    TooManyMembers "TOO_MANY_MEMBERS" "Too many members";
    /// The owner cannot leave; transfer or delete the group instead.
    OwnerCannotLeave "OWNER_CANNOT_LEAVE" "The owner cannot leave the group";
    /// The address, the user or the server has too many connections. The connection is closed with 1008.
    MaxConnectionsExceeded "MAX_CONNECTIONS_EXCEEDED" "Too many connections";
    /// Over HTTP: the body is too large. On a WebSocket, a message over `MAX_PAYLOAD_SIZE` closes the connection with 1009 instead.
    PayloadTooLarge "PAYLOAD_TOO_LARGE" "The message is too large";
    /// The service is temporarily unavailable. Try again after `retryAfter` seconds. The command may have been applied, so repeat a send with the same `clientMessageId`.
    ServiceUnavailable "SERVICE_UNAVAILABLE" "The service is temporarily unavailable";
    /// An error occurred in the server; its log has the cause under `errorId`.
    InternalError "INTERNAL_ERROR" "An internal error occurred";
    /// The caller is muted in the group: for `retryAfter` more seconds, or until somebody ends it.
    MemberMuted "MEMBER_MUTED" "You are muted in this group";
    /// The group is in slow mode, and the caller's last message is too recent. Try again after `retryAfter` seconds.
    SlowMode "SLOW_MODE" "This group is in slow mode";
    /// The user is banned from the group: for `retryAfter` more seconds, or until somebody ends it.
    MemberBanned "MEMBER_BANNED" "This user is banned from the group";
}

impl ErrorCode {
    /// The status over HTTP.
    pub fn http_status(self) -> u16 {
        match self {
            Self::ValidationError | Self::InvalidJson | Self::UnknownType | Self::TooManyMembers => 400,
            Self::AuthRequired | Self::AuthFailed => 401,
            Self::PermissionDenied
            | Self::UserBlocked
            | Self::NotFollowing
            | Self::MessageRejected
            | Self::MemberMuted
            | Self::MemberBanned => 403,
            Self::ResourceNotFound => 404,
            Self::EditWindowExpired | Self::GroupFull | Self::OwnerCannotLeave => 409,
            Self::PayloadTooLarge => 413,
            Self::RateLimitExceeded | Self::MaxConnectionsExceeded | Self::SlowMode => 429,
            Self::ServiceUnavailable => 503,
            Self::InternalError => 500,
        }
    }
}

/// A rejected command, and what its sender is told.
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

    /// Places become free when other connections close; when that will be is unknown.
    pub fn too_many_connections(details: impl Into<String>) -> Self {
        const RETRY_AFTER_SECONDS: u32 = 30;
        let rejection = Rejection::new(ErrorCode::MaxConnectionsExceeded, details);
        Rejection { retry_after: Some(RETRY_AFTER_SECONDS), ..rejection }
    }

    /// An error on our side; `error_id` is in the log with the cause.
    pub fn internal(error_id: String) -> Self {
        Rejection {
            error_id: Some(error_id),
            ..Rejection::new(ErrorCode::InternalError, "The cause is in the server's log under this errorId")
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
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{}\"", code.as_str()));
        }
    }
}
