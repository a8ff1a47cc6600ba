//! Telling the product's own backend of events, over HTTP.
//!
//! event → [`record`] (in its transaction) → `webhook_deliveries` → [`endpoint`] (claims topics) → [`body`] → [`client`] → settled
//!
//! A topic is what is delivered in order: a conversation, or a user. Any worker delivers any topic, one at a time; a claim that runs
//! out passes a topic on. So a delivery may be repeated, and is never left out.

pub mod body;
pub mod client;
pub mod endpoint;
pub mod record;
pub mod subscriptions;

pub use subscriptions::Subscriptions;
