//! What the command files share: the contract trait, paging, and fields that several commands have.

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::ids::{CommunityId, ConversationId, GroupId, MessageId, UserId, user_route_hint};
pub use crate::limits::{MAX_SYNC_CONVERSATIONS, MAX_SYNC_ENTRIES};
pub use crate::metadata::MetadataField;
use crate::protocol::fields::{is_blank, parse_conversation_id};
pub use crate::protocol::spec::{LIMIT, OFFSET, Requirement};
pub use crate::protocol::{ErrorCode, Field, Fields, Invalid, Kind, Spec};

use crate::limits::{
    Limits, MAX_CLIENT_MESSAGE_ID_CHARACTERS, MAX_FOREIGN_ID_CHARACTERS, MAX_GROUP_DESCRIPTION_CHARACTERS,
    MAX_GROUP_NAME_CHARACTERS, MAX_METADATA_BYTES, MAX_REACTION_CHARACTERS, MAX_REASON_CHARACTERS,
    MAX_SANCTION_SECONDS,
};

/// The form of a command on the wire, and the lane it takes.
pub trait Contract: Sized {
    /// The `type`; also the metric's label and the log field.
    const NAME: &'static str;
    /// Other names under which clients may send it.
    const ALIASES: &'static [&'static str] = &[];
    /// True if it counts against `MESSAGE_RATE_LIMIT`; then it has a [`message_text`](Contract::message_text).
    const IS_MESSAGE: bool = false;
    const SUMMARY: &'static str;
    /// The fields that [`decode`](Contract::decode) reads.
    const FIELDS: &'static [Field] = &[];
    /// The types of the direct answer, the usual one first; empty if success is not answered (errors always are).
    const REPLIES: &'static [&'static str];
    /// The types of the events that others receive.
    const EVENTS: &'static [&'static str] = &[];
    /// The error codes specific to this command.
    const ERRORS: &'static [ErrorCode] = &[];

    const SPEC: Spec = Spec {
        name: Self::NAME,
        aliases: Self::ALIASES,
        summary: Self::SUMMARY,
        fields: Self::FIELDS,
        replies: Self::REPLIES,
        events: Self::EVENTS,
        errors: Self::ERRORS,
        is_message: Self::IS_MESSAGE,
    };

    /// Checks everything that needs no database.
    fn decode(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Self, Invalid>;

    fn route(&self, caller: UserId) -> Route;

    /// The text of a message.
    fn message_text(&self) -> Option<&str> {
        None
    }

    /// Its `metadata`, which is not among the fields that are its encoding: see [`crate::stream::Body::WithMetadata`].
    fn metadata(&mut self) -> Option<&mut MetadataField> {
        None
    }
}

/// What decoding may depend on in addition to the fields.
pub struct DecodeContext<'a> {
    pub caller: UserId,
    pub limits: &'a Limits,
}

impl DecodeContext<'_> {
    /// A required user other than the caller.
    pub fn other_user(&self, fields: Fields<'_>, field: &'static str) -> Result<UserId, Invalid> {
        let user = fields.required_user_id(field)?;
        if user == self.caller {
            return Err(Invalid::new(field, format!("`{field}` must not be yourself")));
        }
        Ok(user)
    }
}

/// The lane of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// In order with everything that has the same route hint.
    Ordered(Subject),
    /// By any worker, in any order.
    Query,
}

/// What a command is about, as far as the command itself shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Conversation(ConversationId),
    /// A message, whose id ends in the route hint of its conversation.
    Message(MessageId),
    User(UserId),
}

impl Route {
    pub fn conversation(conversation: ConversationId) -> Route {
        Route::Ordered(Subject::Conversation(conversation))
    }

    pub fn message(message: MessageId) -> Route {
        Route::Ordered(Subject::Message(message))
    }
}

impl Subject {
    pub fn route_hint(self) -> u16 {
        match self {
            Subject::Conversation(conversation) => conversation.route_hint(),
            Subject::Message(message) => message.route_hint(),
            Subject::User(user) => user_route_hint(user),
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::Conversation(conversation) => conversation.fmt(f),
            Subject::Message(message) => message.fmt(f),
            Subject::User(user) => write!(f, "user {user}"),
        }
    }
}

