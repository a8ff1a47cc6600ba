//! Sends events to the product's own backend, over HTTP.
//!
//! event → [`record`] (in its transaction) → `webhook_deliveries` → [`endpoint`] (claims topics) → [`body`] → [`client`] → settled
//!
//! A topic is delivered in order: it is a conversation, or a user. Any worker can deliver any topic, but only one at a
//! time; when a claim expires, another worker takes the topic. A delivery may therefore be repeated, but is never left
//! out.

pub mod body;
pub mod client;
pub mod endpoint;
pub mod record;
pub mod subscriptions;

pub use subscriptions::Subscriptions;
