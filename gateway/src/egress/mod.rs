//! From published events to sockets: subscriber → deliver → registry → connection → outbox, and what was missed (`replay`).
//! Nothing here reads what a client sent, and nothing here parses an event.

pub mod connection;
pub mod deliver;
pub mod delivered;
pub mod gaps;
pub mod held;
pub mod outbox;
pub mod positions;
pub mod receipts;
pub mod registry;
pub mod replay;
pub mod requests;
pub mod subscriber;
pub mod subscriptions;
