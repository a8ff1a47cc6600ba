//! Which lanes take commands: a monitor looks at every lane's length and oldest entry, and a lane that is too long or too old
//! refuses at once instead of queueing.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fred::prelude::*;
use fred::types::CustomCommand;

use crate::gateway::Gateway;

const PERIOD: Duration = Duration::from_millis(500);
/// Longest wait that senders are told.
const MAX_RETRY_SECONDS: u64 = 30;

/// One number per lane: 0 when it takes commands, else the seconds after which to try again.
pub struct Lanes {
    partitions: Vec<AtomicU32>,
    queries: AtomicU32,
}

impl Lanes {
    pub fn new(partitions: u16) -> Self {
        Lanes { partitions: (0..partitions).map(|_| AtomicU32::new(0)).collect(), queries: AtomicU32::new(0) }
    }

    /// `Some` with the seconds to wait when the lane (a partition, or the queries) takes nothing.
    pub fn refuses(&self, partition: Option<u32>) -> Option<u32> {
        let lane = partition.and_then(|partition| self.partitions.get(partition as usize));
        let retry_after = lane.unwrap_or(&self.queries).load(Ordering::Relaxed);
        (retry_after > 0).then_some(retry_after)
    }

    fn all(&self) -> impl Iterator<Item = &AtomicU32> {
        self.partitions.iter().chain([&self.queries])
    }
}

/// Looks at the lanes until the process stops.
pub async fn run(gateway: Arc<Gateway>) -> Result<(), Infallible> {
    let stopped = gateway.lifecycle.stopped();
    let partitions = u32::from(gateway.settings.common.partitions);
    let streams: Vec<String> =
        (0..partitions).map(|p| gateway.keys.partition(p)).chain([gateway.keys.queries()]).collect();
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopped.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        // When Redis does not answer, appending fails by itself.
        if let Err(error) = look(&gateway, &streams).await {
            tracing::debug!(error = %error, "the lanes could not be looked at");
        }
    }
}

async fn look(gateway: &Gateway, streams: &[String]) -> Result<(), Error> {
    let lengths = gateway.redis.pipeline();
    for stream in streams {
        lengths.xlen::<(), _>(stream.as_str()).await?;
    }
    let lengths: Vec<u64> = lengths.all().await?;
    let ages = oldest_ages(gateway, streams, &lengths).await?;

    let common = &gateway.settings.common;
    let mut refusing = 0;
    for (lane, (length, age)) in gateway.lanes.all().zip(lengths.iter().zip(&ages)) {
        let refuse = *length > common.backlog_limit || *age > common.backlog_max_age;
        let retry_after = if refuse { age.as_secs().clamp(1, MAX_RETRY_SECONDS) as u32 } else { 0 };
        lane.store(retry_after, Ordering::Relaxed);
        refusing += u32::from(refuse);
    }
    // The lane of queries comes last.
    let partitions = gateway.lanes.partitions.len();
    let (ordered, queries) = (lengths.iter().take(partitions), lengths.iter().skip(partitions));
    gateway.metrics.backlog.with("ordered").set(ordered.sum::<u64>() as f64);
    gateway.metrics.backlog.with("queries").set(queries.sum::<u64>() as f64);
    let oldest = |ages: &[Duration]| ages.iter().max().map_or(0.0, Duration::as_secs_f64);
    let (ordered, queries) = ages.split_at(partitions.min(ages.len()));
    gateway.metrics.backlog_age_seconds.with("ordered").set(oldest(ordered));
    gateway.metrics.backlog_age_seconds.with("queries").set(oldest(queries));
    gateway.metrics.lanes_refusing.set(f64::from(refusing));
    Ok(())
}

/// The age of each lane's first entry by Redis' own clock, which made its id; zero for an empty lane.
async fn oldest_ages(gateway: &Gateway, streams: &[String], lengths: &[u64]) -> Result<Vec<Duration>, Error> {
    let mut ages = vec![Duration::ZERO; streams.len()];
    let waiting: Vec<usize> = (0..streams.len()).filter(|lane| lengths[*lane] > 0).collect();
    if waiting.is_empty() {
        return Ok(ages);
    }
    // `[seconds, microseconds]`
    let now: Vec<u64> =
        gateway.redis.custom(CustomCommand::new_static("TIME", None, false), Vec::<Value>::new()).await?;
    let now_ms = now.first().copied().unwrap_or(0) * 1000 + now.get(1).copied().unwrap_or(0) / 1000;
    let firsts = gateway.redis.pipeline();
    for lane in &waiting {
        firsts.xrange::<(), _, _, _>(streams[*lane].as_str(), "-", "+", Some(1)).await?;
    }
    let firsts: Vec<Vec<(String, Value)>> = firsts.all().await?;
    for (lane, entries) in waiting.into_iter().zip(firsts) {
        let id_ms = entries.first().and_then(|(id, _)| id.split('-').next()?.parse::<u64>().ok());
        ages[lane] = Duration::from_millis(id_ms.map_or(0, |id_ms| now_ms.saturating_sub(id_ms)));
    }
    Ok(ages)
}
