//! The table of WebSocket close codes: when each is sent, and if a client should reconnect.

/// What a client does after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// After a delay that grows and has a random part.
    Yes,
    /// Reconnecting would have the same result until the client changes its behaviour or its token.
    AfterChange,
}

/// Generates the enum, and the description of each code, from one table.
macro_rules! close_codes {
    ($(#[doc = $about:literal] $code:ident = $number:literal $reconnect:ident;)*) => {
        /// Why the server closes a connection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum CloseCode {
            $(#[doc = $about] $code = $number,)*
        }

        impl CloseCode {
            pub const ALL: &[CloseCode] = &[$(CloseCode::$code,)*];

            /// When the code is sent, for the reference.
            pub fn about(self) -> &'static str {
                match self {
                    $(CloseCode::$code => $about.trim_ascii_start(),)*
                }
            }

            pub fn reconnect(self) -> Reconnect {
                match self {
                    $(CloseCode::$code => Reconnect::$reconnect,)*
                }
            }
        }
    };
}

close_codes! {
    /// The client sent no message for `CONNECTION_TIMEOUT` (300 s by default; `ping` counts), or a newer session replaced this one, after `session_conflict`.
    Normal = 1000 AfterChange;
    /// Nothing arrived, not even a pong, for `KEEP_ALIVE_TIMEOUT` (60 s by default).
    KeepAliveLost = 1001 Yes;
    /// The client violated RFC 6455.
    ProtocolViolation = 1002 AfterChange;
    /// The client sent text that is not UTF-8.
    InvalidUtf8 = 1007 AfterChange;
    /// The client did not authenticate in time or failed too often, the address has too many connections or requests, or the token was revoked or has expired.
    Policy = 1008 AfterChange;
    /// The message was larger than `MAX_PAYLOAD_SIZE` (1 MiB by default).
    MessageTooLarge = 1009 AfterChange;
    /// An error occurred in the server.
    Internal = 1011 Yes;
    /// The server is restarting.
    Restart = 1012 Yes;
    /// The server is overloaded, the client reads too slowly, or it missed more than is replayed. Try again later.
    TryLater = 1013 Yes;
}
