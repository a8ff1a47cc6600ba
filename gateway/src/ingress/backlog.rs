//! Which lanes take commands: a monitor looks at every lane's length and oldest entry, and a lane that is too long or too old
//! refuses at once instead of queueing.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fred::prelude::Error;

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
    let backlogs = gateway.backlogs.of(&gateway.redis, streams).await?;
    let common = &gateway.settings.common;
    let mut refusing = 0;
    for (lane, backlog) in gateway.lanes.all().zip(&backlogs) {
        let refuse = backlog.entries > common.backlog_limit || backlog.age > common.backlog_max_age;
        let retry_after = if refuse { backlog.age.as_secs().clamp(1, MAX_RETRY_SECONDS) as u32 } else { 0 };
        lane.store(retry_after, Ordering::Relaxed);
        refusing += u32::from(refuse);
    }
    // The lane of queries comes last.
    let (ordered, queries) = backlogs.split_at(gateway.lanes.partitions.len().min(backlogs.len()));
    for (name, lanes) in [("ordered", ordered), ("queries", queries)] {
        let entries: u64 = lanes.iter().map(|lane| lane.entries).sum();
        let oldest = lanes.iter().map(|lane| lane.age).max().unwrap_or_default();
        gateway.metrics.backlog.with(name).set(entries as f64);
        gateway.metrics.backlog_age_seconds.with(name).set(oldest.as_secs_f64());
    }
    gateway.metrics.lanes_refusing.set(f64::from(refusing));
    Ok(())
}
