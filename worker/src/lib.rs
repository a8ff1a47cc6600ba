//! The worker: consumes the commands that gateways append, applies the rules, persists in batches, and publishes events
//! and answers. It never sees a client's socket.
//!
//! The path of a command: `consume` (lease, read, batch) → `sends` or `commands` (rules, `store`) → `publish` →
//! settled.

mod answers;
mod api;
mod app;
mod audiences;
mod before_send;
mod breaker;
mod commands;
mod consume;
mod crowded;
mod error;
mod gathered;
#[cfg(test)]
mod golden;
mod history;
mod jobs;
mod late_sessions;
mod mentions;
mod metadata;
mod metrics;
mod outcome;
mod presence;
mod probes;
mod publish;
mod recent;
mod sanctions;
mod sends;
mod sessions;
mod store;
mod stored_keys;
mod strangers;
mod sync;
mod waiting;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use shared::config::{Secret, WorkerSettings};
use shared::crypto::Keyring;
use shared::ids::WorkerId;
use shared::lifecycle::Lifecycle;
use shared::redis::client::RedisOptions;
use shared::redis::keys::Keys;
use shared::redis::presence::PresenceScripts;
use shared::redis::publisher::Publisher;
use shared::redis::time::FleetClock;
use shared::telemetry::traces::Tracer;
use shared::telemetry::{Metrics, with_causes};
use shared::wire::Wire;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::answers::AnswerChannels;
use crate::api::password_work::PasswordWork;
use crate::api::picture_cache::PictureCache;
use crate::app::App;
use crate::audiences::Audiences;
use crate::before_send::hook::BeforeSend;
use crate::consume::lease::LeaseManager;
use crate::consume::load::Load;
use crate::consume::pipeline::Pipeline;
use crate::consume::queries::Queries;
use crate::consume::withdrawal::Withdrawal;
use crate::crowded::CrowdedUsers;
use crate::jobs::heartbeat::{self, Stores};
use crate::late_sessions::LateSessions;
use crate::metrics::{Counts, WorkerMetrics};
use crate::recent::Recent;
use crate::store::epoch::CurrentEpoch;
use crate::store::replica::Replica;
use crate::store::session::{Database, Server, milliseconds};
use crate::strangers::Strangers;
use crate::webhooks::Subscriptions;

/// How long a transaction may stay idle, so that a worker stopped in the middle of one releases its partition.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(3);

/// One connection for leases, one for heartbeats, and with a replica one for the primary's position.
pub(crate) fn control_connections(settings: &WorkerSettings) -> u32 {
    2 + u32::from(settings.database_replica_url.is_some())
}

/// Starts everything and returns; the tasks belong to the lifecycle.
///
/// # Errors
/// When the worker cannot start. Stores that are away are no reason: the worker waits for them.
pub async fn run(settings: WorkerSettings, metrics: Metrics, lifecycle: Lifecycle) -> anyhow::Result<()> {
    shared::clock::shift(settings.common.clock_offset_ms);
    let app = Arc::new(connect(settings, &lifecycle).await?);
    let stores = Arc::new(Stores::default());
    probes::serve(app.clone(), stores.clone(), metrics, &lifecycle).await?;
    lifecycle.spawn("heartbeat", heartbeat::run(app.clone(), stores, lifecycle.clone()));
    lifecycle.spawn_work("start", start_consuming(app, lifecycle.clone()));
    Ok(())
}

/// Waits for the stores, then starts to consume, because commands are judged by the fleet's clock.
async fn start_consuming(app: Arc<App>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let partitions = i32::from(app.settings.common.partitions);
    let mut ticks = lifecycle.every(Duration::from_secs(1));
    loop {
        if !ticks.next().await {
            return Ok(());
        }
        let prepared = async {
            let mut db = app.db.acquire().await?;
            store::leases::insert_partitions(&mut db, partitions).await?;
            app.clock.follow(&app.redis).await?;
            heartbeat::follow_gateways(&app).await?;
            anyhow::Ok(store::history::list_sealed(&mut db).await?)
        };
        match prepared.await {
            Ok(newest) => {
                stored_keys::check(&app.keyring, &newest)?;
                match jobs::webhooks::prepare(&app).await {
                    Ok(()) => break,
                    Err(error) => tracing::warn!(%error, "waiting for the stores"),
                }
            }
            Err(error) => tracing::warn!(error = %with_causes(&error), "waiting for the stores"),
        }
    }
    let (manager, assigned) = LeaseManager::new(app.clone());
    // On a cluster there are more pipelines than sessions for them.
    let keep_sessions = assigned.len() <= app.settings.worker_pipelines as usize;
    for assigned in assigned {
        let pipeline = Pipeline::new(app.clone(), assigned, keep_sessions, &lifecycle)?;
        lifecycle.spawn_work("pipeline", pipeline.run(lifecycle.clone()));
    }
    lifecycle.spawn_work("leases", manager.run(lifecycle.clone()));
    lifecycle.spawn_work("presence", jobs::presence::run(app.clone(), lifecycle.clone()));
    lifecycle.spawn("purge", jobs::purge::run(app.clone(), lifecycle.clone()));
    lifecycle.spawn("crowded", jobs::crowded::run(app.clone(), lifecycle.clone()));
    lifecycle.spawn("departures", jobs::departures::run(app.clone(), lifecycle.clone()));
    lifecycle.spawn("removals", jobs::removals::run(app.clone(), lifecycle.clone()));
    lifecycle.spawn("expiry", jobs::expiry::run(app.clone(), lifecycle.clone()));
    lifecycle.spawn("retention", jobs::retention::run(app.clone(), lifecycle.clone()));
    lifecycle.spawn("revocation", jobs::revocation::run(app.clone(), lifecycle.clone()));
    lifecycle.spawn("report", jobs::report::run(app.clone(), lifecycle.clone()));
    lifecycle.spawn_work("webhooks", jobs::webhooks::run(app.clone(), lifecycle.clone()));
    lifecycle.spawn("typing", jobs::typing::run(app.clone(), lifecycle.clone()));
    lifecycle.spawn_work("queries", Queries::new(app, &lifecycle)?.run(lifecycle.clone()));
    Ok(())
}

