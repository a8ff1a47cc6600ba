//! Deployments for end-to-end tests: private stores, gateways and workers as real processes, and people who use them.
//! The tests are in `tests/e2e`. Nothing here knows how the server works inside.

mod contract;
mod deployment;
mod front;
mod http;
mod talk;
mod tls;
mod witness;

pub use deployment::{DATABASE, Deployment, Network, Options, User, WORKER_ROLE};
pub use front::Front;
pub use http::{Answer, Request};
pub use talk::Talk;
pub use tls::{Authority, LOOPBACK};
pub use witness::Witness;

/// Held by tests that compare speeds at different times, and by tests that load the machine for a while: only one of
/// them runs at a time.
pub static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A folder of this repository.
pub fn repository(path: &str) -> std::path::PathBuf {
    std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}
