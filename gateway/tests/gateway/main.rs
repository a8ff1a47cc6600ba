//! A gateway on a real Redis and real sockets; the test itself plays the worker.
#![allow(clippy::unwrap_used)]

mod fake_worker;
mod harness;

mod api;
mod attacks;
mod commands;
mod delivery;
mod forged;
mod http;
mod interruption;
mod issuer;
mod limits;
mod sessions;
mod sharded;
mod tls;
mod web;
