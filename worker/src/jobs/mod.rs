//! Background jobs, one file each.

pub mod heartbeat;
