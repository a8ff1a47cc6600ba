//! Tells gateways what they should have received: the conversations published to in the last seconds, from memory, and,
//! after a takeover from a worker that died, what that worker stored last and may never have published. Only the
//! takeover costs queries.

use std::sync::Arc;
use std::time::Duration;

use fred::prelude::*;
use shared::ids::{EventId, MessageId, UserId};
use shared::lifecycle::Lifecycle;
use shared::publication::{Header, Report};
use shared::redis::publisher::ChannelMessage;
use tokio::time::Instant;
use uuid::Uuid;

use crate::app::App;
use crate::recent::Abandoned;
use crate::store::{replay, shared_events};

const INTERVAL: Duration = Duration::from_secs(3);
/// First the new owner publishes what it finds in the streams, which is the ordinary way.
const AFTER_TAKEOVER: Duration = Duration::from_secs(3);
/// How far the clock of Redis, from which ids are made, may differ from that of Postgres, by which leases expire.
const CLOCK_MARGIN: Duration = Duration::from_secs(70);
/// How many messages, and events, are looked at after a takeover.
const MAX_FOUND: i64 = 50_000;
/// How many conversations, and events, fit into one publication.
const CHUNK: usize = 2_000;

pub async fn run(app: Arc<App>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let mut ticks = lifecycle.every(INTERVAL);
    let mut abandoned: Option<Abandoned> = None;
    while ticks.next().await {
        if abandoned.is_none() {
            abandoned = Instant::now().checked_sub(AFTER_TAKEOVER).and_then(|before| app.recent.take_abandoned(before));
        }
        if let Some(left) = &abandoned {
            match look(&app, left).await {
                Ok(()) => abandoned = None,
                Err(error) => tracing::warn!(%error, "the last messages of a dead worker could not be read"),
            }
        }
        if let Err(error) = publish(&app, app.recent.report()).await {
            // It is reported again.
            tracing::debug!(%error, "the report to gateways could not be published");
        }
    }
    Ok(())
}

/// Finds what the dead owners may have stored last.
async fn look(app: &App, abandoned: &Abandoned) -> sqlx::Result<()> {
    let settings = &app.settings;
    let reach = settings.lease_ttl + settings.common.command_timeout + CLOCK_MARGIN;
    let from = replay::first_id(abandoned.since - reach);
    let mut db = app.db.acquire().await?;
    let messages = replay::list_newest_since(&mut db, MessageId(from), MAX_FOUND).await?;
    let mut events = replay::list_undelivered_since(&mut db, EventId(from), MAX_FOUND).await?;
    let partitions = u32::from(settings.common.partitions);
    let messages = messages.into_iter().filter(|(conversation, _)| {
        let partition = (u32::from(conversation.route_hint()) % partitions) as i32;
        abandoned.partitions.contains(&partition)
    });
    events.extend(shared_events::list_due_since(&mut db, EventId(from), MAX_FOUND).await?);
    let events: Vec<(UserId, Uuid)> = events.into_iter().map(|(user, event)| (user, event.0)).collect();
    tracing::info!(
        partitions = abandoned.partitions.len(),
        events = events.len(),
        "read the last messages of a dead worker"
    );
    app.recent.found(messages, events);
    Ok(())
}

async fn publish(app: &App, mut report: Report) -> Result<(), Error> {
    while !report.messages.is_empty() || !report.events.is_empty() {
        let rest = Report {
            messages: report.messages.split_off(report.messages.len().min(CHUNK)),
            events: report.events.split_off(report.events.len().min(CHUNK)),
        };
        let payload = postcard::to_stdvec(&report).unwrap_or_default();
        let channel = app.keys.report_channel();
        let publication = app.wire.publication(&channel, &Header::Report, &payload);
        app.publisher.publish(&app.redis, &[ChannelMessage::new(channel, publication)]).await?;
        report = rest;
    }
    Ok(())
}
