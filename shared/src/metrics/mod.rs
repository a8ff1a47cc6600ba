//! The metrics of both services, each declared once: its name, its label and its help text. They also make the reference
//! document. What is counted where is not known here.

pub mod gateway;
pub mod worker;

use crate::telemetry::metrics_markdown;

/// The reference document, `docs/metrics.md`.
pub fn reference_markdown() -> String {
    metrics_markdown(&[("Gateway", gateway::GatewayMetrics::DOCS), ("Worker", worker::WorkerMetrics::DOCS)])
}
