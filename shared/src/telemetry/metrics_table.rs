//! The declaration of a service's metrics: each once, with its help text. Generates the handles for the hot path and
//! the table for the reference.

use std::collections::HashMap;

use metrics::{Counter, Gauge, Histogram, Label, Unit};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric as the reference shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricDoc {
    pub name: &'static str,
    pub kind: MetricKind,
    pub help: &'static str,
    pub labels: &'static [LabelDoc],
}

/// A label's name and all its values, except `other`.
pub type LabelDoc = (&'static str, &'static [&'static str]);

/// One metric with a label that has a fixed set of values, all present from the start. Any other value counts as
/// `other`, so that input cannot create new series. With two labels it is a family of families.
#[derive(Clone)]
pub struct Family<H> {
    handles: HashMap<&'static str, H>,
    other: H,
}

impl<H> Family<H> {
    /// The handle for a value of the label.
    pub fn with(&self, value: &str) -> &H {
        self.handles.get(value).unwrap_or(&self.other)
    }
}

/// The handle of a metric: a counter, a gauge or a histogram.
pub trait Handle: Sized {
    const KIND: MetricKind;

    fn register(name: &'static str, labels: Vec<Label>) -> Self;
    fn describe(name: &'static str, help: &'static str);
}

macro_rules! handle {
    ($type:ident, $register:ident, $describe:ident) => {
        impl Handle for $type {
            const KIND: MetricKind = MetricKind::$type;

            fn register(name: &'static str, labels: Vec<Label>) -> Self {
                metrics::$register!(name, labels)
            }

            fn describe(name: &'static str, help: &'static str) {
                match unit_of(name) {
                    Some(unit) => metrics::$describe!(name, unit, help),
                    None => metrics::$describe!(name, help),
                }
            }
        }
    };
}
handle!(Counter, counter, describe_counter);
handle!(Gauge, gauge, describe_gauge);
handle!(Histogram, histogram, describe_histogram);

fn unit_of(name: &str) -> Option<Unit> {
    let name = name.strip_suffix("_total").unwrap_or(name);
    match name.rsplit('_').next() {
        Some("seconds") => Some(Unit::Seconds),
        Some("bytes") => Some(Unit::Bytes),
        _ => None,
    }
}

/// Creates the handles for a declaration; called by [`metrics_table!`](crate::metrics_table).
#[doc(hidden)]
pub trait Declared: Sized {
    /// Registers under the given labels, and all values of the remaining ones.
    fn register(name: &'static str, given: &[Label], remaining: &[LabelDoc]) -> Self;
    fn describe(name: &'static str, help: &'static str);

    fn declare(doc: &MetricDoc) -> Self {
        Self::describe(doc.name, doc.help);
        Self::register(doc.name, &[], doc.labels)
    }
}

impl<H: Handle> Declared for H {
    fn register(name: &'static str, given: &[Label], _: &[LabelDoc]) -> Self {
        H::register(name, given.to_vec())
    }

    fn describe(name: &'static str, help: &'static str) {
        H::describe(name, help);
    }
}

impl<D: Declared> Declared for Family<D> {
    fn register(name: &'static str, given: &[Label], remaining: &[LabelDoc]) -> Self {
        let (&(label, values), remaining) = remaining.split_first().unwrap_or((&("kind", &[]), &[]));
        let member = |value: &'static str| {
            let labels = [given, &[Label::from_static_parts(label, value)]].concat();
            D::register(name, &labels, remaining)
        };
        Self { handles: values.iter().map(|value| (*value, member(value))).collect(), other: member("other") }
    }

    fn describe(name: &'static str, help: &'static str) {
        D::describe(name, help);
    }
}

/// Declares a service's metrics. The doc comment of each is its help text.
///
/// ```
/// const CODES: &[&str] = &["VALIDATION_ERROR", "INTERNAL_ERROR"];
///
/// shared::metrics_table! {
///     /// Metrics of the example.
///     pub struct ExampleMetrics {
///         /// Open connections.
///         pub connections: Gauge = "example_connections";
///         /// Errors sent to clients, by code.
///         pub errors: Family<Counter> = "example_errors_total", "code" in CODES;
///         /// Time from receipt to answer.
///         pub answer_seconds: Histogram = "example_answer_seconds";
///         /// Commands, by type and outcome.
///         pub commands: Family2<Counter> = "example_commands_total", "type" in &["ping"], "outcome" in &["ok", "refused"];
///     }
/// }
///
/// let metrics = ExampleMetrics::new();
/// metrics.connections.increment(1.0);
/// metrics.errors.with("INTERNAL_ERROR").increment(1);
/// metrics.answer_seconds.record(0.004);
/// metrics.commands.with("ping").with("ok").increment(1);
/// assert_eq!(ExampleMetrics::DOCS[1].help, "Errors sent to clients, by code.");
/// ```
///
/// Call `new` after [`Metrics::install`](crate::telemetry::Metrics::install); otherwise the handles count nothing.
/// A gauge or counter given to several owners is cloned: clones count together.
#[macro_export]
macro_rules! metrics_table {
    (
        $(#[$struct_attribute:meta])*
        $visibility:vis struct $struct:ident {
            $(
                $(#[doc = $help:literal])+
                pub $field:ident: $handle:ident $(<$inner:ident>)? = $name:literal $(, $label:literal in $values:expr)*;
            )*
        }
    ) => {
        $(#[$struct_attribute])*
        #[derive(Clone)]
        $visibility struct $struct {
            $($(#[doc = $help])+ pub $field: $crate::metrics_table!(@type $handle $(<$inner>)?),)*
        }

        impl $struct {
            /// All metrics declared here, for the reference.
            pub const DOCS: &'static [$crate::telemetry::MetricDoc] = &[
                $($crate::telemetry::MetricDoc {
                    name: $name,
                    kind: $crate::metrics_table!(@kind $handle $(<$inner>)?),
                    help: concat!($($help),+).trim_ascii(),
                    labels: &[$(($label, $values)),*],
                },)*
            ];

            /// Creates all handles, so that every series exists from the start.
            #[allow(clippy::new_without_default, reason = "making handles registers them, which Default would hide")]
            pub fn new() -> Self {
                Self {
                    $($field: $crate::telemetry::Declared::declare(&$crate::telemetry::MetricDoc {
                        name: $name,
                        kind: $crate::metrics_table!(@kind $handle $(<$inner>)?),
                        help: concat!($($help),+).trim_ascii(),
                        labels: &[$(($label, $values)),*],
                    }),)*
                }
            }
        }
    };
    (@type Family<$inner:ident>) => { $crate::telemetry::Family<$crate::telemetry::handles::$inner> };
    (@type Family2<$inner:ident>) => {
        $crate::telemetry::Family<$crate::telemetry::Family<$crate::telemetry::handles::$inner>>
    };
    (@type $handle:ident) => { $crate::telemetry::handles::$handle };
    (@kind Family<$inner:ident>) => { $crate::telemetry::MetricKind::$inner };
    (@kind Family2<$inner:ident>) => { $crate::telemetry::MetricKind::$inner };
    (@kind $handle:ident) => { $crate::telemetry::MetricKind::$handle };
}

/// A reference of metrics, `docs/metrics.md`: one table per group.
pub fn metrics_markdown(groups: &[(&str, &[MetricDoc])]) -> String {
    let mut page = "# Metrics\n\nGenerated from the declarations in `shared/src/metrics`; do not edit.\n\n\
        Served by `GET /metrics` in the text format of Prometheus. Every series is there from the start; a label takes only \
        the values listed, and `other`. A histogram is `_bucket`, `_sum` and `_count`.\n"
        .to_owned();
    for (group, metrics) in groups {
        page.push_str(&format!("\n## {group}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n"));
        for metric in *metrics {
            let kind = match metric.kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
                MetricKind::Histogram => "histogram",
            };
            let labels: Vec<String> = metric.labels.iter().map(label_markdown).collect();
            let labels = if labels.is_empty() { "–".to_owned() } else { labels.join("; ") };
            let help = metric.help.replace('|', "\\|");
            page.push_str(&format!("| `{}` | {kind} | {labels} | {help} |\n", metric.name));
        }
    }
    page
}

fn label_markdown((label, values): &LabelDoc) -> String {
    // The names of all commands would fill the page.
    const MAX_VALUES: usize = 20;
    match values.len() {
        0..MAX_VALUES => format!("`{label}`: {}", values.join(", ")),
        many => format!("`{label}`: {many} values"),
    }
}
