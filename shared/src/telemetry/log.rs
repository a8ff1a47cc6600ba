//! Log lines: JSON for machines, plain text for a terminal, and panics as log lines.

use std::fmt;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::TelemetryError;
use super::traces::LOG_SPAN;
use crate::config::{CommonSettings, LogFormat};

/// A panic message can contain the data that the code was working on; this is how much of it is logged.
const MAX_PANIC_MESSAGE_CHARS: usize = 500;
/// Lines that wait for the reader of the log: a few megabytes, or some seconds of a busy process.
const QUEUED_LINES: usize = 8_192;

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// A filter such as `info,gateway=debug`.
    pub level: String,
    pub format: LogFormat,
}

impl From<&CommonSettings> for LogSettings {
    fn from(settings: &CommonSettings) -> Self {
        Self { level: settings.log_level.clone(), format: settings.log_format }
    }
}

/// Keeps the log flowing. Dropped at the end of the process, it writes what is still queued, for as long as the reader
/// keeps reading; it gives up after about a second otherwise.
#[must_use = "the log ends when this is dropped"]
pub struct LogGuard {
    _writer: WorkerGuard,
}

/// Sends the process's log to standard output, and panics into the log. Once per process. Logging never waits for the
/// reader of the log: a separate thread writes from a queue of at most [`QUEUED_LINES`], and what does not fit is
/// dropped and counted, see [`dropped_log_lines`].
///
/// # Errors
/// When the filter is not valid, or there already is a log.
pub fn init_logging(settings: &LogSettings, service: &'static str) -> Result<LogGuard, TelemetryError> {
    let queue = NonBlockingBuilder::default().buffered_lines_limit(QUEUED_LINES).lossy(true).thread_name("log");
    let (queue, writer) = queue.finish(std::io::stdout());
    let dropped = queue.error_counter();
    let subscriber = subscriber(settings, std::io::stdout().is_terminal(), queue)?;
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| TelemetryError { what: "the log", reason: error.to_string() })?;
    // Set once, like the global subscriber.
    let _ = DROPPED.set(dropped);
    std::panic::set_hook(Box::new(log_panic));
    tracing::info!(service, version = env!("CARGO_PKG_VERSION"), process_id = std::process::id(), "starting");
    Ok(LogGuard { _writer: writer })
}

/// Lines that were not logged because the reader of the log was too slow.
pub fn dropped_log_lines() -> u64 {
    DROPPED.get().map_or(0, |counter| counter.dropped_lines() as u64)
}

/// Only the subscriber, so that a test can read what it writes.
pub(super) fn subscriber<W>(
    settings: &LogSettings,
    is_terminal: bool,
    writer: W,
) -> Result<impl tracing::Subscriber + Send + Sync, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&settings.level)
        .map_err(|error| TelemetryError { what: "the log filter", reason: error.to_string() })?;
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_timer(Rfc3339Millis);
    let as_text = match settings.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => is_terminal,
    };
    let layer: Box<dyn Layer<Registry> + Send + Sync> = if as_text {
        layer.with_ansi(is_terminal).boxed()
    } else {
        let json = layer.json().flatten_event(true).with_current_span(false).with_span_list(false);
        json.map_event_format(WithTrace).boxed()
    };
    Ok(tracing_subscriber::registry().with(layer.with_filter(filter)))
}

/// JSON lines with the `trace_id` of the command that they are about, next to the line's own fields.
struct WithTrace<F>(F);

impl<S, N, F> FormatEvent<S, N> for WithTrace<F>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        let mut scope = context.event_scope().into_iter().flatten();
        let Some(span) = scope.find(|span| span.name() == LOG_SPAN) else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let extensions = span.extensions();
        let fields = extensions.get::<FormattedFields<N>>().map_or("", |fields| fields.fields.as_str());
        // Both are objects, and neither is empty.
        match (line.trim_end().strip_suffix('}'), fields.strip_prefix('{')) {
            (Some(line), Some(fields)) => writeln!(writer, "{line},{fields}"),
            _ => writer.write_str(&line),
        }
    }
}

/// RFC 3339 in UTC with milliseconds, as on the wire.
struct Rfc3339Millis;

impl FormatTime for Rfc3339Millis {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        const FORMAT: &[BorrowedFormatItem<'_>] =
            format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        let text = OffsetDateTime::now_utc().format(FORMAT).map_err(|_| fmt::Error)?;
        writer.write_str(&text)
    }
}

pub(super) fn log_panic(panic: &PanicHookInfo<'_>) {
    let message: String =
        panic.payload_as_str().unwrap_or("no message").chars().take(MAX_PANIC_MESSAGE_CHARS).collect();
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    // Empty unless RUST_BACKTRACE is set.
    let backtrace = std::backtrace::Backtrace::capture();
    let backtrace = match backtrace.status() {
        std::backtrace::BacktraceStatus::Captured => backtrace.to_string(),
        _ => String::new(),
    };
    tracing::error!(panic = message, location, thread = thread.name().unwrap_or_default(), backtrace, "panic");
}