/// The requested part of a history. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRequest {
    pub limit: u32,
    pub position: Position,
}

/// The position of the requested part. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// Counted from the newest.
    Offset(u32),
    /// Strictly before and/or after a number.
    Seq {
        before: Option<i64>,
        after: Option<i64>,
    },
    /// About half before a number, the rest from it on.
    Around(i64),
    AroundMessage(MessageId),
}

impl PageRequest {
    pub fn decode(fields: Fields<'_>, limits: &Limits) -> Result<Self, Invalid> {
        let before = fields.integer("beforeSeq", 0, i64::MAX)?;
        let after = fields.integer("afterSeq", 0, i64::MAX)?;
        let around = fields.integer("aroundSeq", 0, i64::MAX)?;
        let around_message = fields.message_id("aroundMessageId")?;
        let position = match (around, around_message, before, after) {
            (Some(seq), ..) => Position::Around(seq),
            (None, Some(message), ..) => Position::AroundMessage(message),
            (None, None, None, None) => Position::Offset(message_offset(fields, limits)?),
            (None, None, before, after) => Position::Seq { before, after },
        };
        Ok(PageRequest { limit: fields.limit()?, position })
    }
}

/// Skipping messages takes time that grows with their number; beyond the maximum, clients must use `beforeSeq`.
fn message_offset(fields: Fields<'_>, limits: &Limits) -> Result<u32, Invalid> {
    let max = limits.offset;
    fields.offset(max).map_err(|invalid| match fields.get("offset").and_then(Value::as_u64) {
        Some(offset) if offset > u64::from(max) => {
            Invalid::new("offset", format!("`offset` must be at most {max}; to read further back, use `beforeSeq`"))
        }
        _ => invalid,
    })
}

// Fields that several commands share.

pub const GROUP: Field = Field::required("groupId", Kind::GroupId, "The group.");
pub const MEMBER: Field = Field::required("userId", Kind::UserId, "The user concerned.");
pub const MESSAGE: Field = Field::required("messageId", Kind::MessageId, "The message.");
pub const CONTENT: Field = Field::required("content", Kind::Content, "The text, kept exactly as sent.");
pub const NEW_CONTENT: Field = Field::instead_of("content", "newContent", Kind::Content, "Another name for it.");
pub const REPLY_TO: Field =
    Field::optional("replyToMessageId", Kind::MessageId, "A message of the same conversation that this one answers.");
pub const REPLY_TO_ALIAS: Field = Field::optional(
    "replyTo",
    Kind::MessageId,
    "Another name for `replyToMessageId`, which counts when both are given.",
);
pub const CLIENT_MESSAGE_ID: Field = Field::optional(
    "clientMessageId",
    Kind::Text { min: 1, max: MAX_CLIENT_MESSAGE_ID_CHARACTERS },
    "Chosen by the client. A second send under it stores nothing and is answered with `duplicate: true`.",
);
pub const REACTION: Field =
    Field::required("reaction", Kind::Text { min: 1, max: MAX_REACTION_CHARACTERS }, "Usually one emoji.");
pub const EMOJI: Field =
    Field::instead_of("reaction", "emoji", Kind::Text { min: 1, max: MAX_REACTION_CHARACTERS }, "Another name for it.");
pub const BEFORE_SEQ: Field =
    Field::optional("beforeSeq", Kind::SEQ, "Only messages before this number; `offset` is then ignored.");
pub const AFTER_SEQ: Field =
    Field::optional("afterSeq", Kind::SEQ, "Only messages after this number; `offset` is then ignored.");
pub const AROUND_SEQ: Field = Field::optional(
    "aroundSeq",
    Kind::SEQ,
    "About half of the page before this number, the rest from it on; `beforeSeq`, `afterSeq` and `offset` are then ignored.",
);
pub const AROUND_MESSAGE: Field =
    Field::optional("aroundMessageId", Kind::MessageId, "The same, around a message of this conversation.");
