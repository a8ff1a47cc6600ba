//! Partition ownership: spreads the partitions evenly over the live workers, moves them when workers come and go, and
//! tells each pipeline which are its own. Leases live in Postgres and expire by its clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use shared::lifecycle::Lifecycle;
use shared::redis::keys::PARTITION_TAGS;
use shared::redis::topology::Topology;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::App;
use crate::store::leases::{self, Lease};

/// What one pipeline may read and apply.
#[derive(Clone, Debug)]
pub struct Assignment {
    pub leases: Vec<Lease>,
    /// The leases must not be used after this, unless renewed.
    pub valid_until: Instant,
}

impl Assignment {
    fn none() -> Self {
        Assignment { leases: Vec::new(), valid_until: Instant::now() }
    }

    /// True if this lease is still ours, as far as is known here; the transaction's fence decides.
    pub fn holds(&self, lease: Lease) -> bool {
        self.valid_until > Instant::now() && self.leases.contains(&lease)
    }
}

/// A pipeline's view of its assignment.
pub struct Assigned {
    receiver: watch::Receiver<Assignment>,
    /// The leases in use; one that is not listed here can be given back.
    in_use: Arc<Mutex<Vec<Lease>>>,
}

impl Assigned {
    /// Adopts the present assignment; leases that are not in it are no longer in use.
    pub fn adopt(&mut self) -> Assignment {
        let assignment = self.receiver.borrow_and_update().clone();
        self.in_use.lock().clone_from(&assignment.leases);
        assignment
    }

    /// The present assignment, while the adopted one stays in use.
    pub fn peek(&self) -> Assignment {
        self.receiver.borrow().clone()
    }

    pub async fn changed(&mut self) {
        // The manager lives as long as the process; if it ends, so does the process.
        let _ = self.receiver.changed().await;
    }

    /// Declares that no lease is in use any more.
    pub fn leave(&self) {
        self.in_use.lock().clear();
    }
}

struct PipelineHandle {
    sender: watch::Sender<Assignment>,
    in_use: Arc<Mutex<Vec<Lease>>>,
}

pub struct LeaseManager {
    app: Arc<App>,
    pipelines: Vec<PipelineHandle>,
    /// The leases that are ours according to Postgres.
    owned: HashMap<i32, Lease>,
    /// Still ours, but no longer to be used.
    leaving: Vec<i32>,
}

impl LeaseManager {
    /// Returns the manager, and each pipeline's view.
    pub fn new(app: Arc<App>) -> (Self, Vec<Assigned>) {
        let count = match Topology::of(&app.redis) {
            Topology::Single => app.settings.worker_pipelines as usize,
            // A pipeline reads with one command. The connection pool decides whose turn it is to store.
            Topology::Cluster => PARTITION_TAGS.len(),
        };
        let (pipelines, assigned) = (0..count)
            .map(|_| {
                let (sender, receiver) = watch::channel(Assignment::none());
                let in_use = Arc::new(Mutex::new(Vec::new()));
                (PipelineHandle { sender, in_use: in_use.clone() }, Assigned { receiver, in_use })
            })
            .unzip();
        (LeaseManager { app, pipelines, owned: HashMap::new(), leaving: Vec::new() }, assigned)
    }

