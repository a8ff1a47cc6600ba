//! What all parts of the process share, made once at the start. No behaviour but small helpers on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use fred::prelude::*;
use shared::auth::TokenVerifier;
use shared::clock::Timestamp;
use shared::config::GatewaySettings;
use shared::crypto::Keyring;
use shared::events;
use shared::ids::{ConnectionId, ConnectionRef, GatewayId, GroupId, UserId};
use shared::lifecycle::Lifecycle;
use shared::limits::Limits;
use shared::protocol::{Rejection, RequestId};
use shared::publication::{self, Header};
use shared::redis::admit::Admit;
use shared::redis::client::RedisOptions;
use shared::redis::keys::Keys;
use shared::redis::lanes::Backlogs;
use shared::redis::presence::Session;
use shared::stream::Receipts;
use shared::telemetry::Metrics;
use tokio::sync::mpsc;
use uuid::Uuid;
use websocket::PreparedText;

use crate::clock::Uptime;
use crate::connection::registry::Registry;
use crate::connection::{Connection, InFlight};
use crate::egress::delivered::{Arrival, Arrivals};
use crate::egress::gaps::{Gap, Gaps};
use crate::egress::positions::Positions;
use crate::egress::subscriptions::{Change, Subscriptions};
use crate::fleet::Fleet;
use crate::http::tls::Tls;
use crate::lanes::admit::Admitted;
use crate::lanes::ask::Requests;
use crate::lanes::enqueue::Enqueue;
use crate::lanes::load::Lanes;
use crate::lanes::receipts::ReceiptQueue;
use crate::limits::addresses::Addresses;
use crate::limits::places::Places;
use crate::metrics::{GatewayMetrics, Totals};
use crate::session::closed::ClosedSessions;

/// The user's sliding window of messages.
const RATE_WINDOW: std::time::Duration = std::time::Duration::from_secs(60);

pub struct Gateway {
    pub id: GatewayId,
    pub settings: GatewaySettings,
    pub limits: Limits,
    pub lifecycle: Lifecycle,
    pub clock: Uptime,
    pub keys: Keys,
    pub keyring: Keyring,
    pub verifier: TokenVerifier,
    pub metrics: GatewayMetrics,
    pub totals: Totals,
    pub recorder: Option<Metrics>,
    /// Where the gateway itself ends TLS.
    pub tls: Option<Tls>,

    /// For everything but subscriptions and the ordered lane.
    pub redis: Client,
    pub admit: Admit,
    pub backlogs: Backlogs,

    // Ingress.
    pub places: Arc<Places>,
    pub addresses: Addresses,
    pub lanes: Arc<Lanes>,
    pub enqueue: Enqueue,

    // Egress.
    pub registry: Registry,
    pub subscriptions: Subscriptions,
    pub requests: Requests,
    pub receipts: ReceiptQueue,
    pub arrivals: Arrivals,
    pub positions: Positions,
    pub gaps: Gaps,
    pub closed_sessions: ClosedSessions,

    pub fleet: Fleet,
    next_connection: AtomicU64,
}

/// The receiving ends of the queues in [`Gateway`], each for one task.
pub struct Queues {
    pub admitted: mpsc::Receiver<Admitted>,
    pub changes: mpsc::UnboundedReceiver<Change>,
    pub receipts: mpsc::Receiver<Receipts>,
    pub arrivals: mpsc::Receiver<Arrival>,
    pub gaps: mpsc::Receiver<Gap>,
    pub closed_sessions: mpsc::UnboundedReceiver<Session>,
}