pub const CURSOR: Field = Field::optional(
    "cursor",
    Kind::Cursor,
    "`nextCursor` of the previous part. If absent, the list starts at its first entry.",
);
pub const COMMUNITY: Field = Field::required(
    "communityId",
    Kind::ForeignId(MAX_FOREIGN_ID_CHARACTERS),
    "The main backend's id of the community.",
);
pub const GROUP_NAME: Kind = Kind::Words { max: MAX_GROUP_NAME_CHARACTERS };
pub const GROUP_DESCRIPTION: Kind = Kind::Text { min: 0, max: MAX_GROUP_DESCRIPTION_CHARACTERS };

pub const SANCTION_SECONDS: Field = Field::optional(
    "seconds",
    Kind::Integer { min: 1, max: MAX_SANCTION_SECONDS },
    "How long it lasts. Absent, it lasts until it is ended.",
);
pub const SANCTION_REASON: Field = Field::optional(
    "reason",
    Kind::Text { min: 1, max: MAX_REASON_CHARACTERS },
    "Why; shown to the members of the group and to the user.",
);

/// A mute or a ban of a user in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSanction {
    pub group: GroupId,
    pub user: UserId,
    /// `None` until it is ended.
    pub seconds: Option<u32>,
    pub reason: Option<String>,
}

impl NewSanction {
    pub const FIELDS: &'static [Field] = &[GROUP, MEMBER, SANCTION_SECONDS, SANCTION_REASON];

    pub fn decode(fields: Fields<'_>) -> Result<Self, Invalid> {
        let seconds = fields.integer("seconds", 1, MAX_SANCTION_SECONDS)?;
        Ok(NewSanction {
            group: fields.required_group_id("groupId")?,
            user: fields.required_user_id("userId")?,
            seconds: seconds.map(|seconds| seconds as u32),
            reason: fields.bounded("reason", 1, MAX_REASON_CHARACTERS)?,
        })
    }
}

pub const METADATA: Field = Field::optional(
    "metadata",
    Kind::Metadata { most_bytes: MAX_METADATA_BYTES, or_null: false },
    "What the product wants to keep with it; the server shows it and never looks into it.",
);
pub const NEW_METADATA: Field = Field::optional(
    "metadata",
    Kind::Metadata { most_bytes: MAX_METADATA_BYTES, or_null: true },
    "Replaces the metadata; `null` removes it. Absent, it stays as it is.",
);

/// `metadata` of something new, for which `null` counts as absent.
pub fn first_metadata(fields: Fields<'_>) -> Result<MetadataField, Invalid> {
    let metadata = fields.metadata()?;
    Ok(if metadata == MetadataField::Null { MetadataField::Absent } else { metadata })
}

pub fn client_message_id(fields: Fields<'_>) -> Result<Option<String>, Invalid> {
    fields.bounded("clientMessageId", 1, MAX_CLIENT_MESSAGE_ID_CHARACTERS)
}

/// `replyToMessageId`, or `replyTo`.
pub fn reply_to(fields: Fields<'_>) -> Result<Option<MessageId>, Invalid> {
    match fields.message_id("replyToMessageId")? {
        Some(message) => Ok(Some(message)),
        None => fields.message_id("replyTo").map_err(|invalid| Invalid::new("replyToMessageId", invalid.details)),
    }
}

/// `reaction`, or `emoji`.
pub fn reaction(fields: Fields<'_>) -> Result<String, Invalid> {
    let field = if fields.get("reaction").is_some() { "reaction" } else { "emoji" };
    let reaction = fields
        .bounded(field, 1, MAX_REACTION_CHARACTERS)
        .map_err(|invalid| Invalid::new("reaction", invalid.details))?;
    reaction.ok_or_else(|| Invalid::required("reaction"))
}

/// `conversationId`, or `groupId`.
pub fn conversation_or_group(fields: Fields<'_>) -> Result<ConversationId, Invalid> {
    if let Some(group) = fields.group_id("groupId")? {
        return Ok(ConversationId::Group(group));
    }
    let details = "`conversationId` or `groupId` is required";
    fields.conversation_id("conversationId")?.ok_or_else(|| Invalid::new("conversationId", details))
}

