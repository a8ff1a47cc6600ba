//! The data stored about one user, as `chatctl user export` and workers export it.

/// The sections that the database's function `chat_personal_data` knows, in the order of an export; each is a list of rows.
pub const SECTIONS: [&str; 17] = [
    "account",
    "profile",
    "following",
    "blocked",
    "status",
    "deactivated",
    "signIns",
    "conversations",
    "groups",
    "communities",
    "progress",
    "challenges",
    "reactions",
    "pins",
    "createdGroups",
    "hidden",
    "audit",
];
