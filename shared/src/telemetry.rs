//! Logs and metrics of a process: where they go and in what form. What is logged and counted is declared where it
//! happens.

mod log;
mod metrics_table;
pub mod traces;

use std::fmt;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use rand::Rng;

pub use log::{LogGuard, LogSettings, dropped_log_lines, init_logging};
#[doc(hidden)]
pub use metrics_table::Declared;
pub use metrics_table::{Family, Handle, LabelDoc, MetricDoc, MetricKind, metrics_markdown};

/// The types of metrics handles; `metrics_table!` takes them from here, so that services need not depend on the
/// package.
pub mod handles {
    pub use metrics::{Counter, Gauge, Histogram};
}

use crate::lifecycle::Lifecycle;

/// How often histograms are compacted; without this they grow between scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// 100 µs to 10 s.
const SECONDS_BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Batches and queues.
const SIZE_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0];
/// 64 B to 4 MiB.
const BYTES_BUCKETS: &[f64] = &[64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0];

/// Telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("{what} could not be set up: {reason}")]
pub struct TelemetryError {
    what: &'static str,
    reason: String,
}

/// The metrics of the process.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Installs the recorder behind all metrics of the process. Call it before any handle is created; earlier handles
    /// count nothing.
    ///
    /// # Errors
    /// When there already is a recorder.
    pub fn install() -> Result<Self, TelemetryError> {
        let error = |error: metrics_exporter_prometheus::BuildError| TelemetryError {
            what: "the metrics recorder",
            reason: error.to_string(),
        };
        let handle = builder().map_err(error)?.install_recorder().map_err(error)?;
        Ok(Self { handle })
    }

    /// Starts the task that keeps histograms small.
    pub fn start_upkeep(&self, lifecycle: &Lifecycle) {
        let (handle, mut ticks) = (self.handle.clone(), lifecycle.every_until_stopped(UPKEEP_INTERVAL));
        lifecycle.spawn("metrics_upkeep", async move {
            while ticks.next().await {
                handle.run_upkeep();
            }
            Ok::<(), std::convert::Infallible>(())
        });
    }

    /// All metrics in the text format of Prometheus.
    pub fn render(&self) -> String {
        self.handle.render()
    }
}

fn builder() -> Result<PrometheusBuilder, metrics_exporter_prometheus::BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), SIZE_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), BYTES_BUCKETS)
}

/// Memory of this process that is in RAM, in bytes; 0 if the system does not tell.
pub fn resident_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE_BYTES
}

/// Shows an error with its causes, for the field `error` of a log line.
pub fn with_causes(error: &anyhow::Error) -> impl fmt::Display {
    fmt::from_fn(move |f| write!(f, "{error:#}"))
}

/// A short random id that connects an error shown to a client with its log line. 12 characters, about 60 bits.
pub fn error_id() -> String {
    /// Without digits and letters that look alike.
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = rand::rng();
    (0..12).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect()
}

#[cfg(test)]
mod tests;
