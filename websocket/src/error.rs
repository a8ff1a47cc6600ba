//! Why an inbound stream is invalid, with the close code that tells the client. Handshake errors are in `handshake`.

use std::fmt;

/// A violation of the protocol or of a limit. The connection cannot continue after it: send a close frame with
/// [`close_code`](Self::close_code) and [`reason`](Self::reason), then close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolError {
    ReservedBits,
    UnknownOpcode,
    Unmasked,
    FragmentedControl,
    ControlTooLong,
    /// The length is not encoded in the fewest bytes possible, or has its top bit set.
    InvalidLength,
    /// A continuation frame although no message has begun.
    UnexpectedContinuation,
    /// A new message before the last one's final fragment.
    ExpectedContinuation,
    InvalidClosePayload,
    InvalidCloseCode,
    InvalidUtf8,
    InvalidDeflate,
    TooLarge,
}

impl ProtocolError {
    /// The close code to send: 1002, 1007 or 1009.
    #[must_use]
    pub fn close_code(self) -> u16 {
        match self {
            Self::InvalidUtf8 | Self::InvalidDeflate => 1007,
            Self::TooLarge => 1009,
            _ => 1002,
        }
    }

    /// The close reason to send; short, and says nothing about the payload.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::ReservedBits => "Reserved bit set",
            Self::UnknownOpcode => "Unknown opcode",
            Self::Unmasked => "Unmasked frame",
            Self::FragmentedControl => "Fragmented control frame",
            Self::ControlTooLong => "Control frame too long",
            Self::InvalidLength => "Invalid frame length",
            Self::UnexpectedContinuation => "Unexpected continuation frame",
            Self::ExpectedContinuation => "Continuation frame expected",
            Self::InvalidClosePayload => "Invalid close frame",
            Self::InvalidCloseCode => "Invalid close code",
            Self::InvalidUtf8 => "Invalid UTF-8",
            Self::InvalidDeflate => "Invalid compressed data",
            Self::TooLarge => "Message too large",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason())
    }
}

impl std::error::Error for ProtocolError {}
