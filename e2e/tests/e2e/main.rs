//! End-to-end tests: clients over real sockets, gateways and workers as real processes, real PostgreSQL and Redis.

mod chaos;
mod faults;
mod load;
mod lost;
mod network;
mod overload;
mod path;
mod presence;
mod protocol;
mod python;
mod rolling;
mod security;
mod storm;
mod stores;
