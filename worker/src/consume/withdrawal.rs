//! Lets a worker that is too old for a command leave the ordered lane to the others for a while.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The withdrawal of this worker from the ordered lane: it is too old for a command, and gives all partitions to the
/// others, one of which may know it.
#[derive(Default)]
pub struct Withdrawal(Mutex<Option<Instant>>);

/// Long enough for a rollout to progress.
const WITHDRAWN_FOR: Duration = Duration::from_secs(30);

impl Withdrawal {
    /// Starts a withdrawal unless one is already in progress.
    pub fn begin(&self) {
        self.0.lock().get_or_insert_with(Instant::now);
    }

    /// True while it lasts.
    pub fn lasts(&self) -> bool {
        let mut began_at = self.0.lock();
        *began_at = began_at.filter(|at| at.elapsed() < WITHDRAWN_FOR);
        began_at.is_some()
    }

    pub fn end(&self) {
        *self.0.lock() = None;
    }
}
