//! Watches the backlog of every lane: a lane with one that is too long or too old rejects commands at once instead of
//! queueing them. Also ends the periods in which `lanes` measures throughput.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use fred::prelude::Error;
use shared::redis::lanes::Backlogs;

use crate::core::Core;
use crate::lanes::load::{self, LaneLoads};

const PERIOD: Duration = Duration::from_millis(500);

/// Watches the lanes until the process stops.
pub async fn run(core: Arc<Core>, lanes: Arc<LaneLoads>) -> Result<(), Infallible> {
    let backlogs = Backlogs::default();
    let partitions = u32::from(core.settings.common.partitions);
    let streams: Vec<String> = (0..partitions).map(|p| core.keys.partition(p)).chain([core.keys.queries()]).collect();
    let mut past = lanes.past();
    let mut periods = core.lifecycle.every_until_stopped(load::PERIOD);
    let mut ticks = core.lifecycle.every_until_stopped(PERIOD);
    loop {
        tokio::select! {
            true = periods.next() => {
                lanes.end_period(&mut past);
                continue;
            }
            true = ticks.next() => {}
            else => return Ok(()),
        }
        // If Redis does not answer, appending fails by itself.
        if let Err(error) = look(&core, &lanes, &backlogs, &streams).await {
            tracing::debug!(%error, "the lanes could not be checked");
        }
    }
}

async fn look(core: &Core, lanes: &LaneLoads, backlogs: &Backlogs, streams: &[String]) -> Result<(), Error> {
    let backlogs = backlogs.of(&core.redis, streams).await?;
    let common = &core.settings.common;
    for (place, backlog) in backlogs.iter().enumerate() {
        let refuse = backlog.entries > common.backlog_limit || backlog.age > common.backlog_max_age;
        lanes.set_refusing(place, refuse.then_some(backlog.age));
    }
    // The query lane comes last.
    let (ordered, queries) = backlogs.split_at(backlogs.len().saturating_sub(1));
    for (name, backlogs) in [("ordered", ordered), ("queries", queries)] {
        let entries: u64 = backlogs.iter().map(|lane| lane.entries).sum();
        let oldest = backlogs.iter().map(|lane| lane.age).max().unwrap_or_default();
        core.metrics.backlog.with(name).set(entries as f64);
        core.metrics.backlog_age_seconds.with(name).set(oldest.as_secs_f64());
    }
    core.metrics.lanes_refusing.set(lanes.refusing() as f64);
    Ok(())
}
