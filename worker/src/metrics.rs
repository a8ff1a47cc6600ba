//! The few sums that the worker keeps in addition to the metrics that `shared::metrics` declares.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use shared::metrics::worker::WorkerMetrics;

/// The sums shown in the JSON of `/health` and `/metrics`; Prometheus has everything.
#[derive(Default)]
pub struct Counts {
    publications: AtomicU64,
    commands: AtomicU64,
    errors: AtomicU64,
    response_micros: AtomicU64,
}

impl Counts {
    pub fn add_publications(&self, count: u64) {
        self.publications.fetch_add(count, Ordering::Relaxed);
    }

    /// Records that a command ended this long after its arrival at the gateway.
    pub fn add_command(&self, age: Duration, is_error: bool) {
        self.commands.fetch_add(1, Ordering::Relaxed);
        self.errors.fetch_add(u64::from(is_error), Ordering::Relaxed);
        self.response_micros.fetch_add(age.as_micros() as u64, Ordering::Relaxed);
    }

    pub fn publications(&self) -> u64 {
        self.publications.load(Ordering::Relaxed)
    }

    pub fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    pub fn average_response_ms(&self) -> f64 {
        self.response_micros.load(Ordering::Relaxed) as f64 / 1000.0 / self.commands().max(1) as f64
    }
}
