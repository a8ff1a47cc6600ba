//! A WebSocket client of the chat protocol: for `chatctl`, the end-to-end tests, load and chaos programs.
//!
//! Written from the wire contract alone. It must never use the types of `shared`: a mistake made on both sides of the
//! wire would go unseen. Events are therefore plain [`serde_json::Value`]s.
//!
//! ```no_run
//! # async fn example() -> Result<(), client::Error> {
//! use client::{Client, token};
//! use serde_json::json;
//!
//! let token = token::mint("c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA==", 1, std::time::Duration::from_secs(3600))?;
//! let mut alice = Client::login("http://127.0.0.1:8080", &token).await?;
//! let sent = alice
//!     .request_ok(json!({"type": "send_private_message", "recipientId": "2", "content": "hello"}))
//!     .await?;
//! println!("stored as number {}", sent["seq"]);
//! # Ok(())
//! # }
//! ```

mod backoff;
mod client;
mod connect;
mod connection;
mod error;
mod event;
mod observe;
pub mod raw;
pub mod token;

pub use backoff::Backoff;
pub use client::Client;
pub use connect::Connect;
pub use connection::{CloseInfo, Sender};
pub use error::Error;
pub use event::{conversation_id, event_type, summary};
pub use observe::{Observer, observe};

/// The frame types of the WebSocket library, for tests that send what no sensible client would.
pub mod frame {
    pub use tokio_tungstenite::tungstenite::protocol::Message;
    pub use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
    pub use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};
}