async fn connect(settings: WorkerSettings, lifecycle: &Lifecycle) -> anyhow::Result<App> {
    let encryption = settings.common.encryption().map_err(anyhow::Error::msg)?;
    let keyring = tokio::task::spawn_blocking(move || Keyring::derive(&encryption)).await??;
    let redis_options = RedisOptions {
        url: settings.common.redis_url.expose().to_owned(),
        tls_ca: settings.common.redis_tls_ca.clone(),
        command_timeout: settings.common.redis_command_timeout,
    };
    let keys = Keys::new(settings.common.redis_prefix.clone());
    let common = &settings.common;
    let collector = common.otlp_endpoint.as_ref().map(Secret::expose);
    let tracer = Tracer::start(collector, common.trace_one_in, "chat-worker", lifecycle)?;
    let epoch = Arc::new(CurrentEpoch::default());
    let metrics = WorkerMetrics::new();
    let [db, sends_db, control_db] = databases(&settings, &epoch, &metrics)?;
    let replica = replica(&settings, &control_db, &epoch, &metrics)?;
    Ok(App {
        worker_id: WorkerId(Uuid::now_v7()),
        db,
        sends_db,
        replica,
        control_db,
        epoch,
        redis: redis_options.client(lifecycle).context("REDIS_URL")?,
        clock: FleetClock::new(&keys),
        redis_options,
        presence: PresenceScripts::new(keys.clone()),
        publisher: Publisher::new(keys.clone()),
        keys,
        wire: Wire::new(keyring.clone(), settings.common.wire_format),
        keyring: Arc::new(keyring),
        metrics,
        tracer,
        counts: Counts::default(),
        pictures: PictureCache::new(settings.pfp_cache_max_size, settings.pfp_cache_duration),
        password_work: PasswordWork::default(),
        recent: Recent::default(),
        withdrawal: Withdrawal::default(),
        strangers: Strangers::default(),
        load: Load::default(),
        webhooks: Subscriptions::default(),
        before_send: BeforeSend::new(&settings).context("BEFORE_SEND_URL")?,
        answer_channels: AnswerChannels::default(),
        late_sessions: LateSessions::default(),
        crowded: CrowdedUsers::default(),
        audiences: Audiences::new(settings.deliveries_per_minute),
        settings,
    })
}

/// The general pool; connections for `worker_pipelines` concurrent batches, set up for the one statement that stores
/// messages; and those for leases, heartbeats and the primary's position.
fn databases(
    settings: &WorkerSettings,
    epoch: &Arc<CurrentEpoch>,
    metrics: &WorkerMetrics,
) -> anyhow::Result<[Database; 3]> {
    let server = Arc::new(server(settings, &settings.database_url, epoch, metrics).context("DATABASE_URL")?);
    let common = session_settings(settings.db_statement_timeout);
    let planning = store::sends::PLANNING.map(|(name, value)| (name, value.to_owned()));
    let for_sends = [common.as_slice(), &planning].concat();
    let size = settings.db_max_connections - settings.worker_pipelines;
    let database = |size, min, settings_of: &[_]| Database::new(server.clone(), pool(settings, size, min), settings_of);
    Ok([
        database(size, settings.db_min_connections, &common),
        database(settings.worker_pipelines, 0, &for_sends),
        database(control_connections(settings), 0, &common),
    ])
}

/// The replica, unless there is none. `control` opens sessions with the primary.
fn replica(
    settings: &WorkerSettings,
    control: &Database,
    epoch: &Arc<CurrentEpoch>,
    metrics: &WorkerMetrics,
) -> anyhow::Result<Option<Replica>> {
    let Some(url) = &settings.database_replica_url else { return Ok(None) };
    let server = server(settings, url, epoch, metrics).context("DATABASE_REPLICA_URL")?.replica();
    let size = u32::try_from(settings.query_concurrency)?;
    let pool = pool(settings, size, settings.db_min_connections);
    let database = Database::new(Arc::new(server), pool, &session_settings(store::replica::MAX_RUN));
    Ok(Some(Replica::new(database, control.clone())))
}

fn server(
    settings: &WorkerSettings,
    url: &Secret,
    epoch: &Arc<CurrentEpoch>,
    metrics: &WorkerMetrics,
) -> anyhow::Result<Server> {
    let options: PgConnectOptions = url.expose().parse()?;
    let options = options.application_name("chat-worker").statement_cache_capacity(settings.db_statement_cache);
    let is_pooled = settings.db_statement_cache == 0;
    Ok(Server::new(options, is_pooled, epoch.clone(), metrics.unreadable_rows.clone()))
}

fn session_settings(statement_timeout: Duration) -> Vec<(&'static str, String)> {
    vec![
        // Compiling a plan takes longer than any statement here.
        ("jit", "off".to_owned()),
        ("statement_timeout", milliseconds(statement_timeout)),
        ("idle_in_transaction_session_timeout", milliseconds(IDLE_IN_TRANSACTION_TIMEOUT)),
    ]
}

fn pool(settings: &WorkerSettings, size: u32, min: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .idle_timeout(settings.db_idle_timeout)
        .acquire_timeout(settings.db_connection_timeout)
        .max_connections(size)
        .min_connections(min.min(size))
}
