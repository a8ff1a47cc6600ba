//! What workers publish and gateways deliver: a small routing header and the finished JSON. A gateway reads the header
//! and never the JSON; the same bytes go to every socket.
//!
//! [`crate::wire`] defines the encoding. The order of variants and of fields is the encoding: **append only**, variants
//! at the end of their enum; fields not at all.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::auth::TokenHash;
use crate::clock::Timestamp;
use crate::dialects::Dialect;
use crate::ids::{ConnectionId, ConnectionRef, ConversationId, GatewayId, GroupId, MessageId, UserId};
use crate::telemetry::traces::TraceContext;

/// Where a publication's payload goes. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Header {
    /// The answer to a command, for the connection that sent it (on a gateway's channel).
    Answer {
        connection: ConnectionId,
        command: Uuid,
    },
    /// The postcard of a [`crate::stream::InternalReply`] (on a gateway's channel).
    Internal {
        command: Uuid,
    },
    /// An event for a user, a group, or everyone, depending on the channel.
    Event(EventHeader),
    /// This user joined or left a group (on the user's channel): the gateway follows or leaves the group's channel.
    /// It has no payload.
    Joined {
        group: GroupId,
    },
    Left {
        group: GroupId,
    },
    /// A part of the answer to a command, of which more follows (`sync`); the last one is an [`Header::Answer`].
    AnswerPart {
        connection: ConnectionId,
        command: Uuid,
    },
    /// A connection replaces this user's older ones (on the user's channel). It has no payload.
    Replaced {
        by: ConnectionRef,
        opened_at: Timestamp,
    },
    /// This token was revoked (on the presence channel, which every gateway follows): its connections are closed. It
    /// has no payload.
    Revoked {
        token: TokenHash,
    },
    /// What gateways should have received; the payload is the postcard of a [`Report`].
    Report,
    /// A gateway's publication to itself (on its own channel), which measures how long publications take. It has no
    /// payload.
    Probe {
        sent_at: Timestamp,
    },
    /// An operator closes all connections of this user (on the user's channel). It has no payload.
    Kicked,
    /// An operator stops this gateway, like SIGTERM (on the gateway's channel). It has no payload.
    Drain,
    /// An event for which one connection first gets an answer (on its user's channel): the payload is `bytes` of
    /// answer, then the event. One publication instead of two to the same gateway.
    AnswerAndEvent {
        to: ConnectionRef,
        command: Uuid,
        bytes: u32,
        event: EventHeader,
    },
    /// Like [`Header::Replaced`], but only older connections in the same dialect are closed.
    ReplacedIn {
        by: ConnectionRef,
        opened_at: Timestamp,
        dialect: Dialect,
    },
    /// This user's account was deleted (on the user's channel): all sessions end. It has no payload.
    Departed,
    /// The answer to a `sync` is not complete: the payload is the postcard of a [`crate::stream::SyncRound`], which the
    /// gateway sends again once the connection has taken the previous parts (on a gateway's channel).
    AnswerContinues {
        connection: ConnectionId,
        command: Uuid,
    },
    /// A session of this user opens (on the user's channel): other gateways with sessions of the user report what
    /// reached the user through them recently. It has no payload.
    ReceiptsWanted {
        by: GatewayId,
        request: Uuid,
    },
    /// The answer (on the gateway's channel); the payload is the postcard of a list of [`crate::stream::Receipts`],
    /// and of the epoch of the database in which they were received, if that is known; before 0.2 of the list alone.
    ReceiptsGiven {
        request: Uuid,
    },
    /// An event that these users get in a reduced form, such as a reply without the message that they hid: the payload
    /// is `bytes` of that form, then the whole event.
    ReducedFor {
        users: Vec<UserId>,
        bytes: u32,
        event: EventHeader,
    },
    /// Any other header, for something that a traced command caused. Only used if traces are collected.
    Traced {
        trace: TraceContext,
        header: Box<Header>,
    },
    /// These users are no longer in the group (on the group's channel, so in order with the group's events): the gateway
    /// delivers nothing more to them. Only used on a cluster whose gateways listen to shards, where the order of
    /// [`Header::Left`], on the users' channels, and of the group's events is not certain. It has no payload.
    Gone {
        users: Vec<UserId>,
    },
}

/// What a worker published recently, or found stored and perhaps never published. Gateways compare it with what they
/// received.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub messages: Vec<ReportedMessages>,
    /// Durable events that were stored and not confirmed, each with one recipient.
    pub events: Vec<(UserId, Uuid)>,
}

/// One conversation's messages `first..=last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedMessages {
    pub conversation: ConversationId,
    pub first: i64,
    pub last: i64,
    /// Time since the first and since the last were published. Connections that subscribed and requested a replay since
    /// then have them.
    pub first_age_ms: u32,
    pub last_age_ms: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventHeader {
    pub receipt: Receipt,
    /// The connection that already has this as its direct answer.
    pub exclude: Option<ConnectionRef>,
    /// Users who must not see it: the typing user, or blocked users.
    pub exclude_users: Vec<UserId>,
}

/// What writing an event to a user's socket acknowledges. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Receipt {
    /// This message arrived.
    Message { conversation: ConversationId, seq: i64, sender: UserId, message: MessageId },
    /// This durable event arrived.
    Durable { event: Uuid },
    /// Nothing: not durable, and the first to be dropped if a client is slow.
    None,
}

impl EventHeader {
    pub fn new(receipt: Receipt) -> Self {
        EventHeader { receipt, exclude: None, exclude_users: Vec::new() }
    }
}
