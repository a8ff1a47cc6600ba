//! A stream entry: what a gateway appends and a worker consumes. It has a readable envelope and a sealed body; nothing
//! that Redis stores contains content in plain text.
//!
//! [`crate::wire`] defines the encoding. The order of variants and of fields is the encoding: **append only**, variants
//! at the end of their enum; fields not at all.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::commands::{Command, Contract, Sync};
pub use crate::commands::{SyncPosition, SyncRound};
use crate::cursor::Cursor;
use crate::http::ReportState;
use crate::ids::{
    ApiKeyId, ConnectionId, ConnectionRef, ConversationId, Epoch, GroupId, MessageId, ReportId, TokenId, UserId,
};
use crate::metadata::MetadataField;
use crate::protocol::RequestId;
use crate::server_api::key::KeyHash;
use crate::telemetry::traces::TraceContext;

/// The name of the one field of a stream entry.
pub const FIELD: &str = "c";

/// The readable part of an entry. [`crate::wire`] defines its encoding; it is serialised only for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Envelope {
    /// UUIDv7, made once at the gateway; for sends it is the message's id.
    pub id: Uuid,
    /// [`Command::name`], or the name of an internal request.
    pub name: String,
    /// The user of the connection's token. Not yet authorised for anything.
    pub user: UserId,
    /// Where the answer goes. Connection 0 is the gateway itself.
    pub reply_to: ConnectionRef,
    pub request_id: Option<RequestId>,
    pub ingested_at: Timestamp,
    /// After this time the command is not applied any more.
    pub deadline: Timestamp,
    /// How often a worker has passed it on to another partition.
    pub hops: u8,
    /// The trace of a traced command.
    pub trace: Option<TraceContext>,
}

/// The sealed part of an entry. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// A client's command.
    Client(Command),
    /// A gateway's own request.
    Internal(Internal),
    /// A client's `sync`, or the rest of one.
    Sync(SyncRound),
    /// A system message that a backend sends for a user.
    System(Command),
    /// A command of one or the other with metadata. A worker that does not know of metadata must not apply it without.
    WithMetadata(Box<CommandWithMetadata>),
}

/// A command, and what is not among the fields that it is written with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandWithMetadata {
    pub command: Command,
    /// As [`Body::System`].
    pub is_systems: bool,
    pub metadata: MetadataField,
}

/// A gateway's own request, answered to the gateway with an [`InternalReply`]. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Internal {
    /// Is this token's user known, and is the token not revoked?
    Authenticate { token_id: TokenId },
    /// The gateway is subscribed to everything that concerns the user: register the session and return what was missed.
    /// The session is registered under the gateway's connection; if that is closed by the time of the reply, the
    /// gateway removes it again. A renewal changes only the token, without a replay.
    Resume { token_id: TokenId, session: Uuid, connection: ConnectionId, wants_acks: bool, renewal: bool },
    /// The next part of a replay.
    Replay { cursor: ReplayCursor },
    /// Events that reached clients. Has no reply.
    RecordReceipts { receipts: Vec<Receipts> },
    /// An HTTP request that needs the database.
    Http(HttpRequest),
    /// The messages of a conversation from this number on, which the gateway should have received but did not.
    Missing { conversation: ConversationId, from: i64 },
    /// [`Internal::Resume`], after `receipts` (a separate request) was handled, which contains what reached the user
    /// through other connections.
    ResumeAfter { resume: Box<Internal>, receipts: Box<Internal> },
    /// Like [`Internal::RecordReceipts`], for messages and events of this epoch of the database: in another one their
    /// numbers mean others.
    RecordReceiptsIn { epoch: Epoch, receipts: Vec<Receipts> },
    /// The conversation to which clients of the original gave this id of their own.
    HeldConversation { held: String },
    /// A connection opened or ended under a token of the envelope's user. Has no reply.
    RecordSignIn(SignIn),
    /// Which message the original called so: an id that does not look like one.
    HeldMessage { held: String },
    /// Like [`Internal::HeldConversation`], for several ids.
    HeldConversations { held: Vec<String> },
}

