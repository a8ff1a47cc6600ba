//! Consuming: which partitions are ours (`lease`), reading and applying them in order (`pipeline`, `apply`), and the lane
//! without order (`queries`, with turns by `fair` and what is `under_way`). What commands do is not known here.

pub mod apply;
mod fair;
mod item;
pub mod lease;
pub mod pipeline;
pub mod queries;
pub mod settle;
mod under_way;
pub mod withdrawal;
