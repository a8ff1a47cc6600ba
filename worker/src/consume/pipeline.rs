//! One pipeline: reads all of its partitions in one call, applies what it read, settles it, and reads on. It works on
//! one read at a time, so that what arrives meanwhile becomes the next batch. On a cluster its partitions share a slot.

use std::sync::Arc;
use std::time::Duration;

use fred::prelude::{Client, EventInterface, Server};
use shared::lifecycle::Lifecycle;
use shared::redis::lanes::{self, Lanes, RawEntry};
use tokio::sync::Notify;
use tokio::sync::broadcast::{self, error::TryRecvError};
use tokio::time::Instant;

use super::apply::Batch;
use super::item::{self, Item};
use super::lease::{Assigned, Assignment};
use crate::app::App;
use crate::store::kept_session::KeptSession;
use crate::store::leases::Lease;

/// The pause between attempts while Redis is away.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Redis takes 0 as no timeout.
const SHORTEST_BLOCK: Duration = Duration::from_millis(5);
/// A read must return well before the lease expires.
const LEASE_MARGIN: Duration = Duration::from_millis(200);

pub struct Pipeline {
    app: Arc<App>,
    assigned: Assigned,
    /// Only for the blocking read.
    reader: Client,
    /// For storing messages.
    session: KeptSession,
    reconnections: broadcast::Receiver<Server>,
    lanes: Lanes,
    /// Leases whose streams we have already taken over.
    taken: Vec<Lease>,
    /// Held-up commands of earlier reads, and those behind them.
    held_up: Vec<Item>,
    /// Notified when the hook before send has decided about one of them.
    decided: Arc<Notify>,
    /// How often it started over. The consumer group's name ends with this number, so that a read whose reply was lost,
    /// if it reaches Redis late, finds no group and takes no entries with it.
    restarts: u64,
}

impl Pipeline {
    /// `keeps_session` is true if no other pipeline needs its session with Postgres.
    ///
    /// # Errors
    /// If the connection for reading cannot be configured.
    pub fn new(app: Arc<App>, assigned: Assigned, keeps_session: bool, lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        let reader = app.redis_options.blocking_client(longest_block(&app), lifecycle)?;
        let reconnections = reader.reconnect_rx();
        let session = KeptSession::new(app.sends_db.clone(), keeps_session);
        Ok(Pipeline {
            app,
            assigned,
            reader,
            session,
            reconnections,
            lanes: Lanes::default(),
            taken: Vec::new(),
            held_up: Vec::new(),
            decided: Arc::default(),
            restarts: 0,
        })
    }

