//! Whom messages of groups mention: `text` finds names in a text, and `allowed` leaves out those whom its author may not
//! mention. Sends and edits follow the same rules.

mod allowed;
mod text;

pub use allowed::{Writing, list_allowed};
pub use text::{MAX_SHOWN_USERS, Mentioned, may_be_of_everyone};
