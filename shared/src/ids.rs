//! The identifiers of the protocol, each with its own type, and their text forms. On the wire they are strings; between
//! our own processes they are numbers.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::clock::Timestamp;

/// A text that is not an id of the expected form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be {0}")]
pub struct MalformedId(pub &'static str);

/// A user of the main backend (`users_auth.user_id`); greater than zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub i64);

impl UserId {
    pub const FORM: &'static str = "a positive 64-bit integer, as a decimal string or a number";
}

impl FromStr for UserId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let digits_only = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<i64>() {
            Ok(id) if digits_only && id > 0 => Ok(UserId(id)),
            _ => Err(MalformedId(Self::FORM)),
        }
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A message, `msg_{uuid}`. Assigned once at the gateway, as a UUIDv7 whose last 16 bits are the conversation's
/// [`route hint`](ConversationId::route_hint), so that later commands that name only the message find its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub Uuid);

impl MessageId {
    pub const FORM: &'static str = "`msg_` and a UUID";

    pub fn route_hint(self) -> u16 {
        let bytes = self.0.as_bytes();
        u16::from_be_bytes([bytes[14], bytes[15]])
    }
}

impl FromStr for MessageId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        // The original server's ids were bare.
        let id = parse_prefixed_uuid(text, "msg_").or_else(|| parse_prefixed_uuid(text, ""));
        id.map(MessageId).ok_or(MalformedId(Self::FORM))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "msg_{}", self.0)
    }
}

/// A group, `group_{uuid}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub Uuid);

impl GroupId {
    pub const FORM: &'static str = "`group_` and a UUID";
}

impl FromStr for GroupId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        parse_prefixed_uuid(text, "group_").map(GroupId).ok_or(MalformedId(Self::FORM))
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group_{}", self.0)
    }
}

fn parse_prefixed_uuid(text: &str, prefix: &str) -> Option<Uuid> {
    let rest = text.strip_prefix(prefix)?;
    // Only the hyphenated form: an id has one spelling apart from letter case.
    (rest.len() == 36).then(|| Uuid::try_parse(rest).ok()).flatten()
}

/// A direct conversation, `conv_{a}_{b}` with the smaller user id first, or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConversationId {
    Direct(UserId, UserId),
    Group(GroupId),
}

impl ConversationId {
    pub const FORM: &'static str = "`conv_{userId}_{userId}` or `group_` and a UUID";

    /// The direct conversation of two users, in either order.
    pub fn direct(one: UserId, other: UserId) -> Self {
        ConversationId::Direct(one.min(other), one.max(other))
    }

    pub fn group(self) -> Option<GroupId> {
        match self {
            ConversationId::Group(id) => Some(id),
            ConversationId::Direct(..) => None,
        }
    }

    /// The other participant of a direct conversation that `user` takes part in.
    pub fn other(self, user: UserId) -> Option<UserId> {
        match self {
            ConversationId::Direct(a, b) if a == user => Some(b),
            ConversationId::Direct(a, b) if b == user => Some(a),
            _ => None,
        }
    }

    /// 16 bits that are the same for this conversation in every process and version; they choose its partition.
    pub fn route_hint(self) -> u16 {
        match self {
            ConversationId::Direct(a, b) => fold16(fnv1a(&[&a.0.to_be_bytes(), &b.0.to_be_bytes()])),
            ConversationId::Group(id) => fold16(fnv1a(&[id.0.as_bytes()])),
        }
    }
}

/// The route hint of commands that concern a user and not a conversation.
pub fn user_route_hint(user: UserId) -> u16 {
    fold16(fnv1a(&[&user.0.to_be_bytes()]))
}

/// FNV-1a: stable by definition, and good enough to spread conversations over partitions.
fn fnv1a(parts: &[&[u8]]) -> u64 {
    parts
        .iter()
        .flat_map(|part| part.iter())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn fold16(hash: u64) -> u16 {
    (hash ^ (hash >> 16) ^ (hash >> 32) ^ (hash >> 48)) as u16
}

impl FromStr for ConversationId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        if let Ok(group) = text.parse() {
            return Ok(ConversationId::Group(group));
        }
        let malformed = MalformedId(Self::FORM);
        let (one, other) = text.strip_prefix("conv_").and_then(|rest| rest.split_once('_')).ok_or(malformed)?;
        let (one, other) = (one.parse().map_err(|_| malformed)?, other.parse().map_err(|_| malformed)?);
        Ok(ConversationId::direct(one, other))
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConversationId::Direct(a, b) => write!(f, "conv_{a}_{b}"),
            ConversationId::Group(id) => fmt::Display::fmt(id, f),
        }
    }
}

/// Uses the text form in JSON, and the given compact form elsewhere. The compact form is the encoding of ids in
/// streams, publications and cursors, and never changes: for a conversation it is a `Result`, whose `Ok` is variant 0
/// and whose `Err` is variant 1.
macro_rules! serialise_as {
    ($($id:ty: $compact:ty = |$this:ident| $to:expr, $from:expr;)*) => {$(
        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    return serializer.collect_str(self);
                }
                let $this = self;
                let compact: $compact = $to;
                compact.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    return text.parse().map_err(serde::de::Error::custom);
                }
                <$compact>::deserialize(deserializer).map($from)
            }
        }
    )*};
}

