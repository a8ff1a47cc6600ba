//! Bounds that commands are checked against at the gateway. Those the protocol lets an operator change come from the
//! settings; the others are the protocol's own.

/// Page size when the command names none.
pub const DEFAULT_PAGE: u32 = 50;
/// Larger pages are cut to this.
pub const MAX_PAGE: u32 = 200;
pub const MAX_REQUEST_ID_CHARACTERS: usize = 64;
pub const MAX_CLIENT_MESSAGE_ID_CHARACTERS: usize = 64;
pub const MAX_GROUP_NAME_CHARACTERS: usize = 100;
pub const MAX_GROUP_DESCRIPTION_CHARACTERS: usize = 500;
pub const MAX_REACTION_CHARACTERS: usize = 10;
/// A quoted message is cut to this.
pub const REPLY_PREVIEW_CHARACTERS: usize = 200;
/// Conversations in one `sync` or `ack`, event ids in one `ack`.
pub const MAX_SYNC_ENTRIES: usize = 1000;
/// Nesting of a command's JSON.
pub const MAX_JSON_DEPTH: usize = 16;

/// The bounds an operator may set.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `MAX_MESSAGE_LENGTH`
    pub message_characters: usize,
    /// `GROUP_MAX_MEMBERS`
    pub group_members: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { message_characters: 5000, group_members: 50 }
    }
}
