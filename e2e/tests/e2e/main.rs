//! End-to-end tests: clients over real sockets, gateways and workers as real processes, real PostgreSQL and Redis.

mod faults;
mod path;
mod presence;
mod protocol;
mod python;
