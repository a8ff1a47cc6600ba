//! Why an operation of the client failed. Written for the reader of a failed test: each error names what arrived
//! instead.

use std::time::Duration;

use serde_json::Value;

use crate::connection::CloseInfo;
use crate::event;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL, a header or a secret passed to the client cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// The TCP connection, TLS or the WebSocket handshake failed.
    #[error("cannot connect to {url}: {reason}")]
    Connect { url: String, reason: String },
    /// The server answered the upgrade with an ordinary HTTP answer, for example 403 for a refused origin.
    #[error("the upgrade was answered with HTTP {status}: {body}")]
    Http { status: u16, body: String },
    /// The server accepted the upgrade, but only to send an `error` event that says why it refuses the connection.
    #[error("the connection was refused: {}; {close}", event::summary(.event))]
    Refused { event: Value, close: CloseInfo },
    /// A command was answered by `error` or `auth_error`.
    #[error("{}: {}", .0["code"].as_str().unwrap_or("error"), .0["message"].as_str().unwrap_or("no message"))]
    Rejected(Value),
    /// The connection is over.
    #[error("the connection ended: {close}{}", event::left(.arrived))]
    Closed { close: CloseInfo, arrived: Vec<Value> },
    /// What the caller waited for did not arrive in time.
    #[error("waited {waited:?} for {expected} in vain; {}", event::arrived(.arrived))]
    Timeout { expected: String, waited: Duration, arrived: Vec<Value> },
    /// An event arrived that must not arrive.
    #[error("unexpected: {}", event::summary(.0))]
    Unexpected(Value),
    /// The observer does not accept an answer.
    #[error("the server broke the contract: {0}")]
    Contract(String),
    /// While waiting for another event, more events were skipped than the client keeps.
    #[error("more than {0} events are waiting to be looked at")]
    TooManyWaiting(usize),
}

impl Error {
    /// The error code of the server's answer, if this is one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Error::Rejected(event) | Error::Refused { event, .. } => event["code"].as_str(),
            _ => None,
        }
    }

    /// The server's `retryAfter`, if its answer has one.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Rejected(event) | Error::Refused { event, .. } => {
                event["retryAfter"].as_u64().map(Duration::from_secs)
            }
            _ => None,
        }
    }

    /// True if the same operation may well succeed on a new connection.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Invalid(_) | Error::Unexpected(_) | Error::Contract(_) => false,
            Error::Http { status, .. } => *status == 429 || *status >= 500,
            Error::Rejected(_) => {
                matches!(self.code(), Some("SERVICE_UNAVAILABLE" | "RATE_LIMIT_EXCEEDED" | "INTERNAL_ERROR"))
            }
            Error::Connect { .. }
            | Error::Refused { .. }
            | Error::Closed { .. }
            | Error::Timeout { .. }
            | Error::TooManyWaiting(_) => true,
        }
    }
}
