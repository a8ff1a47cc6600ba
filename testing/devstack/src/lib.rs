//! Private PostgreSQL, Redis, nginx and Prometheus instances and fleets of our servers, for development and tests.
//!
//! Everything here is blocking and uses only the standard library, so that it compiles in seconds: `xtask` is built
//! before anything else on a fresh machine. No tokio, no sqlx, no knowledge of the servers beyond their environment.

pub mod cluster;
pub mod fleet;
pub mod http;
pub mod identity;
pub mod install;
pub mod logfile;
pub mod nginx;
pub mod original;
pub mod pgbouncer;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod proxy;
pub mod python;
pub mod receiver;
pub mod redis;
pub mod scratch;
pub mod secrets;
pub mod sentinel;
pub mod testing;
pub mod user;
pub mod wait;

pub use cluster::Cluster;
pub use fleet::{Fleet, FleetConfig, Kind, Server, ServerSpec, Stores};
pub use identity::ProcessId;
pub use nginx::Nginx;
pub use pgbouncer::PgBouncer;
pub use postgres::{Durability, Postgres};
pub use process::{Launch, Process};
pub use programs::Programs;
pub use prometheus::Prometheus;
pub use proxy::{Direction, Proxy, Weather};
pub use receiver::{Post, Receiver, Reply};
pub use redis::Redis;
pub use scratch::Scratch;
pub use secrets::Secrets;
pub use sentinel::Sentinels;
