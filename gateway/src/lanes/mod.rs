//! The way to the workers: admit → enqueue → append → stream. `load` and `backlog` decide which lanes take commands; `ask`,
//! `held_ids` and `receipts` are the gateway's own requests. Nothing here looks at what workers publish.

pub mod admit;
pub mod append;
pub mod ask;
pub mod backlog;
pub mod enqueue;
pub mod held_ids;
pub mod load;
pub mod receipts;
