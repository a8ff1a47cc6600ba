//! Integration tests of the worker against real Postgres and Redis; the tests play the gateway.
#![allow(clippy::unwrap_used)]

mod before_send;
mod blocking;
mod bounds;
mod changes;
mod communities;
mod community_removals;
mod dead_letters;
mod departures;
mod direct;
mod faults;
mod finding;
mod following;
mod forged;
mod groups;
mod harness;
mod histories;
mod history;
mod inbox;
mod main_backend;
mod malformed;
mod messages;
mod metadata;
mod moderation;
mod neighbours;
mod plans;
mod purging;
mod queries;
mod reactions_and_pins;
mod replica;
mod retention;
mod sending;
mod sessions;
mod shared_events;
mod sign_ins;
mod webhooks;
