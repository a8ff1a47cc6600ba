//! What metrics and log lines look like.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

use super::log::subscriber;
use super::*;
use crate::config::LogFormat;

const CODES: &[&str] = &["VALIDATION_ERROR", "INTERNAL_ERROR"];

crate::metrics_table! {
    /// Metrics of the tests.
    pub struct TestMetrics {
        /// Open connections.
        pub connections: Gauge = "test_connections";
        /// Errors sent to clients,
        /// by code.
        pub errors: Family<Counter> = "test_errors_total", "code" in CODES;
        /// Bytes written.
        pub written: Counter = "test_written_bytes_total";
        /// Time to an answer.
        pub answer_seconds: Histogram = "test_answer_seconds";
        /// Commands in a batch, by lane.
        pub batch: Family<Histogram> = "test_batch_size", "lane" in &["ordered", "query"];
        /// Commands, by type and outcome.
        pub commands: Family2<Counter> = "test_commands_total", "type" in &["ping", "ack"], "outcome" in &["applied", "rejected"];
    }
}

fn rendered(work: impl FnOnce(&TestMetrics)) -> String {
    let recorder = builder().unwrap().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || work(&TestMetrics::new()));
    handle.render()
}

#[test]
fn every_series_is_there_from_the_start_with_its_help() {
    let page = rendered(|_| {});
    for line in [
        "# HELP test_connections Open connections.",
        "# HELP test_errors_total Errors sent to clients, by code.",
        "# TYPE test_errors_total counter",
        "test_connections 0",
        "test_errors_total{code=\"VALIDATION_ERROR\"} 0",
        "test_errors_total{code=\"other\"} 0",
        "test_written_bytes_total 0",
        "test_commands_total{type=\"ping\",outcome=\"applied\"} 0",
        "test_commands_total{type=\"other\",outcome=\"other\"} 0",
    ] {
        assert!(page.lines().any(|l| l == line), "{line}\n{page}");
    }
}

#[test]
fn handles_count_and_unknown_label_values_make_no_series() {
    let page = rendered(|metrics| {
        metrics.connections.set(3.0);
        metrics.errors.with("INTERNAL_ERROR").increment(2);
        metrics.errors.with("FROM_OUTSIDE").increment(1);
        metrics.errors.with("ALSO_FROM_OUTSIDE").increment(1);
        metrics.clone().written.increment(512);
        metrics.answer_seconds.record(0.0002);
        metrics.batch.with("ordered").record(3.0);
        metrics.commands.with("ack").with("rejected").increment(1);
        metrics.commands.with("FROM_OUTSIDE").with("applied").increment(4);
    });
    for line in [
        "test_connections 3",
        "test_errors_total{code=\"INTERNAL_ERROR\"} 2",
        "test_errors_total{code=\"other\"} 2",
        "test_written_bytes_total 512",
        "test_answer_seconds_bucket{le=\"0.0001\"} 0",
        "test_answer_seconds_bucket{le=\"0.00025\"} 1",
        "test_answer_seconds_bucket{le=\"10\"} 1",
        "test_batch_size_bucket{lane=\"ordered\",le=\"4\"} 1",
        "test_commands_total{type=\"ack\",outcome=\"rejected\"} 1",
        "test_commands_total{type=\"other\",outcome=\"applied\"} 4",
    ] {
        assert!(page.lines().any(|l| l == line), "{line}\n{page}");
    }
    assert!(!page.contains("OUTSIDE"));
}

#[test]
fn the_table_is_the_reference() {
    let errors = &TestMetrics::DOCS[1];
    assert_eq!(
        (errors.name, errors.kind, errors.labels),
        ("test_errors_total", MetricKind::Counter, [("code", CODES)].as_slice())
    );
    let page = metrics_markdown(&[("Tests", TestMetrics::DOCS)]);
    assert!(page.contains("| `test_errors_total` | counter | `code`: VALIDATION_ERROR, INTERNAL_ERROR | Errors sent to clients, by code. |"), "{page}");
    assert!(page.contains("| counter | `type`: ping, ack; `outcome`: applied, rejected | Commands,"), "{page}");
    assert!(page.contains("| `test_connections` | gauge | – | Open connections. |"), "{page}");
    assert_eq!(page.lines().filter(|line| line.starts_with("| `")).count(), TestMetrics::DOCS.len());
}

