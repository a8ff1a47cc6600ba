//! The gateway's own monotonic clock in milliseconds, cheap to store in an atomic. Wall-clock time is `shared::clock`.

use tokio::time::Instant;

/// Counts from the start of the process.
#[derive(Clone, Copy, Debug)]
pub struct Uptime {
    started: Instant,
}

impl Uptime {
    pub fn start() -> Self {
        Uptime { started: Instant::now() }
    }

    pub fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}
