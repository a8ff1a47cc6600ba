//! Consuming: which partitions are ours (`lease`), reading and applying them in order (`pipeline`, `apply`), and the
//! unordered lane (`queries`, with the turns of `fair` and the entries of `under_way`). It does not know what the
//! commands do.

pub mod apply;
mod fair;
mod item;
pub mod lease;
pub mod load;
pub mod pipeline;
pub mod queries;
pub mod settle;
mod under_way;
pub mod withdrawal;
