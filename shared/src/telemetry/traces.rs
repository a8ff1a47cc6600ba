//! Traces: the life of one command in a few hundred, as spans sent to an OpenTelemetry collector
//! (`OTEL_EXPORTER_OTLP_ENDPOINT`). Off without a collector; a command then costs one comparison. If a collector is
//! away or slow, spans are lost and nothing else happens.
//!
//! A command's [`TraceContext`] travels in its envelope and in the headers of what is published for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use opentelemetry::InstrumentationScope;
pub use opentelemetry::KeyValue;
pub use opentelemetry::trace::SpanKind;
use opentelemetry::trace::{SpanContext, SpanId, Status, TraceFlags, TraceId, TraceState};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use rand::Rng;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::TelemetryError;
use crate::lifecycle::Lifecycle;

/// Spans that wait for the collector; more are dropped and counted.
const QUEUE: usize = 4_096;
const BATCH: usize = 512;
const EXPORTED_WITHIN: Duration = Duration::from_secs(5);
/// How long spans are collected before they are sent.
const COLLECTED_FOR: Duration = Duration::from_millis(500);
const PATH: &str = "/v1/traces";
/// The span of [`TraceContext::log_span`]. Errors are logged at every level, and so is the trace of everything.
pub(super) const LOG_SPAN: &str = "trace";

/// What is passed from one process to the next: the trace, and the span that caused what follows. W3C Trace Context
/// without flags, since only sampled traces have a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TraceContext {
    trace: [u8; 16],
    span: [u8; 8],
}

impl TraceContext {
    fn new() -> Self {
        TraceContext { trace: rand::rng().random(), span: rand::rng().random() }
    }

    /// Parses a `traceparent` header (<https://www.w3.org/TR/trace-context/>). `None` if it is malformed or not
    /// sampled.
    pub fn from_traceparent(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_valid =
            is_hex(version, 2) && version != "ff" && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
        if !is_valid || (version == "00" && parts.next().is_some()) || u8::from_str_radix(flags, 16).ok()? & 1 == 0 {
            return None;
        }
        let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
        (trace != TraceId::INVALID && span != SpanId::INVALID)
            .then(|| TraceContext { trace: trace.to_bytes(), span: span.to_bytes() })
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        TraceContext { span: rand::rng().random(), ..self }
    }

    /// The form that collectors show: 32 hexadecimal digits.
    pub fn trace_id(self) -> String {
        TraceId::from_bytes(self.trace).to_string()
    }

    /// The span for log lines about the traced command, so that each of them names the trace.
    pub fn log_span(self) -> tracing::Span {
        tracing::error_span!(LOG_SPAN, trace_id = self.trace_id())
    }

    fn span_context(self) -> SpanContext {
        let (trace, span) = (TraceId::from_bytes(self.trace), SpanId::from_bytes(self.span));
        SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::default())
    }
}

/// The span of a trace if there is one, and free otherwise; see [`TraceContext::log_span`].
pub fn log_span(trace: Option<TraceContext>) -> tracing::Span {
    trace.map_or_else(tracing::Span::none, TraceContext::log_span)
}

/// A piece of work for a traced command, up to now.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: &'static str,
    pub kind: SpanKind,
    pub context: TraceContext,
    /// The span that caused it; `None` for the first one of a trace.
    pub parent: Option<TraceContext>,
    pub started_at: SystemTime,
    /// Ids, names and counts; never content.
    pub attributes: Vec<KeyValue>,
}

/// Where spans go. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Sampling>>);

#[derive(Debug)]
struct Sampling {
    queue: mpsc::Sender<SpanData>,
    /// One command in this many is traced.
    one_in: u32,
    dropped: AtomicU64,
}

impl Tracer {
    /// Traces nothing.
    pub fn off() -> Self {
        Tracer(None)
    }