impl Body {
    /// A user's command, or one of the system (`is_systems`).
    pub fn of_command(mut command: Command, is_systems: bool) -> Body {
        let metadata = command.metadata().map(std::mem::take).unwrap_or_default();
        match (metadata.is_absent(), is_systems) {
            (true, false) => Body::Client(command),
            (true, true) => Body::System(command),
            (false, _) => Body::WithMetadata(Box::new(CommandWithMetadata { command, is_systems, metadata })),
        }
    }

    /// The command with all that belongs to it, and whether it is the system's; `None` of another body.
    pub fn into_command(self) -> Option<(Command, bool)> {
        match self {
            Body::Client(command) => Some((command, false)),
            Body::System(command) => Some((command, true)),
            Body::WithMetadata(with) => {
                let CommandWithMetadata { mut command, is_systems, metadata } = *with;
                *command.metadata()? = metadata;
                Some((command, is_systems))
            }
            Body::Internal(_) | Body::Sync(_) => None,
        }
    }

    /// What an envelope around it has to say.
    pub fn name(&self) -> &'static str {
        match self {
            Body::Client(command) | Body::System(command) => command.name(),
            Body::WithMetadata(with) => with.command.name(),
            Body::Internal(request) => request.name(),
            Body::Sync(_) => Sync::NAME,
        }
    }
}

impl Internal {
    pub fn name(&self) -> &'static str {
        match self {
            Internal::Authenticate { .. } => "authenticate",
            Internal::Resume { .. } => "resume",
            Internal::Replay { .. } => "replay",
            // The name from the first release: gateways and workers of all versions must agree on it.
            Internal::RecordReceipts { .. } | Internal::RecordReceiptsIn { .. } => "settle",
            Internal::Http(_) => "http",
            Internal::Missing { .. } => "missing",
            Internal::ResumeAfter { .. } => "resume",
            Internal::HeldConversation { .. } | Internal::HeldConversations { .. } => "held_conversation",
            Internal::RecordSignIn(_) => "record_sign_in",
            Internal::HeldMessage { .. } => "held_message",
        }
    }
}

/// Bodies and queries as received, bounded by the gateway; the worker parses and checks them. If a request has a user's
/// token, its signature was checked and the envelope names its user; the worker checks for revocation. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpRequest {
    /// `POST /community/progression`; the bearer token was compared.
    CommunitySync { body: Vec<u8> },
    /// `GET /api/conversations`
    Conversations { token_id: TokenId, query: String },
    /// `POST /api/profile-pictures/batch`
    ProfilePictures { token_id: TokenId, body: Vec<u8> },
    /// `POST /api/auth/register`
    Register { body: Vec<u8> },
    /// `POST /api/auth/login`
    Login { body: Vec<u8> },
    /// `POST /api/auth/logout`
    Logout { token_id: TokenId, expires_at: Timestamp },
    /// Asks if an API key may be used for this. The request itself follows if it is allowed.
    ServerCall(ServerCall),
    /// `POST /api/server/v1/presence`, allowed.
    Presences { body: Vec<u8> },
    /// `POST /api/server/v1/users`, allowed.
    CreateUser { body: Vec<u8> },
    /// `PATCH /api/server/v1/users/{userId}`, allowed.
    UpdateUser { user: UserId, body: Vec<u8> },
    /// `GET /api/server/v1/users/{userId}/export`, allowed.
    Export { user: UserId, after: Option<ExportPosition> },
    /// `POST /api/auth/login`, from an address that the account was used from before.
    KnownLogin { body: Vec<u8> },
    /// `GET /api/server/v1/reports`, allowed.
    Reports { limit: u32, after: Option<ReportPosition> },
    /// `PATCH /api/server/v1/reports/{reportId}`, allowed for this key.
    CloseReport { report: ReportId, state: ReportState, key_id: ApiKeyId },
}

/// The last report of the previous part. Callers carry it between versions, so its fields must not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportPosition {
    pub report: ReportId,
}

impl Cursor for ReportPosition {
    const LIST: &'static str = "reports";
}

/// Where the next part of a user's data begins. Callers carry it between versions. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportPosition {
    /// In this section, after the row of this digest.
    Rows { section: String, after: String },
    /// After this message.
    Messages { after: Uuid },
    /// After this event.
    Events { after: Uuid },
}