    /// Runs until the drain; what was read by then is finished.
    pub async fn run(mut self, lifecycle: Lifecycle) -> anyhow::Result<()> {
        let draining = lifecycle.draining();
        while !draining.is_cancelled() {
            let assignment = self.assigned.adopt();
            let block = longest_block(&self.app)
                .min(assignment.valid_until.saturating_duration_since(Instant::now()).saturating_sub(LEASE_MARGIN));
            if assignment.leases.is_empty() || block.is_zero() {
                tokio::select! {
                    () = self.assigned.changed() => {}
                    () = draining.cancelled() => {}
                }
                continue;
            }
            // Entries of leases that are no longer ours are read by the new owner.
            self.held_up.retain(|item| assignment.leases.contains(&item.lease));
            match self.read(&assignment, self.until_next_try(block)).await {
                Ok(entries) if !self.was_reconnected() => self.apply(&assignment, entries).await,
                // Another Redis server may have taken over, which does not know the last reads and settlements, and
                // whose group position is too low or too high.
                Ok(_) => self.start_over(),
                Err(error) => {
                    // The lost reply may have contained entries.
                    self.start_over();
                    tracing::warn!(%error, "reading commands failed");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
        self.assigned.leave();
        Ok(())
    }

    /// Makes the next read begin at the first unsettled entry.
    fn start_over(&mut self) {
        self.taken.clear();
        self.held_up.clear();
        self.restarts += 1;
    }

    /// How long a read may take that would block for this long.
    fn until_next_try(&self, block: Duration) -> Duration {
        if !item::are_held_up(&self.held_up) {
            return SHORTEST_BLOCK;
        }
        let Some(at) = item::next_try(&self.held_up) else { return block };
        block.min(at.saturating_duration_since(Instant::now())).max(SHORTEST_BLOCK)
    }

    /// True if the reader has reconnected since the last call.
    fn was_reconnected(&mut self) -> bool {
        let mut reconnected = false;
        loop {
            match self.reconnections.try_recv() {
                Ok(_) | Err(TryRecvError::Lagged(_)) => reconnected = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return reconnected,
            }
        }
    }

    /// Reads new entries. Commands that wait for the hook before send are applied as soon as it has decided, while the read
    /// goes on: a read that is given up may take entries with it.
    async fn read(&mut self, assignment: &Assignment, block: Duration) -> Result<Vec<RawEntry>, fred::error::Error> {
        if self.held_up.len() >= self.app.settings.batch_max {
            // Those that are held up have their turn, whether one was decided or the time has passed.
            let _ = tokio::time::timeout(block, self.decided.notified()).await;
            return Ok(Vec::new());
        }
        let group = format!("{}-{}", self.app.worker_id.0.simple(), self.restarts);
        let stream = |lease: &Lease| self.app.keys.partition(lease.partition as u32);
        let fresh: Vec<String> =
            assignment.leases.iter().filter(|lease| !self.taken.contains(lease)).map(stream).collect();
        if !fresh.is_empty() {
            self.lanes.take(&self.app.redis, &fresh, &group).await?;
        }
        self.taken.clone_from(&assignment.leases);
        let streams: Vec<String> = assignment.leases.iter().map(stream).collect();
        // The count is per stream; together they should be about one batch, but a single busy stream must not starve.
        let count = (4 * self.app.settings.batch_max / streams.len()).clamp(16, self.app.settings.batch_max);
        let reader = self.reader.clone();
        let reading = async move { lanes::read(&reader, &streams, &group, count as u64, block).await };
        tokio::pin!(reading);
        loop {
            let decided = self.decided.clone();
            tokio::select! {
                biased;
                read = &mut reading => {
                    let mut entries = read?;
                    // Nothing may overtake entries that were left in the stream meanwhile.
                    entries.retain(|raw| self.taken.contains(&assignment.leases[raw.stream]));
                    return Ok(entries);
                }
                () = decided.notified() => self.apply(assignment, Vec::new()).await,
            }
        }
    }

    async fn apply(&mut self, assignment: &Assignment, mut entries: Vec<RawEntry>) {
        if entries.is_empty() {
            // The read has waited in vain: an idle pipeline keeps no session from the pool's limits.
            self.session.release();
        }
        let mut left: Vec<Lease> = Vec::new();
        let mut held_up = std::mem::take(&mut self.held_up);
        while !entries.is_empty() || !held_up.is_empty() {
            let rest = entries.split_off(entries.len().min(self.app.settings.batch_max));
            let batch = Batch::new(&self.app, &self.session, &assignment.leases, &self.decided, held_up, entries);
            let unfinished = batch.run(&self.assigned).await;
            left.extend(unfinished.left);
            (held_up, entries) = (unfinished.held_up, rest);
            // Nothing may overtake entries that were left in the stream.
            held_up.retain(|item| !left.contains(&item.lease));
            entries.retain(|raw| !left.contains(&assignment.leases[raw.stream]));
            if entries.is_empty() {
                break;
            }
        }
        self.held_up = held_up;
        self.taken.retain(|lease| !left.contains(lease));
    }
}

/// While leases move, reads must be short: a pipeline waiting in a read cannot let go of a partition.
fn longest_block(app: &App) -> Duration {
    app.settings.lease_interval
}