    /// Sends spans to the collector at `endpoint`, as `service`, until the lifecycle ends; `None` traces nothing.
    ///
    /// # Errors
    /// When the endpoint is not a URL.
    pub fn start(
        endpoint: Option<&str>,
        one_in: u32,
        service: &'static str,
        lifecycle: &Lifecycle,
    ) -> Result<Self, TelemetryError> {
        let Some(endpoint) = endpoint else {
            return Ok(Tracer::off());
        };
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}{PATH}", endpoint.trim_end_matches('/')))
            .with_timeout(EXPORTED_WITHIN)
            .build();
        let mut exporter =
            exporter.map_err(|error| TelemetryError { what: "the export of traces", reason: error.to_string() })?;
        exporter.set_resource(&Resource::builder_empty().with_service_name(service).build());
        let (queue, spans) = mpsc::channel(QUEUE);
        let sampling = Arc::new(Sampling { queue, one_in, dropped: AtomicU64::new(0) });
        lifecycle.spawn("traces", export(exporter, spans, sampling.clone(), lifecycle.clone()));
        Ok(Tracer(Some(sampling)))
    }

    /// Decides if a command is traced: if its request is traced, and otherwise one in `one_in`.
    pub fn sample(&self, parent: Option<TraceContext>) -> Option<TraceContext> {
        let sampling = self.0.as_ref()?;
        match parent {
            Some(parent) => Some(parent.child()),
            None => (rand::rng().random_range(0..sampling.one_in) == 0).then(TraceContext::new),
        }
    }

    /// Records a span that ends now. Dropped if nothing is exported, or too many wait.
    pub fn record(&self, span: Span) {
        let Some(sampling) = &self.0 else { return };
        let parent = span.parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.span));
        let data = SpanData {
            span_context: span.context.span_context(),
            parent_span_id: parent,
            parent_span_is_remote: span.parent.is_some(),
            span_kind: span.kind,
            name: span.name.into(),
            start_time: span.started_at,
            end_time: SystemTime::now(),
            attributes: span.attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder("chat").build(),
        };
        if sampling.queue.try_send(data).is_err() {
            sampling.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Sends the recorded spans, a batch at a time, until the process stops.
async fn export<E: SpanExporter>(
    exporter: E,
    mut spans: mpsc::Receiver<SpanData>,
    sampling: Arc<Sampling>,
    lifecycle: Lifecycle,
) -> Result<(), std::convert::Infallible> {
    let stopped = lifecycle.stopped();
    let mut is_failing = false;
    while !stopped.is_cancelled() {
        tokio::select! {
            () = tokio::time::sleep(COLLECTED_FOR) => {}
            () = stopped.cancelled() => {}
        }
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            match spans.try_recv() {
                Ok(span) => batch.push(span),
                Err(_) => break,
            }
        }
        if batch.is_empty() {
            continue;
        }
        let count = batch.len();
        let failed = exporter.export(batch).await;
        let dropped = sampling.dropped.swap(0, Ordering::Relaxed);
        match &failed {
            Err(error) if !is_failing => {
                tracing::warn!(%error, spans = count, "traces cannot be sent and are dropped")
            }
            Ok(()) if is_failing || dropped > 0 => tracing::info!(dropped, "traces are sent again"),
            _ => {}
        }
        is_failing = failed.is_err();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampled_traceparent_is_followed_and_anything_else_is_not() {
        let sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = TraceContext::from_traceparent(sampled);
        assert_eq!(context.map(|context| context.trace_id()).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        for other in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::from_traceparent(other), None, "{other}");
        }
    }

    #[test]
    fn a_child_has_the_trace_of_its_parent() {
        let parent = TraceContext::new();
        let child = parent.child();
        assert_eq!(child.trace_id(), parent.trace_id());
        assert_ne!(child, parent);
    }

    #[test]
    fn nothing_is_traced_without_a_collector() {
        assert_eq!(Tracer::off().sample(Some(TraceContext::new())), None);
    }
}
