//! The only place with SQL, one file per subject. Queries are checked at compile time. Verbs: `find_` may find nothing,
//! `list_` returns many, `insert_`, `update_`, `delete_` change.

pub mod accounts;
pub mod api_keys;
pub mod applied;
pub mod audit;
pub mod changes;
mod columns;
pub mod communities;
pub mod community_removals;
pub mod conversations;
pub mod departures;
pub mod epoch;
pub mod events;
pub mod expiry;
pub mod group_members;
pub mod groups;
pub mod held_ids;
pub mod history;
pub mod inbox;
pub mod kept_session;
pub mod leases;
pub mod main_backend;
pub mod members;
pub mod messages;
pub mod personal_data;
pub mod presence;
pub mod purge;
pub mod replay;
pub mod replica;
pub mod reports;
pub mod revocations;
pub mod sanctions;
pub mod sends;
pub mod session;
pub mod shared_events;
pub mod sign_ins;
pub mod table_sizes;
pub mod user_search;
pub mod users;
pub mod webhooks;

pub use columns::Spelled;
