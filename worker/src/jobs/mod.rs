//! Background jobs, one file each.

pub mod crowded;
pub mod departures;
pub mod expiry;
pub mod heartbeat;
pub mod presence;
pub mod purge;
pub mod removals;
pub mod report;
pub mod rest;
pub mod retention;
pub mod revocation;
pub mod typing;
pub mod webhooks;
