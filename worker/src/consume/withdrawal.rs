//! A worker that is too old for a command leaves the ordered lane to the others for a while.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Withdrawing from the ordered lane for a while: this worker is too old for a command, and gives all partitions to the others,
/// of which one may know it.
#[derive(Default)]
pub struct Withdrawal(Mutex<Option<Instant>>);

/// Long enough for a rollout to get on.
const WITHDRAWN_FOR: Duration = Duration::from_secs(30);

impl Withdrawal {
    /// From now on for a while.
    pub fn begin(&self) {
        self.0.lock().get_or_insert_with(Instant::now);
    }

    /// Whether it goes on.
    pub fn lasts(&self) -> bool {
        let mut began_at = self.0.lock();
        *began_at = began_at.filter(|at| at.elapsed() < WITHDRAWN_FOR);
        began_at.is_some()
    }

    pub fn end(&self) {
        *self.0.lock() = None;
    }
}
