//! This gateway's heartbeat, and a look at all the others.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use fred::prelude::*;
use shared::clock::Timestamp;
use shared::publication::Header;
use shared::redis::presence::PresenceScripts;
use shared::redis::redirect::keyed;
use shared::redis::time::FleetClock;
use shared::redis::version::tell_version;

use crate::core::Core;

const PERIOD: Duration = Duration::from_secs(1);
/// A process counts as dead after this time without a heartbeat.
const ALIVE_MS: i64 = 5_000;
const FORGOTTEN_AFTER_MS: f64 = 60_000.0;

/// Sends heartbeats until the process stops, then lists this gateway as silent.
pub async fn run(core: Arc<Core>) -> Result<(), Infallible> {
    let clock = FleetClock::new(&core.keys);
    // The first heartbeat says how this gateway listens.
    let Some(has_shards) = core.lifecycle.stopped().run_until_cancelled(core.liveness.has_shards()).await else {
        return Ok(());
    };
    let mut ticks = core.lifecycle.every_until_stopped(PERIOD);
    while ticks.next().await {
        let started = std::time::Instant::now();
        let result = beat(&core, &clock, has_shards).await;
        let was_up = core.liveness.set_redis(result.is_ok(), started.elapsed().as_micros() as u64);
        match result {
            Ok(()) if !was_up => tracing::info!("Redis answers"),
            Err(error) if was_up => tracing::warn!(%error, "Redis does not answer"),
            Ok(()) | Err(_) => {}
        }
    }
    if let Err(error) = PresenceScripts::new(core.keys.clone()).retire(&core.redis, core.id).await {
        tracing::debug!(%error, "the last heartbeat could not be taken back");
    }
    Ok(())
}

async fn beat(core: &Core, clock: &FleetClock, has_shards: bool) -> Result<(), Error> {
    core.metrics.clock_offset_seconds.set(clock.follow(&core.redis).await?);
    let (redis, keys) = (&core.redis, &core.keys);
    let now_ms = Timestamp::now().0;
    let alive_since = (now_ms - ALIVE_MS) as f64;
    let channel = keys.gateway_channel(core.id);
    if has_shards {
        // First, because publications go only to shards if all that are listed as alive are listed there.
        list(core, "sharded", now_ms).await?;
    }
    let probe = Header::Probe { sent_at: Timestamp::now() };
    let ((), (), live_workers, live, _, epoch, ()): (_, _, u32, Vec<String>, _, Option<String>, _) = tokio::try_join!(
        list(core, "gateway", now_ms),
        tell_version(redis, keys.version("gateway", core.id), env!("CARGO_PKG_VERSION")),
        keyed!(redis, keys.heartbeats("worker"), |sender, key| async move {
            sender.zcount(key, alive_since, f64::INFINITY).await
        }),
        keyed!(redis, keys.heartbeats("gateway"), |sender, key| async move {
            sender.zrangebyscore(key, alive_since, f64::INFINITY, false, None).await
        }),
        core.tell(channel, &probe, &[]),
        keyed!(redis, keys.store_epoch(), |sender, key| async move { sender.get(key).await }),
        follow_answers(core, now_ms, alive_since),
    )?;
    core.liveness.set_alive(live, live_workers);
    core.publisher.follow(redis, alive_since).await?;
    if has_shards {
        forget(core, "sharded", alive_since - FORGOTTEN_AFTER_MS).await?;
    }
    if let Some(epoch) = epoch {
        core.liveness.set_epoch(epoch);
    }
    Ok(())
}

/// Lists this gateway as alive.
async fn list(core: &Core, kind: &str, now_ms: i64) -> Result<(), Error> {
    keyed!(&core.redis, core.keys.heartbeats(kind), |sender, key| async move {
        sender.zadd(key, None, None, false, false, (now_ms as f64, core.id.to_string())).await
    })
    .await
}

async fn unlist(core: &Core, kind: &str) -> Result<(), Error> {
    keyed!(
        &core.redis,
        core.keys.heartbeats(kind),
        |sender, key| async move { sender.zrem(key, core.id.to_string()).await }
    )
    .await
}

/// Tells the workers if large answers are received, and forgets gateways that are gone.
async fn follow_answers(core: &Core, now_ms: i64, alive_since: f64) -> Result<(), Error> {
    if core.liveness.follows_answers() {
        list(core, "answers", now_ms).await?;
    } else {
        unlist(core, "answers").await?;
    }
    forget(core, "answers", alive_since).await
}

/// Takes gateways off a list that have not been listed since.
async fn forget(core: &Core, kind: &str, since: f64) -> Result<(), Error> {
    keyed!(&core.redis, core.keys.heartbeats(kind), |sender, key| async move {
        sender.zremrangebyscore(key, f64::NEG_INFINITY, since).await
    })
    .await
}
