//! The metrics of both services, each declared once: its name, its label and its help text. The reference document is
//! generated from them. This module does not know where things are counted.

pub mod gateway;
pub mod worker;

use crate::telemetry::metrics_markdown;

/// The reference document, `docs/metrics.md`.
pub fn reference_markdown() -> String {
    metrics_markdown(&[("Gateway", gateway::GatewayMetrics::DOCS), ("Worker", worker::WorkerMetrics::DOCS)])
}