serialise_as! {
    UserId: i64 = |id| id.0, UserId;
    MessageId: Uuid = |id| id.0, MessageId;
    GroupId: Uuid = |id| id.0, GroupId;
    ConversationId: Result<(i64, i64), Uuid> = |id| match id {
        ConversationId::Direct(a, b) => Ok((a.0, b.0)),
        ConversationId::Group(group) => Err(group.0),
    }, |compact| match compact {
        Ok((a, b)) => ConversationId::Direct(UserId(a), UserId(b)),
        Err(group) => ConversationId::Group(GroupId(group)),
    };
}

/// The form of an id in answers, as a schema.
macro_rules! schema_of_ids {
    ($($id:ident $pattern:literal $about:literal;)*) => {$(
        impl JsonSchema for $id {
            fn schema_name() -> Cow<'static, str> {
                stringify!($id).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "description": $about})
            }
        }
    )*};
}

schema_of_ids! {
    UserId "^[1-9][0-9]{0,18}$" "A user: a 64-bit integer as a decimal string.";
    MessageId "^msg_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" "A message: `msg_` and a UUID of version 7.";
    GroupId "^group_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" "A group: `group_` and a UUID.";
    ConversationId "^(conv_[1-9][0-9]*_[1-9][0-9]*|group_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$"
        "A direct conversation, `conv_{a}_{b}` with the smaller user id first, or a group's id.";
    ReportId "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" "A report of a message: a UUID.";
    Epoch "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" "A history of the server's database: a UUID.";
}

/// The id of a new command: a UUIDv7 that ends in the route hint. For sends it is also the message's id, for
/// `create_group` the group's.
pub fn new_command_id(now: Timestamp, route_hint: u16) -> Uuid {
    let mut random: [u8; 10] = rand::random();
    random[8..].copy_from_slice(&route_hint.to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(now.0.max(0) as u64, &random).into_uuid()
}

/// A community of the main backend, identified by the text that it chose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommunityId(pub String);

impl fmt::Display for CommunityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A command, from the gateway that accepted it; the same for each delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommandId(pub Uuid);

/// A durable event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

/// A user's report of a message: the command that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReportId(pub Uuid);

/// A mute or a ban of a user in a group: the command that imposed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SanctionId(pub Uuid);

/// An access token (a JWT), by its `jti`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub String);

/// A key of the server API: its part between `ck_` and the next `_`, which is not secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApiKeyId(pub String);

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A history of the database. Another one begins if the database goes back in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub Uuid);

/// One running worker process; a new one at each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkerId(pub Uuid);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Ids that a store keeps unchanged.
macro_rules! from_stored {
    ($($id:ident: $stored:ty,)*) => {$(
        impl From<$stored> for $id {
            fn from(stored: $stored) -> Self {
                $id(stored)
            }
        }
    )*};
}

from_stored! {
    UserId: i64,
    MessageId: Uuid,
    EventId: Uuid,
    ReportId: Uuid,
    SanctionId: Uuid,
    CommandId: Uuid,
    CommunityId: String,
    Epoch: Uuid,
    TokenId: String,
}

/// One running gateway process; a new one at each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GatewayId(pub Uuid);

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// One connection of one gateway process, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConnectionId(pub u64);

/// A connection anywhere in the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConnectionRef {
    pub gateway: GatewayId,
    pub connection: ConnectionId,
}

impl ConnectionRef {
    /// True if it stands for the gateway itself, which is connection 0.
    pub fn is_gateway(self) -> bool {
        self.connection == ConnectionId(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversation_ids_are_accepted_in_either_order() {
        let id: ConversationId = "conv_10_9".parse().unwrap();
        assert_eq!(id.to_string(), "conv_9_10");
        assert_eq!(id, ConversationId::direct(UserId(9), UserId(10)));
        for bad in ["conv_1", "conv_1_", "conv_-1_2", "conv_+1_2", "conv_1_2_3", "conv_a_b", "group_1", "conv_0_1", ""]
        {
            assert!(bad.parse::<ConversationId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn user_ids_are_positive_decimals() {
        assert_eq!("42".parse(), Ok(UserId(42)));
        for bad in ["0", "-1", "+1", "", "9223372036854775808", "1.0", " 1"] {
            assert!(bad.parse::<UserId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_message_id_leads_to_its_conversations_partition() {
        let conversation = ConversationId::direct(UserId(7), UserId(8));
        let id = MessageId(new_command_id(Timestamp(1_772_356_502_481), conversation.route_hint()));
        assert_eq!(id.route_hint(), conversation.route_hint());
        assert_eq!(id.0.get_version_num(), 7);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn a_bare_uuid_names_a_message() {
        let uuid = "1f799220-3207-47e8-b532-bce31d62573e";
        assert_eq!(uuid.parse::<MessageId>(), format!("msg_{uuid}").parse());
        assert!("1f799220320747e8b532bce31d62573e".parse::<MessageId>().is_err());
    }

    #[test]
    fn route_hints_never_change() {
        // Stored message ids contain them: a different value would send commands to the wrong partition.
        assert_eq!(ConversationId::direct(UserId(1), UserId(2)).route_hint(), 39526);
        assert_eq!(user_route_hint(UserId(1)), 20477);
    }

    #[test]
    fn compact_and_text_forms_round_trip() {
        let ids =
            [ConversationId::direct(UserId(1), UserId(i64::MAX)), ConversationId::Group(GroupId(Uuid::from_u128(5)))];
        for id in ids {
            let compact = postcard::to_stdvec(&id).unwrap();
            assert_eq!(postcard::from_bytes::<ConversationId>(&compact).unwrap(), id);
            let text = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<ConversationId>(&text).unwrap(), id);
        }
    }
}
