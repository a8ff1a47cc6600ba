//! Rules without I/O: no database, no clock, no randomness.

pub mod mentions;
pub mod message;
