//! The table of WebSocket close codes: when each is sent and whether a client should come back.

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// Inactive for too long, or replaced by a newer session.
    Normal = 1000,
    /// No sign of life.
    KeepAliveLost = 1001,
    /// RFC 6455 was violated.
    ProtocolViolation = 1002,
    /// Text that is not UTF-8.
    InvalidUtf8 = 1007,
    /// Authentication, connection limits, revoked or expired tokens.
    Policy = 1008,
    MessageTooLarge = 1009,
    Internal = 1011,
    /// The server restarts: reconnect.
    Restart = 1012,
    /// Overloaded, or this client reads too slowly: reconnect later.
    TryLater = 1013,
}
