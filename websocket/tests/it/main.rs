//! The crate through its public interface.

#![allow(clippy::unwrap_used)]

mod oracle;
mod properties;
mod rules;
mod support;
