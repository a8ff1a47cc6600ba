//! Who else is alive: this gateway's heartbeat, the live gateways and workers, and whether Redis answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fred::prelude::*;
use parking_lot::RwLock;
use shared::clock::Timestamp;
use shared::publication::{self, Header};

use crate::gateway::Gateway;

const PERIOD: Duration = Duration::from_secs(1);
/// Without a heartbeat for so long a process counts as dead.
const ALIVE_MS: i64 = 5_000;
/// Entries of the long dead are removed.
const FORGET_MS: i64 = 3_600_000;

#[derive(Default)]
pub struct Fleet {
    redis_is_up: AtomicBool,
    /// The gateway's own channel was confirmed.
    is_subscribed: AtomicBool,
    redis_micros: AtomicU64,
    workers: AtomicU32,
    gateways: RwLock<Vec<String>>,
}

impl Fleet {
    /// Whether the last heartbeat went through.
    pub fn redis_is_up(&self) -> bool {
        self.redis_is_up.load(Ordering::Acquire)
    }

    #[cfg(any(test, feature = "bench", feature = "fuzz"))]
    pub fn set_redis_is_up(&self, up: bool) {
        self.redis_is_up.store(up, Ordering::Release);
    }

    /// Answers can be received from now on.
    pub fn subscribed(&self) {
        self.is_subscribed.store(true, Ordering::Release);
    }

    pub fn is_subscribed(&self) -> bool {
        self.is_subscribed.load(Ordering::Acquire)
    }

    pub fn redis_response_ms(&self) -> f64 {
        self.redis_micros.load(Ordering::Relaxed) as f64 / 1000.0
    }

    /// Live workers; each of them reaches Postgres.
    pub fn workers(&self) -> u32 {
        self.workers.load(Ordering::Relaxed)
    }

    pub fn live_gateways(&self) -> Vec<String> {
        self.gateways.read().clone()
    }
}

/// Beats until the process stops, then takes itself off the list.
pub async fn run(gateway: Arc<Gateway>) -> Result<(), Infallible> {
    let stopped = gateway.lifecycle.stopped();
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopped.cancelled() => break,
            _ = ticks.tick() => {}
        }
        let started = std::time::Instant::now();
        let result = beat(&gateway).await;
        let was_up = gateway.fleet.redis_is_up.swap(result.is_ok(), Ordering::AcqRel);
        gateway.fleet.redis_micros.store(started.elapsed().as_micros() as u64, Ordering::Relaxed);
        match result {
            Ok(()) if !was_up => tracing::info!("Redis answers"),
            Err(error) if was_up => tracing::warn!(error = %error, "Redis does not answer"),
            Ok(()) | Err(_) => {}
        }
    }
    let own: Result<(), Error> = gateway.redis.zrem(gateway.keys.heartbeats("gateway"), gateway.id.to_string()).await;
    if let Err(error) = own {
        tracing::debug!(error = %error, "the last heartbeat could not be taken back");
    }
    Ok(())
}

async fn beat(gateway: &Gateway) -> Result<(), Error> {
    let (gateways, workers) = (gateway.keys.heartbeats("gateway"), gateway.keys.heartbeats("worker"));
    let now_ms = Timestamp::now().0;
    let alive_since = (now_ms - ALIVE_MS) as f64;
    let pipeline = gateway.redis.pipeline();
    let own = (now_ms as f64, gateway.id.to_string());
    pipeline.zadd::<(), _, _>(&gateways, None, None, false, false, own).await?;
    pipeline.zremrangebyscore::<(), _, _, _>(&gateways, f64::NEG_INFINITY, (now_ms - FORGET_MS) as f64).await?;
    pipeline.zcount::<(), _>(&workers, alive_since, f64::INFINITY).await?;
    pipeline.zrangebyscore::<(), _, _, _>(&gateways, alive_since, f64::INFINITY, false, None).await?;
    let probe = publication::encode(&Header::Probe { sent_at: Timestamp::now() }, &[]);
    pipeline.publish::<(), _, _>(gateway.keys.gateway_channel(gateway.id), Bytes::from(probe)).await?;
    let (_, _, live_workers, live, _): (i64, i64, u32, Vec<String>, i64) = pipeline.all().await?;
    gateway.fleet.workers.store(live_workers, Ordering::Relaxed);
    *gateway.fleet.gateways.write() = live;
    Ok(())
}
