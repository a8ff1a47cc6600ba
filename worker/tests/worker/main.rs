//! Integration tests of the worker against real Postgres and Redis; the tests play the gateway.

mod harness;
mod sending;
