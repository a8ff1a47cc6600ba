//! RFC 6455 framing and RFC 7692 compression for the server's side, without I/O.
//!
//! Bytes in, messages out, and the reverse; it has no sockets, timers or tasks, and does not know what a message says.
//!
//! - [`handshake`]: from request headers to the answer's headers.
//! - [`Decoder`]: a connection's inbound state, a few dozen bytes and no buffer while no frame is pending.
//! - [`text_frame`], [`ping_frame`], [`pong_frame`], [`close_frame`]: outbound frames for one recipient.
//! - [`PreparedText`]: one outbound event for any number of recipients, encoded once and compressed at most once.
//!
//! Compression never takes context over from message to message. That costs some ratio and buys everything else: no
//! compressor per connection, and the same compressed frame for all recipients.

mod decode;
mod deflate;
mod encode;
mod error;
#[cfg(feature = "fuzz")]
mod fuzz;
pub mod handshake;
mod header;
mod inflate;
mod mask;
mod prepared;

pub use decode::{Decoder, Feed, Message};
pub use encode::{close_frame, ping_frame, pong_frame, text_frame};
pub use error::ProtocolError;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub use fuzz::fuzz_decoder;
pub use prepared::PreparedText;
