//! Bounds that commands and HTTP bodies are checked against. Those that operators may change come from the settings;
//! the others are part of the protocol.

/// The largest message from an unauthenticated client, decompressed.
pub const MAX_UNAUTHENTICATED_BYTES: u32 = 16 * 1024;
/// How many messages an unauthenticated client may send before its connection is closed.
pub const MAX_UNAUTHENTICATED_MESSAGES: u8 = 100;

/// The page size if the command does not set one.
pub const DEFAULT_PAGE: u32 = 50;
/// Larger pages are cut to this.
pub const MAX_PAGE: u32 = 200;
pub const MAX_USER_QUERY_CHARACTERS: usize = 64;
/// How many users are found if the command does not set a `limit`.
pub const DEFAULT_FOUND_USERS: u32 = 20;
/// Larger limits are cut to this.
pub const MAX_FOUND_USERS: u32 = 50;
/// The maximum bytes of a page's messages: of a larger page only a part is returned, with `hasMore`.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;
pub const MAX_REQUEST_ID_CHARACTERS: usize = 64;
pub const MAX_CLIENT_MESSAGE_ID_CHARACTERS: usize = 64;
/// `maxMembers` of a group that does not set it, unless `GROUP_MAX_MEMBERS` is lower.
pub const DEFAULT_GROUP_MEMBERS: u32 = 50;
pub const MAX_GROUP_NAME_CHARACTERS: usize = 100;
pub const MAX_GROUP_DESCRIPTION_CHARACTERS: usize = 500;
pub const MAX_REACTION_CHARACTERS: usize = 10;
/// The maximum length of the main backend's ids.
pub const MAX_FOREIGN_ID_CHARACTERS: usize = 128;
pub const MAX_USER_AGENT_CHARACTERS: usize = 256;
pub const MAX_SIGN_IN_ID_CHARACTERS: usize = 256;
/// Of a report, a mute or a ban.
pub const MAX_REASON_CHARACTERS: usize = 500;
/// The longest mute or ban that ends by itself: ten years.
pub const MAX_SANCTION_SECONDS: i64 = 315_360_000;
/// The longest time between two messages of a member in slow mode.
pub const MAX_SLOW_MODE_SECONDS: i64 = 3_600;
/// A quoted message is cut to this.
pub const REPLY_PREVIEW_CHARACTERS: usize = 200;
/// How many conversations, and event ids, one `ack` may have.
pub const MAX_SYNC_ENTRIES: usize = 1000;
/// How many conversations one `sync` may have; within `MAX_PAYLOAD_SIZE`.
pub const MAX_SYNC_CONVERSATIONS: usize = 10_000;
/// Of the metadata of a message or a group, as compact JSON.
pub const MAX_METADATA_BYTES: usize = 4096;
/// Objects and lists within each other in metadata, itself included.
pub const MAX_METADATA_DEPTH: usize = 8;
/// Nesting of a command's JSON.
pub const MAX_JSON_DEPTH: usize = 16;
/// How many values and names a message may have; each costs far more memory than text. `ack` and `sync` have the
/// longest lists.
pub const MAX_JSON_VALUES: usize = 65_000;

// HTTP bodies.

/// Enough for 50 items of 128 characters, each of them an escape.
pub const MAX_PICTURES_BODY_BYTES: usize = 64 * 1024;
pub const MAX_PICTURES: usize = 50;
/// How many rows of a user's data one answer contains.
pub const MAX_EXPORTED_ROWS: usize = 500;
/// How many bytes of a user's data one answer contains, except for a single larger row.
pub const MAX_EXPORTED_BYTES: usize = 256 * 1024;
/// How many users' presence may be requested at once.
pub const MAX_PRESENCES: usize = 1_000;
/// Enough for a name, an address, a display name and a password of maximum length, with every character escaped.
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
/// Far below the point where sums would overflow.
pub const MAX_XP: i64 = 1_000_000_000_000;

/// The bounds that operators may set.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `MAX_MESSAGE_LENGTH`
    pub message_characters: usize,
    /// `GROUP_MAX_MEMBERS`
    pub group_members: u32,
    /// Not a setting: dialects differ in this.
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
