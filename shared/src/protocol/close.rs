//! The table of WebSocket close codes: when each is sent and whether a client should come back.

/// What a client does after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// With a delay that grows, and a random part.
    Yes,
    /// The same would happen again, until what the client does, or its token, is another.
    AfterChange,
}

/// Makes the enum, and what is told of each code, from one table.
macro_rules! close_codes {
    ($(#[doc = $about:literal] $code:ident = $number:literal $reconnect:ident;)*) => {
        /// Why the server closes a connection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum CloseCode {
            $(#[doc = $about] $code = $number,)*
        }

        impl CloseCode {
            pub const ALL: &[CloseCode] = &[$(CloseCode::$code,)*];

            /// When it is sent, for the reference.
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
    /// Nothing was sent for 300 s (`ping` counts), or a newer session replaced this one (`session_conflict` says so).
    Normal = 1000 AfterChange;
    /// No sign of life, pongs included, for 60 s.
    KeepAliveLost = 1001 Yes;
    /// RFC 6455 was violated.
    ProtocolViolation = 1002 AfterChange;
    /// Text that is not UTF-8.
    InvalidUtf8 = 1007 AfterChange;
    /// Not authenticated in time, too many failures, too many connections or requests of the address, or the token was revoked or expired.
    Policy = 1008 AfterChange;
    /// A message over 1 MiB.
    MessageTooLarge = 1009 AfterChange;
    /// A fault of the server.
    Internal = 1011 Yes;
    /// The server restarts.
    Restart = 1012 Yes;
    /// Overloaded, or this client reads too slowly: later.
    TryLater = 1013 Yes;
}
