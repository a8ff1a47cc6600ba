//! Bounds that commands and HTTP bodies are checked against. Those the protocol lets an operator change come from the
//! settings; the others are the protocol's own.

/// Largest message from a client that is not authenticated, decompressed.
pub const MAX_UNAUTHENTICATED_BYTES: u32 = 16 * 1024;
/// Messages of a client that is not authenticated, before its connection is closed.
pub const MAX_UNAUTHENTICATED_MESSAGES: u8 = 100;

/// Page size when the command names none.
pub const DEFAULT_PAGE: u32 = 50;
/// Larger pages are cut to this.
pub const MAX_PAGE: u32 = 200;
pub const MAX_USER_QUERY_CHARACTERS: usize = 64;
/// Users found when the command names no `limit`.
pub const DEFAULT_FOUND_USERS: u32 = 20;
/// Larger limits are cut to this.
pub const MAX_FOUND_USERS: u32 = 50;
/// The messages of a page have at most so many bytes: of a page that would be larger, a part is answered, with `hasMore`.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;
pub const MAX_REQUEST_ID_CHARACTERS: usize = 64;
pub const MAX_CLIENT_MESSAGE_ID_CHARACTERS: usize = 64;
/// Members of a group that names no `maxMembers`, unless `GROUP_MAX_MEMBERS` is less.
pub const DEFAULT_GROUP_MEMBERS: u32 = 50;
pub const MAX_GROUP_NAME_CHARACTERS: usize = 100;
pub const MAX_GROUP_DESCRIPTION_CHARACTERS: usize = 500;
pub const MAX_REACTION_CHARACTERS: usize = 10;
/// Of the main backend's ids.
pub const MAX_FOREIGN_ID_CHARACTERS: usize = 128;
/// A quoted message is cut to this.
pub const REPLY_PREVIEW_CHARACTERS: usize = 200;
/// Conversations in one `ack`, event ids in one `ack`.
pub const MAX_SYNC_ENTRIES: usize = 1000;
/// Conversations in one `sync`; within `MAX_PAYLOAD_SIZE`.
pub const MAX_SYNC_CONVERSATIONS: usize = 10_000;
/// Of the metadata of a message or a group, as compact JSON.
pub const MAX_METADATA_BYTES: usize = 4096;
/// Objects and lists within each other in metadata, itself included.
pub const MAX_METADATA_DEPTH: usize = 8;
/// Nesting of a command's JSON.
pub const MAX_JSON_DEPTH: usize = 16;
/// Values and names in a message; each costs far more memory than text. `ack` and `sync` have the longest lists.
pub const MAX_JSON_VALUES: usize = 65_000;

// HTTP bodies.

/// For 50 items of 128 characters, each of them an escape.
pub const MAX_PICTURES_BODY_BYTES: usize = 64 * 1024;
pub const MAX_PICTURES: usize = 50;
/// Rows of a user's data that one answer holds.
pub const MAX_EXPORTED_ROWS: usize = 500;
/// Bytes of a user's data that one answer holds, a single larger row aside.
pub const MAX_EXPORTED_BYTES: usize = 256 * 1024;
/// Users whose presence is asked for at once.
pub const MAX_PRESENCES: usize = 1_000;
/// For a name, an address, a display name and a password of the longest kind, each character an escape.
pub const MAX_ACCOUNT_BODY_BYTES: usize = 16 * 1024;
pub const MIN_USERNAME_CHARACTERS: usize = 2;
pub const MAX_USERNAME_CHARACTERS: usize = 32;
pub const MIN_PASSWORD_CHARACTERS: usize = 8;
pub const MAX_PASSWORD_CHARACTERS: usize = 256;
pub const MAX_EMAIL_CHARACTERS: usize = 254;
pub const MAX_DISPLAY_NAME_CHARACTERS: usize = 100;
pub const MAX_COMMUNITY_NAME_CHARACTERS: usize = 255;
pub const MAX_COMMUNITY_DESCRIPTION_CHARACTERS: usize = 5_000;
pub const MAX_URL_CHARACTERS: usize = 2_048;
pub const MAX_COMMUNITY_MEMBERS: usize = 50_000;
/// Far from where sums would overflow.
pub const MAX_XP: i64 = 1_000_000_000_000;

/// The bounds an operator may set.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `MAX_MESSAGE_LENGTH`
    pub message_characters: usize,
    /// `GROUP_MAX_MEMBERS`
    pub group_members: u32,
    /// Not a setting: dialects differ in it.
    pub group_name_characters: usize,
    /// `MAX_OFFSET`
    pub offset: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            message_characters: 5000,
            group_members: 50,
            group_name_characters: MAX_GROUP_NAME_CHARACTERS,
            offset: 10_000,
        }
    }
}
