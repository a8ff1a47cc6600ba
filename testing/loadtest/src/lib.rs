//! A load generator for the chat server: scenarios, verification of what arrives, and the cost per message.
//!
//! One process directs (`run`), others, started by it, hold the connections (`agent`). An agent is one thread: it shares
//! a machine with what it measures, so it has to be cheap. Nothing here knows how the server works inside; from the
//! stores it reads only their own statistics.

pub mod accounts;
pub mod agent;
pub mod compare;
pub mod connection;
pub mod frames;
pub mod histogram;
pub mod login;
pub mod mark;
pub mod observe;
pub mod options;
pub mod pacer;
pub mod plan;
pub mod report;
pub mod run;
pub mod scan;
pub mod scenario;
pub mod socket_io;
pub mod table;
pub mod tally;
pub mod target;
pub mod verify;
pub mod wire;
