//! The contract of commands and request bodies as data: their fields with kinds and bounds, the answers, the errors.
//! The reference and the schemas are generated from it, and tests compare it with the parser. Nothing is checked here.

use super::ErrorCode;
use crate::limits::{MAX_PAGE, MAX_SYNC_ENTRIES};

/// A command as a frontend developer needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The `type`.
    pub name: &'static str,
    /// Other names that clients may send.
    pub aliases: &'static [&'static str],
    pub summary: &'static str,
    pub fields: &'static [Field],
    /// The types of the direct answer on success, the usual one first; empty if success is not answered.
    pub replies: &'static [&'static str],
    /// The types of the events that it causes for others, and for the caller's other connections.
    pub events: &'static [&'static str],
    /// The error codes of this command, in addition to those of every command.
    pub errors: &'static [ErrorCode],
    /// True if it counts against `MESSAGE_RATE_LIMIT`.
    pub is_message: bool,
}

/// Errors that any command may be answered with.
pub const COMMON_ERRORS: &[ErrorCode] = &[
    ErrorCode::ValidationError,
    ErrorCode::AuthRequired,
    ErrorCode::RateLimitExceeded,
    ErrorCode::ServiceUnavailable,
    ErrorCode::InternalError,
];

/// One field of a command or of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub requirement: Requirement,
    pub about: &'static str,
}

impl Field {
    pub const fn required(name: &'static str, kind: Kind, about: &'static str) -> Field {
        Field { name, kind, requirement: Requirement::Required, about }
    }

    pub const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Field {
        Field { name, kind, requirement: Requirement::Optional, about }
    }

    pub const fn default(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Field {
        Field { name, kind, requirement: Requirement::Default(default), about }
    }

    pub const fn instead_of(other: &'static str, name: &'static str, kind: Kind, about: &'static str) -> Field {
        Field { name, kind, requirement: Requirement::InsteadOf(other), about }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    Required,
    Optional,
    /// Optional; this JSON if absent.
    Default(&'static str),
    /// May be sent instead of that field.
    InsteadOf(&'static str),
    /// At least one of the fields with this presence is required.
    AtLeastOne,
}

/// What a field may hold. Lengths are in characters (code points); bounds are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    UserId,
    MessageId,
    GroupId,
    ConversationId,
    /// The id of a direct conversation.
    DirectConversationId,
    /// An id of the main backend: a string of at most this many characters, or an integer.
    ForeignId(usize),
    /// The text of a message: at most `MAX_MESSAGE_LENGTH`, not only white space.
    Content,
    Text {
        min: usize,
        max: usize,
    },
    /// Not only white space.
    Words {
        max: usize,
    },
    /// The name of an account.
    Username {
        min: usize,
        max: usize,
    },
    Email {
        max: usize,
    },
    AnyString,
    Boolean,
    Integer {
        min: i64,
        max: i64,
    },
    /// The number of members of a group: up to `GROUP_MAX_MEMBERS`.
    MemberCount,
    Time,
    /// `null` is different from absent.
    TimeOrNull,
    /// The `nextCursor` of an earlier answer.
    Cursor,
    Choice(&'static [&'static str]),
    UserIds {
        most: usize,
    },
    /// `{"<conversationId or groupId>": seq, …}`.
    Positions {
        most: usize,
        /// Each value may also be `{seq, version}`.
        has_versions: bool,
    },
    EventIds {
        most: usize,
    },
    AnyJson,
    /// A JSON object of at most so many bytes as compact text.
    Metadata {
        most_bytes: usize,
        /// Whether `null` is not the same as absent.
        or_null: bool,
    },
    Object(&'static [Field]),
    List {
        of: &'static Kind,
        most: usize,
    },
}

impl Kind {
    pub const LIMIT: Kind = Kind::Integer { min: 1, max: i64::MAX };
    pub const OFFSET: Kind = Kind::Integer { min: 0, max: 10_000 };
    pub const SEQ: Kind = Kind::Integer { min: 0, max: i64::MAX };
    pub const POSITIONS: Kind = Kind::Positions { most: MAX_SYNC_ENTRIES, has_versions: false };
}

// The description of each page states the maximum size; this keeps the sentence true.
const _: () = assert!(MAX_PAGE == 200);

pub const LIMIT: Field = Field::default(
    "limit",
    Kind::LIMIT,
    "50",
    "The size of the page. More than 200 becomes 200, and the answer says so.",
);
pub const OFFSET: Field = Field::default(
    "offset",
    Kind::OFFSET,
    "0",
    "How many to skip, counted from the newest; the largest is `MAX_OFFSET`.",
);
