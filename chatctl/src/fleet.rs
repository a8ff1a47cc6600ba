//! The fleet as Redis knows it, for operators: who is alive and who is connected; also sends messages to gateways.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fred::prelude::*;
use fred::types::CustomCommand;
use shared::clock::Timestamp;
use shared::ids::{GatewayId, UserId};
use shared::lifecycle::Lifecycle;
use shared::publication::Header;
use shared::redis::dead_letters::DeadLetters;
use shared::redis::keys::Keys;
use shared::redis::publisher::{ChannelMessage, Publisher};
use shared::redis::redirect::keyed;
use shared::wire::Wire;

use crate::settings::Settings;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A process counts as dead after this time without a heartbeat, as for gateways and workers.
const ALIVE_MS: i64 = 5_000;

pub struct FleetClient {
    pub redis: Client,
    pub keys: Keys,
}

/// A process with a recent heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alive {
    pub id: String,
    /// Milliseconds since its last heartbeat.
    pub seen_ms: i64,
}

impl FleetClient {
    /// Connects; fails if Redis does not answer.
    pub async fn connect(settings: &Settings) -> Result<Self> {
        // The URL contains a password, so error messages must not quote it.
        let options = settings.redis_options(ANSWER_WITHIN)?;
        let redis = options.client(&Lifecycle::new(Duration::ZERO)).context("REDIS_URL")?;
        let answer: Result<(), Error> = redis.ping(None).await;
        answer.context("Redis does not answer")?;
        Ok(FleetClient { redis, keys: Keys::new(settings.redis_prefix()) })
    }

    /// Live processes of a kind, `gateway` or `worker`.
    pub async fn alive(&self, kind: &str) -> Result<Vec<Alive>> {
        let now = Timestamp::now().0;
        let oldest = (now - ALIVE_MS) as f64;
        let beats: Vec<(String, f64)> = keyed!(&self.redis, self.keys.heartbeats(kind), |sender, key| async move {
            sender.zrangebyscore(key, oldest, f64::INFINITY, true, None).await
        })
        .await?;
        Ok(beats.into_iter().map(|(id, at)| Alive { id, seen_ms: now - at as i64 }).collect())
    }

    /// The version of a live process; `None` if it has not published one.
    pub async fn version(&self, kind: &str, process: &str) -> Result<Option<String>> {
        self.text(self.keys.version(kind, process)).await
    }

    /// The number of sessions registered for a gateway.
    pub async fn count_sessions(&self, gateway: &str) -> Result<u64> {
        let key = self.keys.gateway_sessions(gateway_id(gateway)?);
        Ok(keyed!(&self.redis, key, |sender, key| async move { sender.scard(key).await }).await?)
    }

    /// A gateway's sessions as `(user, connection)`.
    pub async fn gateway_sessions(&self, gateway: &str) -> Result<Vec<(String, String)>> {
        self.pairs(self.keys.gateway_sessions(gateway_id(gateway)?)).await
    }

    /// A user's sessions as `(gateway, connection)`.
    pub async fn user_sessions(&self, user: i64) -> Result<Vec<(String, String)>> {
        self.pairs(format!("{}{user}", self.keys.user_sessions_prefix())).await
    }

    async fn pairs(&self, set: String) -> Result<Vec<(String, String)>> {
        let members: Vec<String> =
            keyed!(&self.redis, set, |sender, key| async move { sender.smembers(key).await }).await?;
        Ok(members.iter().filter_map(|member| pair(member)).collect())
    }

    async fn text(&self, key: String) -> Result<Option<String>> {
        Ok(keyed!(&self.redis, key, |sender, key| async move { sender.get(key).await }).await?)
    }

