//! The only place with SQL: a file per subject. Queries are checked at compile time. Verbs: `find_` may find nothing,
//! `list_` gives many, `insert_`, `update_`, `delete_` change.

pub mod applied;
pub mod events;
pub mod groups;
pub mod history;
pub mod leases;
pub mod members;
pub mod sends;
pub mod users;
