//! Integration tests of the worker against real Postgres and Redis; the tests play the gateway.

mod direct;
mod harness;
mod history;
mod messages;
mod sending;
mod sessions;
