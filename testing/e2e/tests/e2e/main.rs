//! End-to-end tests: clients over real sockets, gateways and workers as real processes, real PostgreSQL and Redis.

mod chaos;
mod clocks;
mod devices;
mod dialects;
mod faults;
mod front;
mod goodput;
mod hostile;
mod load;
mod logs;
mod lost;
mod monitoring;
mod network;
mod operators;
mod overload;
mod path;
mod presence;
mod protocol;
mod python;
mod returning;
mod rolling;
mod security;
mod stores;
mod storm;
mod takeover;
mod traces;
