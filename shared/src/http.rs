//! The JSON answers of the HTTP endpoints. Who may call them and how is in the gateway's `api`; this module only has
//! the shapes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::events::community::{ChallengeEvent, Progress};
use crate::events::direct::Conversations;
use crate::events::membership::SkippedMember;
use crate::events::message::Message;
use crate::events::session::Profile;
use crate::ids::{ConversationId, GroupId, MessageId, ReportId, UserId};
use crate::metadata::Metadata;

/// `status` of a success.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Success {
    Ok,
}

/// `status` of an error.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Failure {
    Error,
}

/// Why a request was rejected.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody<'a> {
    pub status: Failure,
    /// For programs.
    pub code: &'a str,
    /// For people.
    pub message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'a str>,
    /// Whole seconds; the header `Retry-After` says the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// Also in the server's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_id: Option<&'a str>,
}

impl<'a> ErrorBody<'a> {
    pub fn new(code: &'a str, message: &'a str) -> Self {
        ErrorBody { status: Failure::Error, code, message, field: None, retry_after: None, error_id: None }
    }
}

/// A success with nothing more to say.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Done {
    pub status: Success,
}

/// The caller's direct conversations, most recently active first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConversationList {
    pub status: Success,
    #[serde(flatten)]
    pub conversations: Conversations,
}

/// In the order in which they were requested.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pictures<'a> {
    pub status: Success,
    pub items: Vec<Picture<'a>>,
}

/// The URL of the picture of a user or a community.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Picture<'a> {
    /// `user` or `community`
    #[serde(rename = "type")]
    pub kind: &'a str,
    pub id: &'a str,
    pub has_picture: bool,
    /// The client shows its own default picture.
    pub default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The community was stored as the body says.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommunitySynced<'a> {
    pub status: Success,
    pub community_id: &'a str,
    pub default_group_id: GroupId,
    pub event: Option<&'a ChallengeEvent>,
    pub progress: Option<&'a Progress>,
    pub broadcast: Broadcast,
    /// The event was already known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped_members: Vec<SkippedMember>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Broadcast {
    /// Members who were online.
    pub delivered: usize,
}

/// A token for `authenticate`, and its user.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SignedIn<'a> {
    pub token: &'a str,
    pub user: &'a Profile,
}

/// Who is online, in the requested order.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Presences {
    pub status: Success,
    pub users: Vec<Presence>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    pub user_id: UserId,
    /// Also for `OFFLINE_GRACE_PERIOD` after the last connection; `false` for users who do not exist.
    pub is_online: bool,
}

/// A user's connections.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Sessions {
    pub status: Success,
    pub sessions: Vec<Session>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    pub gateway_id: String,
    /// The number of the connection on its gateway.
    pub connection_id: u64,
}

/// An account as a backend sees it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account<'a> {
    pub status: Success,
    pub user: &'a Profile,
    /// Whether it may sign in.
    pub is_active: bool,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReportState {
    /// It was justified.
    Resolved,
    /// It was not justified.
    Dismissed,
}

impl ReportState {
    pub const NAMES: &'static [&'static str] = &["resolved", "dismissed"];

    pub fn as_str(self) -> &'static str {
        match self {
            ReportState::Resolved => "resolved",
            ReportState::Dismissed => "dismissed",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [ReportState::Resolved, ReportState::Dismissed].into_iter().find(|state| state.as_str() == name)
    }
}

/// Open reports of messages, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reports {
    pub status: Success,
    pub reports: Vec<Report>,
    /// Absent in the last part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A report of a message.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub report_id: ReportId,
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    /// The user who sent the message.
    pub sender_id: UserId,
    /// The user who reported it.
    pub reporter_id: UserId,
    /// `null` if it does not decrypt.
    pub reason: Option<String>,
    pub reported_at: Timestamp,
    /// As it is now; `null` if it was deleted or does not decrypt.
    pub message: Option<Message>,
}

/// A part of the data stored about a user.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exported {
    pub status: Success,
    pub parts: Vec<ExportedRows>,
    /// Absent in the last part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Rows of one section. A section may continue in the next answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ExportedRows {
    pub section: &'static str,
    /// As they are stored, with messages and events decrypted.
    pub rows: Vec<serde_json::Value>,
}

/// A message that the user sent anywhere or received in a direct conversation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportedMessage {
    pub message_id: MessageId,
    pub conversation_id: String,
    pub seq: i64,
    pub sender_id: UserId,
    /// `null` if it does not decrypt.
    pub content: Option<String>,
    pub created_at: Timestamp,
    pub edited_at: Option<Timestamp>,
    pub reply_to_message_id: Option<MessageId>,
    pub client_message_id: Option<String>,
    /// `null` also when it does not decrypt.
    pub metadata: Option<Metadata>,
}

/// An event that waits for the user, or was delivered recently.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportedEvent {
    /// `null` if it does not decrypt.
    pub event: Option<serde_json::Value>,
    pub created_at: Timestamp,
    pub delivered_at: Option<Timestamp>,
}

/// The process is running.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Live {
    pub alive: bool,
    /// Seconds.
    pub uptime: f64,
    pub timestamp: Timestamp,
}

/// Whether the server wants traffic.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ready {
    pub ready: bool,
    /// The parts it depends on: `redis`, `draining`, on a gateway `workers`, on a worker `database`, `mainBackend` and
    /// `ownTables`.
    pub components: BTreeMap<&'static str, bool>,
    /// Why a component does not work, if that can be said in words: a missing column of the main backend, a missing
    /// right on a table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    pub timestamp: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    Healthy,
    Degraded,
    Unhealthy,
}

/// The state of the server.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Health {
    pub status: Condition,
    /// Which gateway answered; a worker has none.
    #[serde(rename = "gatewayId", skip_serializing_if = "Option::is_none")]
    pub gateway_id: Option<String>,
    pub timestamp: Timestamp,
    /// Seconds.
    pub uptime: f64,
    pub version: &'static str,
    pub connections: Connections,
    pub memory: Memory,
    pub database: Database,
    pub redis: Redis,
    pub fleet: Servers,
    pub metrics: Traffic,
}

/// WebSockets.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Connections {
    pub active: usize,
    pub peak: u64,
    pub limit: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Memory {
    /// Bytes.
    pub rss: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    pub connected: bool,
    pub pool_size: u32,
    pub idle_connections: usize,
    /// Milliseconds.
    pub response_time: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Redis {
    pub connected: bool,
    /// Milliseconds.
    pub response_time: f64,
}

/// The number of live servers.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Servers {
    pub gateways: u32,
    pub workers: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    pub messages_sent: u64,
    pub messages_received: u64,
    pub errors: u64,
    /// Milliseconds.
    pub average_response_time: f64,
}

/// The original server's metrics.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OriginalMetrics {
    pub connections: usize,
    pub messages_sent: u64,
    pub messages_received: u64,
    pub errors: u64,
    /// Epoch milliseconds.
    pub start_time: i64,
    pub active_users: usize,
    pub peak_concurrent_users: u64,
    /// Milliseconds.
    pub average_response_time: f64,
    /// Bytes.
    pub total_data_transferred: u64,
    pub rate_limit_hits: u64,
}
