//! The worker's metrics, each declared once with its help text.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shared::telemetry::MetricDoc;

/// How commands end.
pub const OUTCOMES: &[&str] = &["applied", "rejected", "retried", "dead_letter", "lease_lost", "passed_on"];

/// Whether a page was in the cache; `beyond` reaches further back than is cached.
pub const CACHE_RESULTS: &[&str] = &["hit", "miss", "beyond"];

shared::metrics_table! {
    /// Metrics of the worker.
    pub struct WorkerMetrics {
        /// Commands finished, by how they ended.
        pub commands: Family<Counter> = "chat_worker_commands_total", "outcome" in OUTCOMES;
        /// Commands applied in one batch.
        pub batch_size: Histogram = "chat_worker_batch_size";
        /// Time from a batch's reading to the end of its settling.
        pub batch_seconds: Histogram = "chat_worker_batch_seconds";
        /// Time of a batch in Postgres.
        pub store_seconds: Histogram = "chat_worker_store_seconds";
        /// Time from a command's arrival at the gateway to its settling here.
        pub command_seconds: Histogram = "chat_worker_command_seconds";
        /// Messages stored.
        pub messages: Counter = "chat_worker_messages_total";
        /// Publications sent.
        pub publications: Counter = "chat_worker_publications_total";
        /// Partitions that this worker owns.
        pub partitions: Gauge = "chat_worker_partitions";
        /// Partitions taken or given back.
        pub lease_moves: Counter = "chat_worker_lease_moves_total";
        /// Stored messages that could not be read: wrong key, tampered with, or malformed.
        pub unreadable_rows: Counter = "chat_worker_unreadable_rows_total";
        /// Pages of history asked for, by whether they were cached.
        pub history_cache: Family<Counter> = "chat_worker_history_cache_total", "result" in CACHE_RESULTS;
        /// Revoked tokens told to the gateways.
        pub revocations: Counter = "chat_worker_revocations_total";
        /// Connections to Postgres, open.
        pub db_connections: Gauge = "chat_worker_db_connections";
    }
}

/// For the generated reference.
pub const DOCS: &[MetricDoc] = WorkerMetrics::DOCS;

/// The few sums that the JSON of `/health` and `/metrics` shows; Prometheus has everything.
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

    /// A command ended so long after its arrival at the gateway.
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
