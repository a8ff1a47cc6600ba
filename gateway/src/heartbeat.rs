//! This gateway's heartbeat, and a look at everybody else's.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::prelude::*;
use shared::clock::Timestamp;
use shared::publication::Header;
use shared::redis::time::FleetClock;

use crate::core::Core;

const PERIOD: Duration = Duration::from_secs(1);
/// Without a heartbeat for so long a process counts as dead.
const ALIVE_MS: i64 = 5_000;

/// Beats until the process stops, then takes itself off the list.
pub async fn run(core: Arc<Core>) -> Result<(), Infallible> {
    let clock = FleetClock::new(&core.keys);
    let mut ticks = core.lifecycle.every_until_stopped(PERIOD);
    while ticks.next().await {
        let started = std::time::Instant::now();
        let result = beat(&core, &clock).await;
        let was_up = core.liveness.set_redis(result.is_ok(), started.elapsed().as_micros() as u64);
        match result {
            Ok(()) if !was_up => tracing::info!("Redis answers"),
            Err(error) if was_up => tracing::warn!(error = %error, "Redis does not answer"),
            Ok(()) | Err(_) => {}
        }
    }
    let own: Result<(), Error> = core.redis.zrem(core.keys.heartbeats("gateway"), core.id.to_string()).await;
    if let Err(error) = own {
        tracing::debug!(error = %error, "the last heartbeat could not be taken back");
    }
    Ok(())
}

async fn beat(core: &Core, clock: &FleetClock) -> Result<(), Error> {
    core.metrics.clock_offset_seconds.set(clock.follow(&core.redis).await?);
    let (gateways, workers) = (core.keys.heartbeats("gateway"), core.keys.heartbeats("worker"));
    let now_ms = Timestamp::now().0;
    let alive_since = (now_ms - ALIVE_MS) as f64;
    let pipeline = core.redis.pipeline();
    let own = (now_ms as f64, core.id.to_string());
    pipeline.zadd::<(), _, _>(&gateways, None, None, false, false, own).await?;
    pipeline.zcount::<(), _>(&workers, alive_since, f64::INFINITY).await?;
    pipeline.zrangebyscore::<(), _, _, _>(&gateways, alive_since, f64::INFINITY, false, None).await?;
    let channel = core.keys.gateway_channel(core.id);
    let probe = core.wire.publication(&channel, &Header::Probe { sent_at: Timestamp::now() }, &[]);
    pipeline.publish::<(), _, _>(channel, Bytes::from(probe)).await?;
    pipeline.get::<(), _>(core.keys.store_epoch()).await?;
    let (_, live_workers, live, _, epoch): (i64, u32, Vec<String>, i64, Option<String>) = pipeline.all().await?;
    core.liveness.set_alive(live, live_workers);
    if let Some(epoch) = epoch {
        core.liveness.set_epoch(epoch);
    }
    Ok(())
}
