//! Deployments for end-to-end tests: private stores, gateways and workers as real processes, and people who use them.
//! The tests are in `tests/e2e`. Nothing here knows how the server works inside.

mod deployment;
mod witness;

pub use deployment::{APP_ROLE, Deployment, Network, Options, User};
pub use witness::Witness;
