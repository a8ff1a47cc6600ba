//! The query lane: reads and session requests, taken by any worker in no order. A slow query does not delay others, and
//! requests of the same kind that wait together are answered together.

mod answer;
mod lane;
mod receipts;
mod requests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fred::prelude::*;
use shared::clock::Timestamp;
use shared::lifecycle::Lifecycle;
use shared::redis::lanes::{self, RawEntry};
use shared::redis::redirect::keyed;
use shared::stream::{self, Body, Envelope, Internal};
use shared::wire::DecodeError;
use tokio::sync::Semaphore;

use self::answer::GROUP;
use self::lane::{Lane, SESSION_CONCURRENCY};
use self::receipts::Receipts;
use self::requests::{READ_COUNT, Requests, Sorted};
use crate::app::App;
use crate::consume::under_way::UnderWay;

const MAX_BLOCK: Duration = Duration::from_millis(500);
/// An entry that another worker took and has not spoken of for this long is taken over, before it is so old that gateways
/// close the lane (`BACKLOG_MAX_AGE`, 5 s by default).
const ABANDONED_AFTER: Duration = Duration::from_secs(3);
/// A reader without entries that was silent for this long is gone, since a live one reads all the time.
const GONE_AFTER: Duration = Duration::from_secs(60);
const CLAIM_INTERVAL: Duration = Duration::from_millis(500);
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// An entry that no worker knows is passed around at most this often, until its deadline.
const PUT_BACK_AFTER: Duration = Duration::from_millis(100);
/// So far apart the clocks of a gateway and a worker may be without anybody's session depending on it.
const MAX_SKEW: Duration = Duration::from_secs(60);

pub struct Queries {
    app: Arc<App>,
    reader: Client,
    lane: Arc<Lane>,
    sessions: Arc<Semaphore>,
    receipts: Receipts,
    under_way: UnderWay,
}

impl Queries {
    pub fn new(app: Arc<App>, lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        let reader = app.redis_options.blocking_client(MAX_BLOCK, lifecycle)?;
        let lane = Arc::new(Lane::new(app.clone(), lifecycle));
        let sessions = Arc::new(Semaphore::new(SESSION_CONCURRENCY));
        let receipts = Receipts::new(app.clone(), lifecycle, sessions.clone());
        Ok(Queries { app, reader, lane, sessions, receipts, under_way: UnderWay::default() })
    }

    /// Runs until the drain, then waits for the work in progress.
    pub async fn run(self, lifecycle: Lifecycle) -> anyhow::Result<()> {
        let draining = lifecycle.draining();
        let stream = self.app.keys.queries();
        let ticks = lifecycle.every_until_stopped(CLAIM_INTERVAL);
        let keep = self.under_way.clone().keep(self.app.clone(), stream.clone(), GROUP, consumer(&self.app), ticks);
        lifecycle.spawn_until_stopped("queries-under-way", keep);
        let mut claimed_at = tokio::time::Instant::now();
        while !draining.is_cancelled() {
            let read = match self.read(&stream, &mut claimed_at).await {
                Ok(read) => read,
                Err(error) => {
                    self.recover(&stream, &error).await;
                    continue;
                }
            };
            for (work, ids) in self.sort(read, &lifecycle) {
                let taken = self.under_way.take(ids);
                if let Some(user) = work.user() {
                    self.lane.push(user, work, taken);
                    continue;
                }
                if work.are_receipts() {
                    self.receipts.push(work, taken);
                    continue;
                }
                // No more at a time than allowed; other workers may take what has not been read.
                let Ok(permit) = self.sessions.clone().acquire_owned().await else { return Ok(()) };
                lifecycle.track(answer::run(self.app.clone(), stream.clone(), work, taken, permit));
            }
        }
        tokio::join!(self.receipts.drain(), self.lane.drain());
        let _sessions = self.sessions.acquire_many(SESSION_CONCURRENCY as u32).await;
        Ok(())
    }

