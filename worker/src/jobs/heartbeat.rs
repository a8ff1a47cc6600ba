//! This worker's heartbeat in Redis, sent only while its Postgres accepts writes: gateways count such workers to find
//! out if the fleet can serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use fred::prelude::*;
use fred::types::SetOptions;
use parking_lot::Mutex;
use shared::clock::Timestamp;
use shared::ids::Epoch;
use shared::lifecycle::Lifecycle;
use shared::redis::dead_letters::DeadLetters;
use shared::redis::redirect::keyed;
use shared::redis::version::tell_version;

use crate::app::App;
use crate::store::{leases, main_backend};

pub const INTERVAL: Duration = Duration::from_secs(1);
/// A process without a heartbeat for this long does not count.
pub const ALIVE_FOR: Duration = Duration::from_secs(5);

/// The result of the last check of the stores.
#[derive(Default)]
pub struct Stores {
    database: Health,
    redis: Health,
    /// What is wrong with the main backend's tables, for this server.
    main_backend: Mutex<Vec<String>>,
    /// Which of our own tables cannot be used.
    own_tables: Mutex<Vec<String>>,
    /// The epoch that gateways were last told.
    told_epoch: Mutex<Epoch>,
    pub gateways: AtomicI64,
    pub workers: AtomicI64,
}

/// One store.
#[derive(Default)]
pub struct Health {
    answers: AtomicBool,
    response_micros: AtomicI64,
}

impl Health {
    fn record(&self, started: Instant, answers: bool) {
        self.answers.store(answers, Ordering::Relaxed);
        self.response_micros.store(started.elapsed().as_micros() as i64, Ordering::Relaxed);
    }

    pub fn answers(&self) -> bool {
        self.answers.load(Ordering::Relaxed)
    }

    /// Milliseconds that the last check took.
    pub fn response_ms(&self) -> f64 {
        self.response_micros.load(Ordering::Relaxed) as f64 / 1000.0
    }
}

impl Stores {
    pub fn database(&self) -> &Health {
        &self.database
    }

    pub fn redis(&self) -> &Health {
        &self.redis
    }

    pub fn main_backend_problems(&self) -> Vec<String> {
        self.main_backend.lock().clone()
    }

    pub fn own_problems(&self) -> Vec<String> {
        self.own_tables.lock().clone()
    }

    /// Checks the rights on our own tables. Commands that do not need a faulty table continue to work, so this worker
    /// still counts.
    async fn look_at_own_tables(&self, app: &App) {
        let looking = async { main_backend::list_unusable(&mut app.control_db.acquire().await?).await };
        let Ok(Ok(found)) = tokio::time::timeout(ALIVE_FOR / 2, looking).await else { return };
        let mut known = self.own_tables.lock();
        if *known != found {
            if found.is_empty() {
                tracing::info!("our tables can be used again");
            } else {
                tracing::error!(problems = found.join("; "), "our tables cannot be used");
            }
            *known = found;
        }
    }

    /// Checks the main backend's tables, which may change while we run.
    async fn look_at_main_backend(&self, app: &App) {
        let looking = async { main_backend::list_problems(&mut app.control_db.acquire().await?).await };
        let found = match tokio::time::timeout(ALIVE_FOR / 2, looking).await {
            Ok(Ok(found)) => found,
            // Unknown for the moment; another check finds out if Postgres answers.
            Err(_) => return,
            Ok(Err(sqlx::Error::Database(error))) => vec![error.message().to_owned()],
            Ok(Err(_)) => return,
        };
        let mut known = self.main_backend.lock();
        if *known != found {
            if found.is_empty() {
                tracing::info!("the main backend's tables are as they should be again");
            } else {
                tracing::error!(problems = found.join("; "), "the main backend's tables cannot be used");
            }
            *known = found;
        }
    }

