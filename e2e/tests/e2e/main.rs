//! End-to-end tests: clients over real sockets, gateways and workers as real processes, real PostgreSQL and Redis.

mod faults;
mod front;
mod monitoring;
mod operators;
mod path;
mod presence;
mod protocol;
