//! What the command files share: the contract trait, paging, and fields that several commands have.

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::ids::{ConversationId, GroupId, MessageId, UserId, user_route_hint};
pub use crate::limits::MAX_SYNC_ENTRIES;
pub use crate::protocol::{Fields, Invalid};

use crate::limits::{
    Limits, MAX_CLIENT_MESSAGE_ID_CHARACTERS, MAX_GROUP_DESCRIPTION_CHARACTERS, MAX_GROUP_NAME_CHARACTERS,
    MAX_REACTION_CHARACTERS,
};

/// What a command looks like on the wire, and which lane it takes.
pub trait Contract: Sized {
    /// The `type`; also the metric's label and the log's field.
    const NAME: &'static str;
    /// Other names under which clients may send it.
    const ALIASES: &'static [&'static str] = &[];
    /// Whether it counts against `MESSAGE_RATE_LIMIT`.
    const IS_MESSAGE: bool = false;
    /// Whether success is answered; errors always are.
    const HAS_ANSWER: bool = true;

    /// Checks everything that needs no database.
    fn decode(fields: Fields<'_>, context: &Context<'_>) -> Result<Self, Invalid>;

    fn route(&self, caller: UserId) -> Route;
}

/// What decoding may depend on besides the fields.
pub struct Context<'a> {
    pub caller: UserId,
    pub limits: &'a Limits,
}

impl Context<'_> {
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
    /// In order with everything else that has the same route hint.
    Ordered(Subject),
    /// By any worker, in no order.
    Query,
}

/// What a command is about, as far as the command itself tells.
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

/// Which part of a history is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRequest {
    pub limit: u32,
    pub position: Position,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// Counted from the newest.
    Offset(u32),
    /// Strictly before and/or after a number.
    Seq { before: Option<i64>, after: Option<i64> },
}

impl PageRequest {
    pub fn decode(fields: Fields<'_>) -> Result<Self, Invalid> {
        let before = fields.integer("beforeSeq", 0, i64::MAX)?;
        let after = fields.integer("afterSeq", 0, i64::MAX)?;
        let offset = fields.offset()?;
        let position = match (before, after) {
            (None, None) => Position::Offset(offset),
            (before, after) => Position::Seq { before, after },
        };
        Ok(PageRequest { limit: fields.limit()?, position })
    }
}

pub fn client_message_id(fields: Fields<'_>) -> Result<Option<String>, Invalid> {
    fields.bounded("clientMessageId", 1, MAX_CLIENT_MESSAGE_ID_CHARACTERS)
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

pub fn group_name(fields: Fields<'_>) -> Result<Option<String>, Invalid> {
    let name = fields.bounded("groupName", 1, MAX_GROUP_NAME_CHARACTERS)?;
    if name.as_deref().is_some_and(|name| name.trim().is_empty()) {
        return Err(Invalid::new("groupName", "`groupName` must not be empty"));
    }
    Ok(name)
}

pub fn group_description(fields: Fields<'_>) -> Result<Option<String>, Invalid> {
    fields.bounded("groupDescription", 0, MAX_GROUP_DESCRIPTION_CHARACTERS)
}

pub fn max_members(fields: Fields<'_>, context: &Context<'_>) -> Result<Option<u32>, Invalid> {
    let max = i64::from(context.limits.group_members);
    Ok(fields.integer("maxMembers", 1, max)?.map(|number| number as u32))
}

/// The main backend's id of a community: a string or an integer.
pub fn community_id(fields: Fields<'_>) -> Result<String, Invalid> {
    if let Some(Value::Number(number)) = fields.get("communityId") {
        return Ok(number.to_string());
    }
    fields.bounded("communityId", 1, 128)?.ok_or_else(|| Invalid::required("communityId"))
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
        Ok((id.parse().map_err(|_| form())?, seq))
    };
    map.iter().map(entry).collect::<Result<_, _>>().map(Some)
}
