//! What everybody in a run shares: the history checker, what went wrong, the counts, and when each gateway last served.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use e2e::Witness;
use parking_lot::Mutex;
use tokio::time::Instant;

/// What people do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// They write, edit and leave at random.
    Load,
    /// They write nothing new, and repeat what is not acknowledged.
    Finish,
    /// They reconnect once.
    Reconnect,
    /// Some leave for good.
    Calm,
    End,
}

#[derive(Default)]
pub struct Shared {
    pub witness: Mutex<Witness>,
    violations: Mutex<Vec<String>>,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    unanswered: AtomicU64,
    /// By gateway: when the last send began that succeeded there.
    served: Mutex<Vec<Option<Instant>>>,
}

/// How long a server may take to end after SIGTERM.
pub const GONE_WITHIN: Duration = Duration::from_secs(40);
/// Enough to see what is wrong.
const MAX_VIOLATIONS: usize = 50;

impl Shared {
    pub fn new(gateways: usize) -> Self {
        Self { served: Mutex::new(vec![None; gateways]), ..Self::default() }
    }

    /// Records something that must not happen.
    pub fn violation(&self, what: String) {
        let mut violations = self.violations.lock();
        if violations.len() < MAX_VIOLATIONS {
            violations.push(what);
        }
    }

    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut *self.violations.lock())
    }

    pub fn count_acknowledged(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count_unanswered(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many commands were acknowledged, temporarily rejected, and never answered.
    pub fn counts(&self) -> (u64, u64, u64) {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (get(&self.acknowledged), get(&self.refused), get(&self.unanswered))
    }

    pub fn served(&self, gateway: usize, began: Instant) {
        self.served.lock()[gateway] = Some(began);
    }

    /// Returns true if every gateway has served a send that began after this moment.
    pub fn all_served_since(&self, moment: Instant) -> bool {
        self.served.lock().iter().all(|served| served.is_some_and(|began| began > moment))
    }
}
