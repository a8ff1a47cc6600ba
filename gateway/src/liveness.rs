//! Who else is alive, as `heartbeat` found it: the live gateways and workers, and whether Redis answers.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::RwLock;
use shared::ids::Epoch;
use tokio::sync::watch;

#[derive(Default)]
pub struct Liveness {
    redis_is_up: AtomicBool,
    /// The gateway's own channel has been confirmed.
    is_subscribed: AtomicBool,
    /// The channel for large answers has been confirmed on its present connection.
    follows_answers: AtomicBool,
    /// If channels can be followed at the shards of a cluster, once that is known.
    has_shards: watch::Sender<Option<bool>>,
    redis_micros: AtomicU64,
    workers: AtomicU32,
    gateways: RwLock<Vec<String>>,
    /// The database's epoch, once it is known, as it was found last.
    found_epoch: watch::Sender<Option<String>>,
    /// And the one that all sessions are in.
    epoch: RwLock<Option<Epoch>>,
}

impl Liveness {
    /// True if the last heartbeat reached Redis.
    pub fn redis_is_up(&self) -> bool {
        self.redis_is_up.load(Ordering::Acquire)
    }

    /// Called once answers can be received.
    pub fn subscribed(&self) {
        self.is_subscribed.store(true, Ordering::Release);
    }

    pub fn is_subscribed(&self) -> bool {
        self.is_subscribed.load(Ordering::Acquire)
    }

    pub fn set_follows_answers(&self, follows: bool) {
        self.follows_answers.store(follows, Ordering::Release);
    }

    pub fn follows_answers(&self) -> bool {
        self.follows_answers.load(Ordering::Acquire)
    }

    pub fn set_has_shards(&self, has_shards: bool) {
        self.has_shards.send_replace(Some(has_shards));
    }

    /// Waits until it is known; true if channels can be followed at the shards of a cluster.
    pub async fn has_shards(&self) -> bool {
        let mut found = self.has_shards.subscribe();
        // The sender lives as long as this.
        found.wait_for(Option::is_some).await.is_ok_and(|found| *found == Some(true))
    }

    pub fn redis_response_ms(&self) -> f64 {
        self.redis_micros.load(Ordering::Relaxed) as f64 / 1000.0
    }

    /// Live workers; each of them reaches Postgres.
    pub fn workers(&self) -> u32 {
        self.workers.load(Ordering::Relaxed)
    }

    /// Stores the database's epoch.
    pub fn set_epoch(&self, epoch: String) {
        self.found_epoch.send_if_modified(|known| {
            let is_another = known.as_ref() != Some(&epoch);
            *known = Some(epoch);
            is_another
        });
    }

    /// All sessions are in this epoch from now on: what they received before counts no more.
    pub fn enter_epoch(&self, epoch: Option<Epoch>) {
        *self.epoch.write() = epoch;
    }

    /// The epoch of what sessions receive; `None` until it is known.
    pub fn epoch(&self) -> Option<Epoch> {
        *self.epoch.read()
    }

    pub fn epochs(&self) -> watch::Receiver<Option<String>> {
        self.found_epoch.subscribe()
    }

    pub fn live_gateways(&self) -> Vec<String> {
        self.gateways.read().clone()
    }

    /// Records if a heartbeat succeeded and how long Redis took; returns true if the previous one succeeded.
    pub fn set_redis(&self, is_up: bool, micros: u64) -> bool {
        self.redis_micros.store(micros, Ordering::Relaxed);
        self.redis_is_up.swap(is_up, Ordering::AcqRel)
    }

    /// Records who else is alive.
    pub fn set_alive(&self, gateways: Vec<String>, workers: u32) {
        self.workers.store(workers, Ordering::Relaxed);
        *self.gateways.write() = gateways;
    }
}