impl Gateway {
    /// Puts everything together and starts nothing. Blocks for the key derivation.
    ///
    /// # Errors
    /// When a setting that was checked before turns out to be unusable.
    pub fn new(
        settings: GatewaySettings,
        lifecycle: Lifecycle,
        recorder: Option<Metrics>,
        redis: Client,
    ) -> anyhow::Result<(Arc<Self>, Queues)> {
        let common = &settings.common;
        let (enqueue, admitted) = Enqueue::new();
        let (subscriptions, changes) = Subscriptions::new();
        let (receipts, receipt_queue) = ReceiptQueue::new();
        let (arrivals, arrival_queue) = Arrivals::new();
        let (gaps, gap_queue) = Gaps::new();
        let (closed_sessions, closed) = ClosedSessions::new();
        let encryption = common.encryption().map_err(anyhow::Error::msg)?;
        let metrics = GatewayMetrics::new();
        let tls = match (&settings.tls_cert, &settings.tls_key) {
            (Some(cert_file), Some(key_file)) => Some(Tls::load(cert_file, key_file)?),
            _ => None,
        };
        let gateway = Gateway {
            id: GatewayId(Uuid::new_v4()),
            limits: Limits { message_characters: common.max_message_length, group_members: common.group_max_members },
            clock: Uptime::start(),
            keys: Keys::new(common.redis_prefix.as_str()),
            keyring: Keyring::derive(&encryption)?,
            verifier: match &settings.jwt_secret_previous {
                Some(previous) => TokenVerifier::new(settings.jwt_secret.expose())?.and(previous.expose())?,
                None => TokenVerifier::new(settings.jwt_secret.expose())?,
            },
            totals: Totals::default(),
            recorder,
            tls,
            redis,
            admit: Admit::new(RATE_WINDOW),
            backlogs: Backlogs::default(),
            places: Arc::new(Places::new(&settings, &metrics)),
            addresses: Addresses::default(),
            lanes: Lanes::new(common.partitions, common.backlog_max_age),
            enqueue,
            registry: Registry::default(),
            subscriptions,
            requests: Requests::default(),
            receipts,
            arrivals,
            positions: Positions::default(),
            gaps,
            closed_sessions,
            fleet: Fleet::default(),
            next_connection: AtomicU64::new(1),
            metrics,
            lifecycle,
            settings,
        };
        Ok((
            Arc::new(gateway),
            Queues {
                admitted,
                changes,
                receipts: receipt_queue,
                arrivals: arrival_queue,
                gaps: gap_queue,
                closed_sessions: closed,
            },
        ))
    }

    pub fn next_connection_id(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// A connection of this gateway, as the fleet names it.
    pub fn reference(&self, connection: ConnectionId) -> ConnectionRef {
        ConnectionRef { gateway: self.id, connection }
    }

    pub fn group_channels(&self, groups: &[GroupId]) -> Vec<String> {
        groups.iter().map(|group| self.keys.group_channel(*group)).collect()
    }

    /// Tells the fleet that `connection` takes the place of its user's older ones.
    pub fn replace_older(&self, user: UserId, connection: ConnectionId, opened_at: Timestamp) {
        let header = Header::Replaced { by: self.reference(connection), opened_at };
        let (redis, channel) = (self.redis.clone(), self.keys.user_channel(user));
        tokio::spawn(async move {
            let publication = Bytes::from(publication::encode(&header, &[]));
            if let Err(error) = redis.publish::<(), _, _>(channel, publication).await {
                tracing::warn!(error = %error, "the user's older connections were not told");
            }
        });
    }

    /// Sends receipts on their way, or drops them when too many are waiting.
    pub fn pass_on(&self, receipts: Receipts) {
        if !self.receipts.push(receipts) {
            self.metrics.receipts_dropped.increment(1);
        }
    }

    /// An `error` as a finished frame, counted.
    pub fn error_frame(
        &self,
        rejection: &Rejection,
        request_type: Option<&str>,
        request_id: Option<&RequestId>,
        deflate: bool,
    ) -> Bytes {
        Totals::add(&self.totals.errors, 1);
        self.metrics.errors.with(rejection.code.as_str()).increment(1);
        PreparedText::new(&events::answer(&rejection.event(request_type), request_id)).frame(deflate)
    }

    /// Answers a command that was waiting for a worker with an error.
    pub fn refuse(&self, connection: &Connection, command: Uuid, rejection: &Rejection) {
        if let Some(entry) = connection.forget(command) {
            self.refuse_entry(connection, &entry, rejection);
        }
    }

    /// The same for a command that is off the connection's list already.
    pub fn refuse_entry(&self, connection: &Connection, entry: &InFlight, rejection: &Rejection) {
        let frame = self.error_frame(rejection, Some(entry.name), entry.request_id.as_ref(), connection.deflate);
        connection.push(frame);
    }

    /// Counts an answer.
    pub fn answered(&self, entry: &InFlight) {
        if let Some(waiting) = &entry.waiting {
            waiting.answered();
        }
        let elapsed = entry.started.elapsed();
        self.metrics.answer_seconds.with(entry.name).record(elapsed);
        Totals::add(&self.totals.answers, 1);
        Totals::add(&self.totals.answer_micros, elapsed.as_micros() as u64);
    }
}

/// How to reach Redis.
pub fn redis_options(settings: &GatewaySettings) -> RedisOptions {
    RedisOptions {
        url: settings.common.redis_url.expose().to_owned(),
        tls_ca: settings.common.redis_tls_ca.clone(),
        command_timeout: settings.common.redis_command_timeout,
    }
}