    async fn read(&self, stream: &str, claimed_at: &mut tokio::time::Instant) -> Result<Vec<RawEntry>, Error> {
        let consumer = consumer(&self.app);
        if claimed_at.elapsed() > CLAIM_INTERVAL {
            *claimed_at = tokio::time::Instant::now();
            let deleted = lanes::delete_idle_consumers(&self.app.redis, stream, GROUP, &consumer, GONE_AFTER);
            if let Err(error) = deleted.await {
                tracing::debug!(%error, "readers that are gone could not be removed from the query lane");
            }
            let mut claimed =
                lanes::claim_abandoned(&self.app.redis, stream, GROUP, &consumer, ABANDONED_AFTER, READ_COUNT).await?;
            // After a pause of this process, its own entries also look abandoned.
            claimed.retain(|entry| !self.under_way.has(&entry.id));
            if !claimed.is_empty() {
                return Ok(claimed);
            }
        }
        lanes::read_shared(&self.reader, stream, GROUP, &consumer, READ_COUNT, MAX_BLOCK).await
    }

    async fn recover(&self, stream: &str, error: &Error) {
        if error.details().starts_with("NOGROUP") {
            // From the beginning, to include entries that are older than the group. Another worker may be first.
            let created: Result<(), Error> = keyed!(&self.app.redis, stream, |sender, stream| async move {
                sender.xgroup_create(stream, GROUP, "0", true).await
            })
            .await;
            if created.is_ok() {
                return;
            }
        } else {
            tracing::warn!(%error, "reading queries failed");
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }

    /// Groups requests of the same kind; returns each piece of work with its entries' ids.
    fn sort(&self, entries: Vec<RawEntry>, lifecycle: &Lifecycle) -> Vec<(Requests, Vec<String>)> {
        let stream = self.app.keys.queries();
        let mut sorted = Sorted::default();
        for raw in entries {
            match self.app.wire.open_entry(&stream, &raw.entry) {
                Ok((envelope, body)) if is_over(&envelope, &body) => {
                    tracing::debug!(
                        entry_id = raw.id,
                        request = envelope.name,
                        "a session request is too late; dropped"
                    );
                    sorted.drop_entry(raw.id);
                }
                Ok((envelope, body)) => sorted.add(raw.id, envelope, body),
                Err(DecodeError::TooNew { deadline }) if Timestamp::now() <= deadline => {
                    self.app.metrics.too_new_entries.increment(1);
                    tracing::warn!(entry_id = raw.id, "a query of another version is left to another worker");
                    lifecycle.track(put_back(self.app.clone(), stream.clone(), raw));
                }
                Err(error) => {
                    self.app.count_unreadable(&error);
                    tracing::error!(entry_id = raw.id, %error, "an entry of the query lane cannot be read; dropped");
                    sorted.drop_entry(raw.id);
                }
            }
        }
        sorted.into_work()
    }
}

/// True for a session request long after its deadline: its gateway no longer waits, and if somebody has added it again, it
/// must not be answered. The deadlines of queries and HTTP requests are checked when they are carried out, because their senders get an error.
fn is_over(envelope: &Envelope, body: &Body) -> bool {
    let Body::Internal(internal) = body else { return false };
    !matches!(internal, Internal::Http(_)) && Timestamp::now() > envelope.deadline.plus(MAX_SKEW)
}

/// This worker's name among the readers of the lane.
fn consumer(app: &App) -> String {
    app.worker_id.0.simple().to_string()
}

/// Puts an entry of another version back, for a worker that knows it. It does not stay pending: that would take
/// seconds, after which any worker could claim it, including this one.
async fn put_back(app: Arc<App>, stream: String, raw: RawEntry) {
    tokio::time::sleep(PUT_BACK_AFTER).await;
    let fields = vec![(stream::FIELD, raw.entry)];
    let put_back = async {
        let () = keyed!(&app.redis, &stream, |sender, stream| {
            let fields = fields.clone();
            async move { sender.xadd(stream, false, None, "*", fields).await }
        })
        .await?;
        app.publisher.settle(&app.redis, &[], &BTreeMap::from([(stream, vec![raw.id])]), Some(GROUP)).await
    };
    if let Err(error) = put_back.await {
        // It is pending, and a worker will claim it.
        tracing::warn!(%error, "a query of another version could not be put back");
    }
}
