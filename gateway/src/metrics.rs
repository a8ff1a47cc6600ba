//! The plain counters behind the hottest of the gateway's metrics, which `shared::metrics` declares.

use std::sync::atomic::{AtomicU64, Ordering};

pub use shared::metrics::gateway::GatewayMetrics;

/// Plain atomics for what happens with every frame; copied into the metrics when those are requested.
#[derive(Default)]
pub struct Totals {
    pub frames_received: AtomicU64,
    pub frames_sent: AtomicU64,
    pub bytes_received: AtomicU64,
    pub bytes_sent: AtomicU64,
    pub reads: AtomicU64,
    pub writes: AtomicU64,
    pub errors: AtomicU64,
    pub rate_limited: AtomicU64,
    pub answers: AtomicU64,
    pub answer_micros: AtomicU64,
    pub peak_connections: AtomicU64,
}

impl Totals {
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    /// Updates the metrics.
    pub fn publish(&self, metrics: &GatewayMetrics) {
        let pairs = [
            (&metrics.frames_received, &self.frames_received),
            (&metrics.frames_sent, &self.frames_sent),
            (&metrics.bytes_received, &self.bytes_received),
            (&metrics.bytes_sent, &self.bytes_sent),
            (&metrics.reads, &self.reads),
            (&metrics.writes, &self.writes),
        ];
        for (metric, total) in pairs {
            metric.absolute(Self::get(total));
        }
    }

    /// Mean time to an answer in milliseconds; 0 before the first.
    pub fn average_answer_ms(&self) -> f64 {
        let answers = Self::get(&self.answers);
        if answers == 0 { 0.0 } else { Self::get(&self.answer_micros) as f64 / answers as f64 / 1000.0 }
    }
}
