//! Terminates WebSocket connections: decodes, checks and limits what clients send and appends it to Redis streams; writes what
//! workers publish to sockets. It holds no database credentials and does not apply the chat's rules itself.
//!
//! A command: `http` (accept, routes) → `session` (handshake, decode, handler) → `lanes` (admit, enqueue) → stream.
//! An event: pub/sub → `egress` (subscriber, deliver) → `connection` (registry, outbox) → `session` → socket.
//! An HTTP request that needs a worker: `http` → `api` → `lanes` (ask) → stream, and the reply back over pub/sub.

mod api;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod clock;
mod connection;
mod core;
mod drain;
mod egress;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod gateway;
mod heartbeat;
mod http;
mod lanes;
mod limits;
mod liveness;
mod metrics;
mod session;
#[cfg(any(test, feature = "bench", feature = "fuzz"))]
mod testing;
mod tokens;

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Context;
use fred::clients::SubscriberClient;
use shared::config::GatewaySettings;
use shared::lifecycle::Lifecycle;
use shared::redis::client::{ANSWERS_CAPACITY, EVENTS_CAPACITY};
use shared::redis::shard::ShardOptions;
use shared::telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::core::redis_options;
use crate::egress::channels::Subscriber;
use crate::egress::shards::{self, Shards};
use crate::egress::subscriber::ShardListener;
use crate::egress::subscriptions::Change;
use crate::egress::{answers, channels, delivered, gaps, subscriber};
use crate::gateway::Gateway;
use crate::http::{accept, admin, tls};
use crate::lanes::{append, backlog, receipts};
use crate::limits::addresses;
use crate::session::{closed, sweep};

pub use crate::metrics::GatewayMetrics;

/// Starts a gateway on `listener`; it runs until `lifecycle` ends. Several may run in one process. Does not wait for
/// Redis; the gateway is not ready until Redis answers. `recorder` holds the metrics for `/metrics`.
///
/// # Errors
/// When a setting turns out to be unusable, or `ADMIN_ADDR` cannot be bound.
pub async fn run(
    settings: GatewaySettings,
    listener: TcpListener,
    lifecycle: Lifecycle,
    recorder: Option<Metrics>,
) -> anyhow::Result<()> {
    shared::clock::shift(settings.common.clock_offset_ms);
    let admin = match settings.admin_addr {
        Some(address) => Some(TcpListener::bind(address).await.with_context(|| format!("ADMIN_ADDR {address}"))?),
        None => None,
    };
    let options = redis_options(&settings);
    let redis = options.client(&lifecycle).context("REDIS_URL")?;
    let ordered = options.client(&lifecycle).context("REDIS_URL")?;
    let subscriber = options.subscriber(EVENTS_CAPACITY, &lifecycle).context("REDIS_URL")?;
    let published = subscriber::Events::of(&subscriber);
    let answering = options.subscriber(ANSWERS_CAPACITY, &lifecycle).context("REDIS_URL")?;
    let answered = subscriber::Events::of(&answering);
    let shards = options.shards().context("REDIS_URL")?;

    let (life, made) = (lifecycle.clone(), (settings, recorder, redis));
    let making = tokio::task::spawn_blocking(move || Gateway::new(made.0, life, made.1, made.2));
    let (gateway, queues) = making.await??;

    let core = gateway.core.clone();
    let issuer = core.clone();
    lifecycle.spawn_until_stopped("issuer", infallible(async move { issuer.tokens.refresh().await }));
    lifecycle.spawn("subscriber", subscriber::run(gateway.clone(), published));
    lifecycle.spawn("answers", answers::run(gateway.clone(), answering, shards.clone(), answered));
    lifecycle.spawn_until_stopped("subscriptions", subscriptions(gateway.clone(), subscriber, shards, queues.changes));
    let requests = gateway.requests.clone();
    lifecycle.spawn("append", infallible(append::run(core.clone(), requests.clone(), ordered, queues.admitted)));
    lifecycle.spawn("receipts", infallible(receipts::run(core.clone(), queues.receipts)));
    lifecycle.spawn("deliveries", delivered::run(core.clone(), queues.deliveries));
    lifecycle.spawn("gaps", gaps::run(core.clone(), requests, queues.gaps));
    lifecycle.spawn("sessions", closed::run(core.clone(), gateway.registry.clone(), queues.closed_sessions));
    lifecycle.spawn("sweep", sweep::run(gateway.clone()));
    lifecycle.spawn("epoch", subscriber::follow_epoch(gateway.clone()));
    lifecycle.spawn("heartbeat", heartbeat::run(core.clone()));
    lifecycle.spawn("backlog", backlog::run(core, gateway.lanes.clone()));
    lifecycle.spawn("addresses", addresses::run(gateway.addresses.clone()));
    if let Some(tls) = &gateway.tls {
        lifecycle.spawn("tls", tls::run(tls.clone(), lifecycle.clone()));
    }

    // Answers arrive on the gateway's own channel, so no client is let in before Redis has confirmed it.
    let keys = &gateway.keys;
    let channels = vec![keys.gateway_channel(gateway.id), keys.presence_channel(), keys.report_channel()];
    lifecycle.spawn_until_stopped("subscribe", infallible(subscribe(gateway.clone(), channels)));
    if let Some(listener) = admin {
        lifecycle.spawn("admin", admin::serve(gateway.clone(), listener));
    }
    lifecycle.spawn_work("accept", accept::accept(gateway.clone(), listener));
    lifecycle.spawn_work("drain", drain::run(gateway));
    Ok(())
}

/// Finds out how channels can be followed, then follows them.
async fn subscriptions(
    gateway: Arc<Gateway>,
    client: SubscriberClient,
    options: ShardOptions,
    changes: UnboundedReceiver<Change>,
) -> Result<(), Infallible> {
    let has_shards = shards::find_out(&gateway, &options).await;
    gateway.liveness.set_has_shards(has_shards);
    let start = || Shards::start(gateway.clone(), options, ShardListener::start(gateway.clone()));
    let shards = has_shards.then(start);
    let subscriber = Subscriber { client, keys: gateway.keys.clone(), shards };
    channels::run(gateway.core.clone(), subscriber, changes).await;
    Ok(())
}

async fn subscribe(gateway: Arc<Gateway>, channels: Vec<String>) {
    // Once counted, the channels are subscribed to again with every new connection to Redis if this fails.
    while gateway.subscriptions.subscribe(channels.clone()).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    gateway.liveness.subscribed();
}

async fn infallible(task: impl Future<Output = ()>) -> Result<(), Infallible> {
    task.await;
    Ok(())
}
