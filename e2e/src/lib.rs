//! Deployments for end-to-end tests: private stores, gateways and workers as real processes, and people who use them.
//! The tests are in `tests/e2e`. Nothing here knows how the server works inside.

mod contract;
mod deployment;
mod http;
mod witness;

pub use deployment::{APP_ROLE, Deployment, Network, Options, User};
pub use http::{Answer, Request};
pub use witness::Witness;