    pub async fn count_online(&self) -> Result<u64> {
        let key = self.keys.online_users();
        Ok(keyed!(&self.redis, key, |sender, key| async move { sender.zcard(key).await }).await?)
    }

    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(self.redis.clone(), &self.keys)
    }

    /// The proxy whose clients gateways took for one address, if there was one within a day.
    pub async fn unnamed_proxy(&self) -> Result<Option<String>> {
        self.text(self.keys.unnamed_proxy()).await
    }

    /// Why the hook before send does not answer, if it did not lately.
    pub async fn before_send_error(&self) -> Result<Option<String>> {
        self.text(self.keys.before_send_down()).await
    }

    /// Whether gateways count connections for this address.
    pub async fn counts_address(&self, address: IpAddr) -> Result<bool> {
        let key = self.keys.address_connections(address);
        let count: u64 = keyed!(&self.redis, key, |sender, key| async move { sender.exists(key).await }).await?;
        Ok(count > 0)
    }

    /// The first entries of a stream, each with its id.
    pub async fn entries<V: FromValue>(&self, stream: &str, most: u64) -> Result<Vec<(String, V)>> {
        Ok(keyed!(
            &self.redis,
            stream,
            |sender, stream| async move { sender.xrange(stream, "-", "+", Some(most)).await }
        )
        .await?)
    }

    /// Length and age of the oldest entry of each stream, in their order.
    pub async fn backlogs(&self, streams: &[String]) -> Result<Vec<(u64, Duration)>> {
        let now: Vec<u64> =
            self.redis.custom(CustomCommand::new_static("TIME", None, false), Vec::<Value>::new()).await?;
        let now_ms = now.first().copied().unwrap_or(0) * 1000 + now.get(1).copied().unwrap_or(0) / 1000;
        let mut backlogs = Vec::with_capacity(streams.len());
        for stream in streams {
            let length: u64 =
                keyed!(&self.redis, stream, |sender, stream| async move { sender.xlen(stream).await }).await?;
            let first: Vec<(String, Value)> = match length {
                0 => Vec::new(),
                _ => self.entries(stream, 1).await?,
            };
            let at_ms = first.first().and_then(|(id, _)| id.split('-').next()?.parse::<u64>().ok());
            let age = Duration::from_millis(at_ms.map_or(0, |at_ms| now_ms.saturating_sub(at_ms)));
            backlogs.push((length, age));
        }
        Ok(backlogs)
    }

    /// Publishes to a user's connections.
    pub async fn tell_user(&self, wire: &Wire, user: i64, header: &Header) -> Result<()> {
        self.publish(wire, self.keys.user_channel(UserId(user)), header).await
    }

    /// Publishes to a gateway, which must be alive to receive it.
    pub async fn tell_gateway(&self, wire: &Wire, gateway: &str, header: &Header) -> Result<()> {
        let channel = self.keys.gateway_channel(gateway_id(gateway)?);
        // The number of receivers that Redis returns is no help: a cluster node counts only its own subscribers.
        if !self.alive("gateway").await?.iter().any(|alive| alive.id == gateway) {
            bail!("there is no gateway {gateway}; `chatctl status` lists them");
        }
        self.publish(wire, channel, header).await
    }

    async fn publish(&self, wire: &Wire, channel: String, header: &Header) -> Result<()> {
        let publisher = Publisher::new(self.keys.clone());
        publisher.follow(&self.redis, (Timestamp::now().0 - ALIVE_MS) as f64).await?;
        let publication = wire.publication(&channel, header, &[]);
        publisher.tell(&self.redis, ChannelMessage::new(channel, publication)).await?;
        Ok(())
    }
}

fn gateway_id(text: &str) -> Result<GatewayId> {
    text.parse().map(GatewayId).with_context(|| format!("{text} is no gateway's id; `chatctl status` lists them"))
}

fn pair(member: &str) -> Option<(String, String)> {
    member.split_once(':').map(|(first, second)| (first.to_owned(), second.to_owned()))
}

/// Polls until `done`; returns false after the limit.
pub async fn within<F: Future<Output = Result<bool>>>(limit: Duration, mut done: impl FnMut() -> F) -> Result<bool> {
    const PAUSE: Duration = Duration::from_millis(100);
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        if done().await? {
            return Ok(true);
        }
        if tokio::time::Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