#[test]
fn the_recorder_can_be_installed_once() {
    let metrics = Metrics::install().unwrap();
    assert!(Metrics::install().is_err());
    assert!(!metrics.render().contains("nothing_of_the_kind"));
}

#[test]
fn error_ids_are_short_and_differ() {
    let ids: HashSet<String> = (0..1000).map(|_| error_id()).collect();
    assert_eq!(ids.len(), 1000);
    assert!(ids.iter().all(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())));
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Buffer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn logged(level: &str, format: LogFormat, is_terminal: bool, work: impl FnOnce()) -> String {
    let buffer = Buffer::default();
    let settings = LogSettings { level: level.to_owned(), format };
    let subscriber = subscriber(&settings, is_terminal, buffer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = buffer.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn json_lines_are_flat_with_an_rfc_3339_time() {
    let text = logged("info", LogFormat::Json, true, || {
        tracing::info!(user_id = 7, "said \"hello\"\nand left");
        tracing::debug!("not shown");
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["level"], &line["user_id"]), (&"INFO".into(), &7.into()));
    assert_eq!(line["message"], "said \"hello\"\nand left");
    let time = line["timestamp"].as_str().unwrap();
    assert_eq!((time.len(), &time[10..11], &time[19..20], &time[23..]), (24, "T", ".", "Z"), "{time}");
    time::OffsetDateTime::parse(time, &time::format_description::well_known::Rfc3339).unwrap();
}

#[test]
fn lines_about_a_traced_command_name_its_trace() {
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trace = traces::TraceContext::from_traceparent(traceparent);
    let say = || {
        let _trace = traces::log_span(trace).entered();
        let _deeper = tracing::info_span!("deeper", secret = 7).entered();
        tracing::warn!(attempts = 2, "within");
        traces::log_span(None).in_scope(|| tracing::error!("within, and nothing of its own"));
    };
    for level in ["warn", "info"] {
        let text = logged(level, LogFormat::Json, false, || {
            say();
            tracing::error!("outside");
        });
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ids: Vec<&Value> = lines.iter().map(|line| &line["trace_id"]).collect();
        let id = Value::from(&traceparent[3..35]);
        assert_eq!(ids, [&id, &id, &Value::Null], "{text}");
        assert_eq!((&lines[0]["attempts"], &lines[0]["message"]), (&2.into(), &"within".into()), "{text}");
    }
    assert!(logged("info", LogFormat::Text, false, say).contains(&traceparent[3..35]));
}

#[test]
fn auto_is_text_on_a_terminal_and_json_elsewhere() {
    let say = || tracing::info!("hello");
    assert!(serde_json::from_str::<Value>(&logged("info", LogFormat::Auto, false, say)).is_ok());
    assert!(serde_json::from_str::<Value>(&logged("info", LogFormat::Auto, true, say)).is_err());
    let plain = logged("info", LogFormat::Text, false, say);
    assert!(plain.contains("hello") && !plain.contains('\u{1b}'), "{plain}");
}

#[test]
fn a_bad_filter_is_an_error() {
    let settings = LogSettings { level: "gateway=loud".to_owned(), format: LogFormat::Json };
    assert!(subscriber(&settings, false, Buffer::default()).is_err());
}

/// Runs in a separate process, since the panic hook belongs to the process.
#[test]
fn a_panic_is_logged() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "telemetry::tests::child_that_panics", "--ignored", "--nocapture"])
        .env("TELEMETRY_TEST_CHILD", "1")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(lines.iter().any(|line| line["message"] == "starting" && line["service"] == "tester"), "{text}");
    let panic = lines.iter().find(|line| line["message"] == "panic").unwrap();
    assert_eq!(panic["level"], "ERROR");
    assert!(panic["panic"].as_str().unwrap().starts_with("out of cheese"));
    assert!(panic["panic"].as_str().unwrap().len() <= 500);
    assert!(panic["location"].as_str().unwrap().contains("tests.rs:"));
}

#[test]
#[ignore = "the child process of the test above"]
fn child_that_panics() {
    if std::env::var("TELEMETRY_TEST_CHILD").is_err() {
        return;
    }
    let _log = init_logging(&LogSettings { level: "info".to_owned(), format: LogFormat::Json }, "tester").unwrap();
    assert!(std::hint::black_box(false), "out of cheese {}", "x".repeat(1000));
}