impl Cursor for ExportPosition {
    const LIST: &'static str = "export";
}

/// One use of an API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerCall {
    pub key_id: ApiKeyId,
    pub key_hash: KeyHash,
    /// As text, because a worker may be older than the gateway that names it.
    pub scope: String,
    /// The entry for the audit log; absent if nothing is changed.
    pub action: Option<String>,
    /// The user for whom the request acts.
    pub user: Option<UserId>,
    pub repetition: Option<Repetition>,
}

/// How repetitions of a request are recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repetition {
    /// The `Idempotency-Key`.
    pub key: String,
    /// SHA-256 of method, path and fields of the request.
    pub fingerprint: [u8; 32],
    /// The command that it becomes, unless it is a repetition.
    pub command: Uuid,
}

/// Under which token a user is connected, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    pub token_id: TokenId,
    pub expires_at: Timestamp,
    /// What the client says it is: its `User-Agent`, at most [`MAX_USER_AGENT_CHARACTERS`](crate::limits::MAX_USER_AGENT_CHARACTERS).
    pub user_agent: Option<String>,
    /// As limits count it: of IPv6 the network.
    pub address: String,
}

/// What one user has received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipts {
    pub user: UserId,
    /// All messages up to this number.
    pub conversations: Vec<(ConversationId, i64)>,
    pub events: Vec<Uuid>,
}

/// Where a replay continues; opaque to the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayCursor(pub Vec<u8>);

/// The answer to an [`Internal`] request, sent to the gateway's channel. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InternalReply {
    Authenticated {
        /// The groups whose events this user gets.
        groups: Vec<GroupId>,
    },
    /// The token does not open a session: the finished `auth_error`, and if the fault is on our side.
    Refused {
        auth_error: Vec<u8>,
    },
    Resumed {
        /// The finished `auth_success`.
        auth_success: Vec<u8>,
        replay: ReplayPage,
    },
    Replayed(ReplayPage),
    /// Not handled; worth another attempt after this many seconds.
    Unavailable {
        retry_after: u32,
    },
    /// The finished answer to an HTTP request.
    Http {
        status: u16,
        json: Vec<u8>,
    },
    /// The password of a built-in account was right: the gateway makes the token and answers
    /// `{"token": …, "user": …}`.
    SignedIn {
        user: UserId,
        /// The finished JSON of `user`.
        profile: Vec<u8>,
    },
    Missing(MissingMessages),
    /// The API key may be used for this.
    Allowed {
        /// The command that a request with an `Idempotency-Key` becomes: that of the first request.
        command: Option<Uuid>,
    },
    /// The conversation of a held id, if it belongs to one.
    HeldConversation(Option<ConversationId>),
    /// The message of a held id, if it is the id of one.
    HeldMessage(Option<MessageId>),
    /// For each held id, in their order.
    HeldConversations(Vec<Option<ConversationId>>),
}

/// Messages for everyone in a conversation, oldest first, as they would have been published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct MissingMessages {
    pub events: Vec<ReplayedEvent>,
    /// There are more than fit: connections that miss them have to request everything that they missed.
    pub has_more: bool,
    /// Users who may only see what comes after this number, because they hid it or joined later.
    pub only_after: Vec<(UserId, i64)>,
}

/// A part of what a user missed, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ReplayPage {
    pub events: Vec<ReplayedEvent>,
    /// Absent at the end.
    pub next: Option<ReplayCursor>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayedEvent {
    pub receipt: crate::publication::Receipt,
    pub json: Vec<u8>,
}

impl Envelope {
    /// Makes the envelope of `body`, for an untraced request without a `requestId`.
    pub fn new(
        id: Uuid,
        body: &Body,
        user: UserId,
        reply_to: ConnectionRef,
        ingested_at: Timestamp,
        deadline: Timestamp,
    ) -> Self {
        Envelope {
            id,
            name: body.name().to_owned(),
            user,
            reply_to,
            request_id: None,
            ingested_at,
            deadline,
            hops: 0,
            trace: None,
        }
    }
}