    /// Checks both stores and tells Redis that this worker is alive.
    async fn look(&self, app: &App) {
        let asked = Instant::now();
        let write = async {
            let mut db = app.control_db.acquire().await?;
            leases::update_probe(&mut db, app.worker_id).await?;
            app.epoch.check(&mut db).await
        };
        let answers = tokio::time::timeout(ALIVE_FOR / 2, write).await;
        self.database.record(asked, matches!(answers, Ok(Ok(_))));
        let pools = [&app.db, &app.sends_db, &app.control_db];
        let size = f64::from(pools.iter().map(|pool| pool.size()).sum::<u32>());
        app.metrics.db_connections.set(size);
        app.metrics.db_connections_busy.set(size - pools.iter().map(|pool| pool.num_idle()).sum::<usize>() as f64);
        app.metrics
            .db_connections_max
            .set(f64::from(app.settings.db_max_connections + crate::control_connections(&app.settings)));
        if self.database.answers() {
            self.look_at_main_backend(app).await;
            self.look_at_own_tables(app).await;
        }
        if app.epoch.current() != *self.told_epoch.lock() {
            app.recent.clear();
        }
        let asked = Instant::now();
        let beat = self.beat(app).await;
        self.redis.record(asked, beat.is_ok());
    }

    async fn beat(&self, app: &App) -> Result<(), Error> {
        app.metrics.clock_offset_seconds.set(app.clock.follow(&app.redis).await?);
        let now = Timestamp::now().0;
        let oldest = (now - ALIVE_FOR.as_millis() as i64) as f64;
        let redis = &app.redis;
        let (workers, gateways) = (app.keys.heartbeats("worker"), app.keys.heartbeats("gateway"));
        if self.database.answers() && self.main_backend.lock().is_empty() {
            let () = keyed!(redis, &workers, |sender, key| async move {
                let member = app.worker_id.0.simple().to_string();
                sender.zadd(key, None, None, false, false, (now as f64, member)).await
            })
            .await?;
            tell_version(redis, app.keys.version("worker", app.worker_id.0.simple()), env!("CARGO_PKG_VERSION"))
                .await?;
        }
        let (epoch, told) = (app.epoch.current(), *self.told_epoch.lock());
        if self.database.answers() && !epoch.0.is_nil() {
            // Only a change replaces what another worker wrote.
            let only_missing = (epoch == told).then_some(SetOptions::NX);
            let () = keyed!(redis, app.keys.store_epoch(), |sender, key| {
                let only_missing = only_missing.clone();
                async move { sender.set(key, epoch.0.simple().to_string(), None, only_missing, false).await }
            })
            .await?;
        }
        // Entries that are long gone are removed.
        let () = keyed!(redis, &workers, |sender, key| async move {
            sender.zremrangebyscore(key, f64::NEG_INFINITY, oldest - 60_000.0).await
        })
        .await?;
        let count = async |heartbeats: &str| -> Result<i64, Error> {
            keyed!(redis, heartbeats, |sender, key| async move { sender.zcount(key, oldest, f64::INFINITY).await })
                .await
        };
        let (live_workers, live_gateways) = (count(&workers).await?, count(&gateways).await?);
        follow_gateways(app).await?;
        let letters = DeadLetters::new(redis.clone(), &app.keys).count().await?;
        *self.told_epoch.lock() = epoch;
        app.metrics.dead_letters.set(letters as f64);
        self.gateways.store(live_gateways, Ordering::Relaxed);
        self.workers.store(live_workers, Ordering::Relaxed);
        Ok(())
    }
}

/// Finds out how gateways listen, and so how to publish.
pub async fn follow_gateways(app: &App) -> Result<(), Error> {
    let oldest = Timestamp::now().0 - ALIVE_FOR.as_millis() as i64;
    app.publisher.follow(&app.redis, oldest as f64).await
}

/// Monitors the stores until the process stops; withdraws the heartbeat at the drain.
pub async fn run(app: Arc<App>, stores: Arc<Stores>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let mut ticks = lifecycle.every(INTERVAL);
    while ticks.next().await {
        stores.look(&app).await;
    }
    let member = app.worker_id.0.simple().to_string();
    let _gone: Result<(), Error> = keyed!(&app.redis, app.keys.heartbeats("worker"), |sender, key| {
        let member = member.clone();
        async move { sender.zrem(key, member).await }
    })
    .await;
    Ok(())
}
