//! From a decoded command to a stream entry that may be appended. An [`Admitted`] can only be made here.

use std::sync::Arc;
use std::time::SystemTime;

use shared::clock::Timestamp;
use shared::commands::{Command, Route};
use shared::config::GatewaySettings;
use shared::ids::{ConnectionId, UserId, new_command_id, user_route_hint};
use shared::protocol::{ErrorCode, Rejection, RequestId};
use shared::redis::admit::{Append, Rate};
use shared::stream::{Body, Envelope, Internal};
use shared::telemetry::traces::{KeyValue, Span, SpanKind, TraceContext};
use uuid::Uuid;

use crate::connection::Connection;
use crate::connection::in_flight::NextRound;
use crate::core::Core;
use crate::lanes::load::LaneLoads;
use crate::metrics::Totals;

/// What senders are told if Redis does not answer.
const REDIS_RETRY_SECONDS: u32 = 2;
/// Reactions, read marks, pages and typing signs for each message that a user may send.
const COMMANDS_PER_MESSAGE: u32 = 10;

/// An entry that passed all checks, sealed and addressed.
pub struct Admitted {
    pub(crate) append: Append,
    origin: Origin,
    command: Uuid,
    /// The partition in the ordered lane; `None` in the query lane.
    partition: Option<u32>,
    traced: Option<Box<Traced>>,
}

/// A command that is traced.
pub struct Traced {
    context: TraceContext,
    /// The trace in which the connection was opened.
    parent: Option<TraceContext>,
    name: String,
    at: SystemTime,
}

impl Traced {
    pub fn context(&self) -> TraceContext {
        self.context
    }

    /// Records if the command was appended.
    pub fn appended(self, core: &Core, command: Uuid, appended: bool) {
        let attributes = vec![
            KeyValue::new("chat.command", self.name),
            KeyValue::new("chat.command_id", command.to_string()),
            KeyValue::new("chat.gateway_id", core.id.to_string()),
            KeyValue::new("chat.appended", appended),
        ];
        core.tracer.record(Span {
            name: "command",
            kind: SpanKind::Server,
            context: self.context,
            parent: self.parent,
            started_at: self.at,
            attributes,
        });
    }
}

/// Who is told the outcome of an entry.
pub enum Origin {
    /// The connection that sent the command.
    Client(Arc<Connection>),
    /// The gateway itself.
    Internal,
}

impl Admitted {
    pub fn command(&self) -> Uuid {
        self.command
    }

    pub fn partition(&self) -> Option<u32> {
        self.partition
    }

    pub fn into_parts(self) -> (Append, Origin, Uuid, Option<Box<Traced>>) {
        (self.append, self.origin, self.command, self.traced)
    }

    /// Admits a client's command. Answers refer to its id.
    ///
    /// # Errors
    /// When its sender is certainly over the rate limit, or its lane takes no commands for the moment.
    pub fn client(
        core: &Core,
        lanes: &LaneLoads,
        connection: &Arc<Connection>,
        user: UserId,
        command: Command,
        request_id: Option<RequestId>,
    ) -> Result<Self, Rejection> {
        let name = command.name();
        let rate = if let Some(text) = command.message_text() {
            let limit = connection.dialect.message_rate_limit(core.settings.message_rate_limit, text);
            Rate { key: core.keys.message_rate(user), limit }
        } else {
            Rate { key: core.keys.command_rate(user), limit: command_rate_limit(&core.settings) }
        };
        if let Some(retry_after) = core.spent.retry_after(&rate.key, rate.limit, core.clock.now_ms()) {
            return Err(over_rate_limit(core, retry_after));
        }
        let route = command.route(user);
        let body = match command {
            Command::Sync(sync) => Body::Sync(sync.into_round()),
            command => Body::of_command(command, false),
        };
        let sender = Sender { connection: connection.id, user, request_id, caused_by: connection.trace() };
        let entry = Entry::new(core, lanes, sender, route, &body, None)?;
        let append = Append { rate: Some(rate), ..entry.append };
        let traced = entry.trace.map(|context| {
            let (parent, name) = (connection.trace(), name.to_owned());
            Box::new(Traced { context, parent, name, at: SystemTime::now() })
        });
        let origin = Origin::Client(connection.clone());
        Ok(Admitted { append, origin, command: entry.command, partition: entry.partition, traced })
    }

    /// Admits a user's command that a backend requested; its answer goes to the gateway.
    ///
    /// # Errors
    /// When its lane takes no commands for the moment.
    pub fn server(core: &Core, lanes: &LaneLoads, ordered: Ordered) -> Result<Self, Rejection> {
        let Ordered { user, command, is_systems, id, trace } = ordered;
        let (name, route) = (command.name().to_owned(), command.route(user));
        let body = Body::of_command(command, is_systems);
        let sender = Sender { connection: ConnectionId(0), user, request_id: None, caused_by: trace };
        let entry = Entry::new(core, lanes, sender, route, &body, id)?;
        let traced =
            entry.trace.map(|context| Box::new(Traced { context, parent: trace, name, at: SystemTime::now() }));
        let (append, command, partition) = (entry.append, entry.command, entry.partition);
        Ok(Admitted { append, origin: Origin::Internal, command, partition, traced })
    }

