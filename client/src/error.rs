//! Why an operation of the client failed. Written for whoever reads a failed test: each names what came instead.

use std::time::Duration;

use serde_json::Value;

use crate::connection::CloseInfo;
use crate::event;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL, a header or a secret handed to the client is unusable.
    #[error("{0}")]
    Invalid(String),
    /// The TCP connection, TLS or the WebSocket handshake did not come about.
    #[error("cannot connect to {url}: {reason}")]
    Connect { url: String, reason: String },
    /// The server answered the upgrade with an ordinary HTTP answer, for instance 403 for a refused origin.
    #[error("the upgrade was answered with HTTP {status}: {body}")]
    Http { status: u16, body: String },
    /// The server accepted the upgrade only to say in an `error` event why it turns the connection away.
    #[error("the connection was refused: {}; {close}", event::summary(.event))]
    Refused { event: Value, close: CloseInfo },
    /// A command was answered by `error` or `auth_error`.
    #[error("{}: {}", .0["code"].as_str().unwrap_or("error"), .0["message"].as_str().unwrap_or("no message"))]
    Rejected(Value),
    /// The connection is over.
    #[error("the connection ended: {close}{}", event::left(.arrived))]
    Closed { close: CloseInfo, arrived: Vec<Value> },
    /// What was waited for did not come in time.
    #[error("waited {waited:?} for {expected} in vain; {}", event::arrived(.arrived))]
    Timeout { expected: String, waited: Duration, arrived: Vec<Value> },
    /// An event came that must not come.
    #[error("unexpected: {}", event::summary(.0))]
    Unexpected(Value),
    /// An answer is none that the observer accepts.
    #[error("the server broke the contract: {0}")]
    Contract(String),
    /// More events were passed over while waiting for another one than the client keeps.
    #[error("more than {0} events are waiting to be looked at")]
    TooManyWaiting(usize),
}

impl Error {
    /// The error code of the server's answer, when this is one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Error::Rejected(event) | Error::Refused { event, .. } => event["code"].as_str(),
            _ => None,
        }
    }

    /// The server's `retryAfter`, when its answer has one.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Rejected(event) | Error::Refused { event, .. } => {
                event["retryAfter"].as_u64().map(Duration::from_secs)
            }
            _ => None,
        }
    }

    /// Whether the same thing on a fresh connection may well succeed.
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
