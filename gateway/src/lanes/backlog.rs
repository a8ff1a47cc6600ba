//! Looks at the backlog of every lane: one that is too long or too old refuses at once instead of queueing. And ends the periods
//! in which `lanes` measures what gets done.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use fred::prelude::Error;

use crate::gateway::Gateway;
use crate::lanes::load;

const PERIOD: Duration = Duration::from_millis(500);

/// Looks at the lanes until the process stops.
pub async fn run(gateway: Arc<Gateway>) -> Result<(), Infallible> {
    let stopped = gateway.lifecycle.stopped();
    let partitions = u32::from(gateway.settings.common.partitions);
    let streams: Vec<String> =
        (0..partitions).map(|p| gateway.keys.partition(p)).chain([gateway.keys.queries()]).collect();
    let mut past = gateway.lanes.past();
    let mut periods = tokio::time::interval(load::PERIOD);
    let mut ticks = tokio::time::interval(PERIOD);
    for interval in [&mut periods, &mut ticks] {
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    loop {
        tokio::select! {
            () = stopped.cancelled() => return Ok(()),
            _ = periods.tick() => {
                gateway.lanes.end_period(&mut past);
                continue;
            }
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
    for (place, backlog) in backlogs.iter().enumerate() {
        let refuse = backlog.entries > common.backlog_limit || backlog.age > common.backlog_max_age;
        gateway.lanes.set_refusing(place, refuse.then_some(backlog.age));
    }
    // The lane of queries comes last.
    let (ordered, queries) = backlogs.split_at(backlogs.len().saturating_sub(1));
    for (name, lanes) in [("ordered", ordered), ("queries", queries)] {
        let entries: u64 = lanes.iter().map(|lane| lane.entries).sum();
        let oldest = lanes.iter().map(|lane| lane.age).max().unwrap_or_default();
        gateway.metrics.backlog.with(name).set(entries as f64);
        gateway.metrics.backlog_age_seconds.with(name).set(oldest.as_secs_f64());
    }
    gateway.metrics.lanes_refusing.set(gateway.lanes.refusing() as f64);
    Ok(())
}
