//! The ground floor: what every part of the gateway may use. It does not know any of the parts.

use std::time::Duration;

use fred::prelude::{Client, Error};
use shared::config::{GatewaySettings, Secret};
use shared::crypto::Keyring;
use shared::events;
use shared::ids::{ConnectionId, ConnectionRef, GatewayId, GroupId};
use shared::lifecycle::Lifecycle;
use shared::limits::Limits;
use shared::protocol::{Rejection, RequestId};
use shared::publication::Header;
use shared::redis::admit::Admit;
use shared::redis::client::RedisOptions;
use shared::redis::keys::Keys;
use shared::redis::publisher::{ChannelMessage, Publisher};
use shared::telemetry::Metrics;
use shared::telemetry::traces::Tracer;
use shared::wire::Wire;
use uuid::Uuid;

use crate::clock::Uptime;
use crate::connection::{Connection, InFlight};
use crate::limits::spent::SpentRates;
use crate::liveness::Liveness;
use crate::metrics::{GatewayMetrics, Totals};
use crate::tokens::Tokens;

/// The window of a user's rate limit for messages.
const RATE_WINDOW: Duration = Duration::from_secs(60);

pub struct Core {
    pub id: GatewayId,
    pub settings: GatewaySettings,
    pub limits: Limits,
    pub lifecycle: Lifecycle,
    pub clock: Uptime,
    pub keys: Keys,
    pub publisher: Publisher,
    /// Encodes and decodes what goes to workers and comes from them.
    pub wire: Wire,
    pub tokens: Tokens,
    pub metrics: GatewayMetrics,
    pub totals: Totals,
    /// The metrics that `/metrics` shows.
    pub recorder: Option<Metrics>,
    /// Used for everything but subscriptions and the ordered lane.
    pub redis: Client,
    pub admit: Admit,
    pub spent: SpentRates,
    pub liveness: Liveness,
    pub tracer: Tracer,
}

impl Core {
    /// Blocks for the key derivation.
    ///
    /// # Errors
    /// When a setting that was checked before turns out to be unusable.
    pub fn new(
        settings: GatewaySettings,
        lifecycle: Lifecycle,
        recorder: Option<Metrics>,
        redis: Client,
    ) -> anyhow::Result<Self> {
        let common = &settings.common;
        let tracer = Tracer::start(
            common.otlp_endpoint.as_ref().map(Secret::expose),
            common.trace_one_in,
            "chat-gateway",
            &lifecycle,
        )?;
        let keys = Keys::new(common.redis_prefix.as_str());
        let encryption = common.encryption().map_err(anyhow::Error::msg)?;
        Ok(Core {
            id: GatewayId(Uuid::new_v4()),
            limits: Limits {
                message_characters: common.max_message_length,
                group_members: common.group_max_members,
                offset: common.max_offset,
                ..Limits::default()
            },
            clock: Uptime::start(),
            publisher: Publisher::new(keys.clone()),
            keys,
            wire: Wire::new(Keyring::derive(&encryption)?, common.wire_format),
            tokens: Tokens::new(&settings)?,
            metrics: GatewayMetrics::new(),
            totals: Totals::default(),
            spent: SpentRates::default(),
            recorder,
            redis,
            admit: Admit::new(RATE_WINDOW),
            liveness: Liveness::default(),
            tracer,
            lifecycle,
            settings,
        })
    }

    /// The fleet-wide name of a connection of this gateway.
    pub fn reference(&self, connection: ConnectionId) -> ConnectionRef {
        ConnectionRef { gateway: self.id, connection }
    }

    /// Publishes to one channel; returns how many connections to Redis it reached, see [`Publisher::tell`].
    pub async fn tell(&self, channel: String, header: &Header, payload: &[u8]) -> Result<u32, Error> {
        let publication = self.wire.publication(&channel, header, payload);
        self.publisher.tell(&self.redis, ChannelMessage::new(channel, publication)).await
    }

    pub fn group_channels(&self, groups: &[GroupId]) -> Vec<String> {
        groups.iter().map(|group| self.keys.group_channel(*group)).collect()
    }

    /// Sends a connection an `error` and counts it.
    pub fn push_error(
        &self,
        connection: &Connection,
        rejection: &Rejection,
        request_type: Option<&str>,
        request_id: Option<&RequestId>,
    ) {
        Totals::add(&self.totals.errors, 1);
        self.metrics.errors.with(rejection.code.as_str()).increment(1);
        connection.push_json(&events::answer(&rejection.event(request_type), request_id));
    }

    /// Answers a command that waits for a worker with an error.
    pub fn reject(&self, connection: &Connection, command: Uuid, rejection: &Rejection) {
        if let Some(entry) = connection.forget(command) {
            self.reject_entry(connection, &entry, rejection);
        }
    }

    /// Does the same for a command that is no longer on the connection's list.
    pub fn reject_entry(&self, connection: &Connection, entry: &InFlight, rejection: &Rejection) {
        self.push_error(connection, rejection, Some(entry.name), entry.request_id.as_ref());
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