pub fn group_name(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Option<String>, Invalid> {
    let name = fields.bounded("groupName", 1, context.limits.group_name_characters)?;
    if name.as_deref().is_some_and(is_blank) {
        return Err(Invalid::new("groupName", "`groupName` must not be empty"));
    }
    Ok(name)
}

pub fn group_description(fields: Fields<'_>) -> Result<Option<String>, Invalid> {
    fields.bounded("groupDescription", 0, MAX_GROUP_DESCRIPTION_CHARACTERS)
}

pub fn max_members(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Option<u32>, Invalid> {
    let max = i64::from(context.limits.group_members);
    Ok(fields.integer("maxMembers", 1, max)?.map(|number| number as u32))
}

/// The main backend's id of a community: a string or an integer.
pub fn community_id(fields: Fields<'_>) -> Result<CommunityId, Invalid> {
    let id = fields.foreign_id("communityId", MAX_FOREIGN_ID_CHARACTERS)?;
    id.map(CommunityId).ok_or_else(|| Invalid::required("communityId"))
}

/// `{"<conversationId or groupId>": seq, …}`, at most 1,000 entries.
pub fn positions(fields: Fields<'_>, field: &'static str) -> Result<Option<Vec<(ConversationId, i64)>>, Invalid> {
    let form = || {
        let details =
            format!("`{field}` must be an object of at most {MAX_SYNC_ENTRIES} conversation ids, each with a seq");
        Invalid::new(field, details)
    };
    let map = match fields.get(field) {
        None => return Ok(None),
        Some(Value::Object(map)) if map.len() <= MAX_SYNC_ENTRIES => map,
        Some(_) => return Err(form()),
    };
    let entry = |(id, seq): (&String, &Value)| {
        let seq = seq.as_i64().filter(|seq| *seq >= 0).ok_or_else(form)?;
        Ok((parse_conversation_id(id).ok_or_else(form)?, seq))
    };
    map.iter().map(entry).collect::<Result<_, _>>().map(Some)
}

/// What a client knows about a conversation.
pub struct Known {
    pub conversation: ConversationId,
    pub seq: i64,
    pub version: Option<i64>,
}

/// Like [`positions`], but each value may also be an object with `seq` and `version`.
pub fn known_positions(fields: Fields<'_>, field: &'static str) -> Result<Option<Vec<Known>>, Invalid> {
    let form = || {
        let details = format!(
            "`{field}` must be an object of at most {MAX_SYNC_CONVERSATIONS} conversation ids, each with a seq or with an object of \
             `seq` and `version`"
        );
        Invalid::new(field, details)
    };
    let map = match fields.get(field) {
        None => return Ok(None),
        Some(Value::Object(map)) if map.len() <= MAX_SYNC_CONVERSATIONS => map,
        Some(_) => return Err(form()),
    };
    let number = |value: &Value| value.as_i64().filter(|number| *number >= 0).ok_or_else(form);
    let known = |(id, position): (&String, &Value)| {
        let conversation = parse_conversation_id(id).ok_or_else(form)?;
        let (seq, version) = match position {
            Value::Object(position) => {
                let seq = position.get("seq").map_or(Ok(0), number)?;
                let version = position.get("version").filter(|version| !version.is_null()).map(number).transpose()?;
                (seq, version)
            }
            seq => (number(seq)?, None),
        };
        Ok(Known { conversation, seq, version })
    };
    map.iter().map(known).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_two_names_the_first_one_is_named() {
        let bad = json!({"replyTo": "zz"});
        assert_eq!(reply_to(Fields(bad.as_object().unwrap())).unwrap_err().field, "replyToMessageId");
    }

    #[test]
    fn a_page_far_back_is_rejected_and_before_seq_is_named() {
        let limits = Limits::default();
        let page = |request: Value| PageRequest::decode(Fields(request.as_object().unwrap()), &limits);
        assert_eq!(page(json!({"offset": 10_000})).map(|page| page.position), Ok(Position::Offset(10_000)));
        for far in [10_001, 1_000_000_000_000_i64] {
            let invalid = page(json!({"offset": far})).unwrap_err();
            assert_eq!(invalid.field, "offset");
            assert!(invalid.details.contains("`beforeSeq`"), "{}", invalid.details);
        }
        let ignored = page(json!({"offset": 10_001, "beforeSeq": 7})).map(|page| page.position);
        assert_eq!(ignored, Ok(Position::Seq { before: Some(7), after: None }));
    }
}