    /// Another round of a `sync`, under the id that its answers refer to. It was admitted with the first round.
    pub fn next_round(core: &Core, connection: &Arc<Connection>, user: UserId, next: NextRound) -> Self {
        let now = Timestamp::now();
        let (id, body, deadline) =
            (next.command, Body::Sync(next.round), now.plus(core.settings.common.command_timeout));
        let envelope = Envelope::new(id, &body, user, core.reference(connection.id), now, deadline);
        let envelope = Envelope { request_id: next.request_id, ..envelope };
        let stream = core.keys.queries();
        let entry = core.wire.entry(&stream, &envelope, &body).into();
        let append = Append { stream, rate: None, entry };
        Admitted {
            append,
            origin: Origin::Client(connection.clone()),
            command: next.command,
            partition: None,
            traced: None,
        }
    }

    /// Admits the gateway's own request for the query lane, under this id or a new one.
    pub fn internal(
        core: &Core,
        id: Option<Uuid>,
        user: UserId,
        request: &Internal,
        request_id: Option<RequestId>,
        deadline: Timestamp,
    ) -> Self {
        let now = Timestamp::now();
        let id = id.unwrap_or_else(|| new_command_id(now, user_route_hint(user)));
        let body = Body::Internal(request.clone());
        let reply_to = core.reference(ConnectionId(0));
        let envelope = Envelope { request_id, ..Envelope::new(id, &body, user, reply_to, now, deadline) };
        let stream = core.keys.queries();
        let entry = core.wire.entry(&stream, &envelope, &body).into();
        let append = Append { stream, rate: None, entry };
        Admitted { append, origin: Origin::Internal, command: id, partition: None, traced: None }
    }
}

/// A command that a backend requests for a user.
pub struct Ordered {
    pub user: UserId,
    pub command: Command,
    /// True for a system message.
    pub is_systems: bool,
    /// A repetition has the id of the first request.
    pub id: Option<Uuid>,
    /// The trace that the request claims to be part of.
    pub trace: Option<TraceContext>,
}

/// Who sent the command, and where the answer goes.
struct Sender {
    connection: ConnectionId,
    user: UserId,
    request_id: Option<RequestId>,
    /// The trace in which the connection, or the backend's request, was opened.
    caused_by: Option<TraceContext>,
}

/// A user's command as it is appended, without a rate limit.
struct Entry {
    append: Append,
    command: Uuid,
    /// The partition in the ordered lane; `None` in the query lane.
    partition: Option<u32>,
    trace: Option<TraceContext>,
}

impl Entry {
    /// Uses this id or a new one.
    ///
    /// # Errors
    /// When its lane takes no commands for the moment.
    fn new(
        core: &Core,
        lanes: &LaneLoads,
        sender: Sender,
        route: Route,
        body: &Body,
        id: Option<Uuid>,
    ) -> Result<Self, Rejection> {
        let partitions = u32::from(core.settings.common.partitions);
        let (hint, partition) = match route {
            Route::Ordered(subject) => (subject.route_hint(), Some(u32::from(subject.route_hint()) % partitions)),
            Route::Query => (user_route_hint(sender.user), None),
        };
        if !core.liveness.redis_is_up() {
            return Err(Rejection::unavailable("The message queue does not answer", REDIS_RETRY_SECONDS));
        }
        if let Some(retry_after) = lanes.refuses(partition) {
            return Err(Rejection::unavailable("Too many commands are waiting", retry_after));
        }
        let now = Timestamp::now();
        let id = id.unwrap_or_else(|| new_command_id(now, hint));
        let trace = core.tracer.sample(sender.caused_by);
        let deadline = now.plus(core.settings.common.command_timeout);
        let envelope = Envelope::new(id, body, sender.user, core.reference(sender.connection), now, deadline);
        let envelope = Envelope { request_id: sender.request_id, trace, ..envelope };
        let stream = match partition {
            Some(partition) => core.keys.partition(partition),
            None => core.keys.queries(),
        };
        let append = Append { rate: None, entry: core.wire.entry(&stream, &envelope, body).into(), stream };
        Ok(Entry { append, command: id, partition, trace })
    }
}

/// How many other commands a user may send: far more than people need, and less than a program could send.
pub fn command_rate_limit(settings: &GatewaySettings) -> u32 {
    settings.message_rate_limit.saturating_mul(COMMANDS_PER_MESSAGE)
}

/// Counts a command of a sender who is over the rate limit, and says what the sender is told.
pub fn over_rate_limit(core: &Core, retry_after: u32) -> Rejection {
    Totals::add(&core.totals.rate_limited, 1);
    core.metrics.rate_limited.with("messages").increment(1);
    let (messages, others) = (core.settings.message_rate_limit, command_rate_limit(&core.settings));
    let details = format!("At most {messages} messages and {others} other commands per minute");
    Rejection { retry_after: Some(retry_after), ..Rejection::new(ErrorCode::RateLimitExceeded, details) }
}

/// What a sender is told if the entry could not be appended.
pub fn not_appended() -> Rejection {
    Rejection::unavailable("The message queue does not answer", REDIS_RETRY_SECONDS)
}
