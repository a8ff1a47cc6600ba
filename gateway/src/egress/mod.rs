//! From publications to sockets: subscriber or shards → deliver → (connection's outbox), with `positions` and `gaps`,
//! which notice that something is missing. Nothing here reads what a client sent, and nothing here parses an event.

pub mod answers;
pub mod catch_up;
pub mod channels;
pub mod control;
pub mod deliver;
pub mod delivered;
pub mod elsewhere;
pub mod gaps;
pub mod positions;
pub mod presence;
pub mod recent_joins;
pub mod shards;
pub mod subscriber;
pub mod subscriptions;
pub mod unreadable;
