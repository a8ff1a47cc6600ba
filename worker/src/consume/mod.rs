//! Consuming: which partitions are ours (`lease`), reading and applying them in order (`pipeline`, `apply`), and the lane
//! without order (`queries`, with turns by `fair`). What commands do is not known here.

pub mod apply;
mod fair;
pub mod lease;
pub mod pipeline;
pub mod queries;
pub mod settle;
pub mod withdrawal;