    /// Runs until the drain, then gives everything back once the pipelines are done with it.
    pub async fn run(mut self, lifecycle: Lifecycle) -> anyhow::Result<()> {
        let mut ticks = lifecycle.every(self.app.settings.lease_interval);
        while ticks.next().await {
            // A tick that hangs must not outlive the leases that it would renew.
            match tokio::time::timeout(self.app.settings.lease_ttl / 2, self.tick()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "leases could not be renewed"),
                Err(_) => tracing::warn!("leases could not be renewed in time"),
            }
        }
        self.give_everything_back().await;
        Ok(())
    }

    async fn tick(&mut self) -> sqlx::Result<()> {
        let (worker, ttl) = (self.app.worker_id, self.app.settings.lease_ttl);
        let partitions = i32::from(self.app.settings.common.partitions);
        let mut db = self.app.control_db.acquire().await?;
        // Measured from before the statement: by Postgres's clock the lease ends later than we think, never earlier.
        let asked_at = Instant::now();
        let mut withdrawn = self.app.withdrawal.lasts();
        if withdrawn {
            leases::delete_worker(&mut db, worker).await?;
        } else {
            leases::update_heartbeat(&mut db, worker, ttl).await?;
        }
        let owned = leases::update_owned(&mut db, worker, ttl).await?;
        if withdrawn && owned.live_workers == 0 {
            // There is no other worker to leave them to.
            self.app.withdrawal.end();
            withdrawn = false;
        }
        let valid_until = asked_at + ttl;
        self.owned = owned.leases.into_iter().map(|lease| (lease.partition, lease)).collect();
        let leaving = std::mem::take(&mut self.leaving);
        self.leaving = leaving.into_iter().filter(|partition| self.owned.contains_key(partition)).collect();

        self.release(&mut db).await?;
        let share = match withdrawn {
            true => 0,
            false => share_of(i64::from(partitions), owned.live_workers.max(1), owned.rank) as usize,
        };
        let keeping = self.owned.len() - self.leaving.len();
        if keeping > share {
            let mut candidates: Vec<i32> =
                self.owned.keys().copied().filter(|partition| !self.leaving.contains(partition)).collect();
            candidates.sort_unstable();
            self.leaving.extend(candidates.into_iter().rev().take(keeping - share));
        } else if keeping < share {
            let wanted = (share - keeping) as i64;
            let taken = leases::update_unowned(&mut db, worker, partitions, wanted, ttl).await?;
            self.app.metrics.lease_moves.increment(taken.len() as u64);
            for taken in taken {
                self.owned.insert(taken.lease.partition, taken.lease);
                if let Some(abandoned_at) = taken.abandoned_at {
                    self.app.recent.abandoned(taken.lease.partition, abandoned_at);
                }
            }
        }
        self.app.metrics.partitions.set(self.owned.len() as f64);
        self.assign(valid_until);
        Ok(())
    }

    /// Gives back the leases that the pipelines no longer use.
    async fn release(&mut self, db: &mut crate::store::session::PgSession) -> sqlx::Result<()> {
        let free: Vec<i32> = self.leaving.iter().copied().filter(|partition| !self.is_in_use(*partition)).collect();
        if free.is_empty() {
            return Ok(());
        }
        leases::delete_owned(db, self.app.worker_id, &free).await?;
        self.app.metrics.lease_moves.increment(free.len() as u64);
        self.leaving.retain(|partition| !free.contains(partition));
        self.owned.retain(|partition, _| !free.contains(partition));
        Ok(())
    }

    fn is_in_use(&self, partition: i32) -> bool {
        self.pipelines.iter().any(|pipeline| pipeline.in_use.lock().iter().any(|lease| lease.partition == partition))
    }

    /// A partition always goes to the same pipeline, so that two never hold it at once.
    fn assign(&self, valid_until: Instant) {
        for (place, pipeline) in self.pipelines.iter().enumerate() {
            let mut leases: Vec<Lease> = self
                .owned
                .values()
                .copied()
                .filter(|lease| lease.partition as usize % self.pipelines.len() == place)
                .filter(|lease| !self.leaving.contains(&lease.partition))
                .collect();
            leases.sort_unstable_by_key(|lease| lease.partition);
            pipeline.sender.send_replace(Assignment { leases, valid_until });
        }
    }

    async fn give_everything_back(mut self) {
        for pipeline in &self.pipelines {
            pipeline.sender.send_replace(Assignment::none());
        }
        let deadline = Instant::now() + self.app.settings.common.shutdown_timeout;
        while self.pipelines.iter().any(|pipeline| !pipeline.in_use.lock().is_empty()) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.leaving = self.owned.keys().copied().collect();
        let given_back = async {
            let mut db = self.app.control_db.acquire().await?;
            self.release(&mut db).await?;
            leases::delete_worker(&mut db, self.app.worker_id).await
        };
        if let Err(error) = given_back.await {
            tracing::warn!(%error, "leases could not be given back; they expire by themselves");
        }
    }
}

/// How many of `partitions` the worker of this rank gets among `workers`.
fn share_of(partitions: i64, workers: i64, rank: i64) -> i64 {
    partitions / workers + i64::from(rank < partitions % workers)
}

#[cfg(test)]
mod tests {
    use super::share_of;

    #[test]
    fn shares_are_even_and_add_up() {
        for partitions in [1, 16, 64, 255] {
            for workers in 1..10 {
                let shares: Vec<i64> = (0..workers).map(|rank| share_of(partitions, workers, rank)).collect();
                assert_eq!(shares.iter().sum::<i64>(), partitions);
                assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
            }
        }
    }
}
