//! The declaration of a service's metrics: each once, with its help text. Makes the handles for the hot path and the table for
//! the reference.

use std::collections::HashMap;

use metrics::{Counter, Gauge, Histogram, Label, Unit};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric, as the reference shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricDoc {
    pub name: &'static str,
    pub kind: MetricKind,
    pub help: &'static str,
    /// The label and all its values, apart from `other`.
    pub label: Option<(&'static str, &'static [&'static str])>,
}

/// One metric under a label with a fixed set of values, all there from the start. Any other value counts as `other`, so that
/// nothing from outside makes new series.
#[derive(Clone)]
pub struct Family<H> {
    handles: HashMap<&'static str, H>,
    other: H,
}

impl<H: Handle> Family<H> {
    fn new(name: &'static str, label: &'static str, values: &'static [&'static str]) -> Self {
        let handle = |value: &'static str| H::register(name, vec![Label::from_static_parts(label, value)]);
        Self { handles: values.iter().map(|value| (*value, handle(value))).collect(), other: handle("other") }
    }

    /// The handle for a value of the label.
    pub fn with(&self, value: &str) -> &H {
        self.handles.get(value).unwrap_or(&self.other)
    }
}

/// What a metric is worked with: a counter, a gauge, a histogram, or a family of one of them.
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

/// Makes the handle for a declaration; called by [`metrics_table!`](crate::metrics_table).
#[doc(hidden)]
pub trait Declared: Sized {
    fn declare(doc: &MetricDoc) -> Self;
}

impl<H: Handle> Declared for H {
    fn declare(doc: &MetricDoc) -> Self {
        H::describe(doc.name, doc.help);
        H::register(doc.name, Vec::new())
    }
}

impl<H: Handle> Declared for Family<H> {
    fn declare(doc: &MetricDoc) -> Self {
        H::describe(doc.name, doc.help);
        let (label, values) = doc.label.unwrap_or(("kind", &[]));
        Family::new(doc.name, label, values)
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
///     }
/// }
///
/// let metrics = ExampleMetrics::new();
/// metrics.connections.increment(1.0);
/// metrics.errors.with("INTERNAL_ERROR").increment(1);
/// metrics.answer_seconds.record(0.004);
/// assert_eq!(ExampleMetrics::DOCS[1].help, "Errors sent to clients, by code.");
/// ```
///
/// `new` has to come after [`Metrics::install`](crate::telemetry::Metrics::install); otherwise the handles count nothing.
/// A gauge or counter given to several owners is cloned: clones count together.
#[macro_export]
macro_rules! metrics_table {
    (
        $(#[$struct_attribute:meta])*
        $visibility:vis struct $struct:ident {
            $(
                $(#[doc = $help:literal])+
                pub $field:ident: $handle:ident $(<$inner:ident>)? = $name:literal $(, $label:literal in $values:expr)?;
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
                    label: $crate::metrics_table!(@label $($label in $values)?),
                },)*
            ];

            /// Makes all handles, so that every series is there from the start.
            #[allow(clippy::new_without_default, reason = "making handles registers them, which Default would hide")]
            pub fn new() -> Self {
                Self {
                    $($field: $crate::telemetry::Declared::declare(&$crate::telemetry::MetricDoc {
                        name: $name,
                        kind: $crate::metrics_table!(@kind $handle $(<$inner>)?),
                        help: concat!($($help),+).trim_ascii(),
                        label: $crate::metrics_table!(@label $($label in $values)?),
                    }),)*
                }
            }
        }
    };
    (@type Family<$inner:ident>) => { $crate::telemetry::Family<$crate::telemetry::handles::$inner> };
    (@type $handle:ident) => { $crate::telemetry::handles::$handle };
    (@kind Family<$inner:ident>) => { $crate::telemetry::MetricKind::$inner };
    (@kind $handle:ident) => { $crate::telemetry::MetricKind::$handle };
    (@label) => { None };
    (@label $label:literal in $values:expr) => { Some(($label, $values)) };
}

/// A reference of metrics, `docs/metrics.md`: one table per group.
pub fn metrics_markdown(groups: &[(&str, &[MetricDoc])]) -> String {
    let mut page = "# Metrics\n\nGenerated from the declarations in `shared/src/metrics`; do not edit.\n\n\
        Served by `GET /metrics` in the text format of Prometheus. Every series is there from the start; a label takes only \
        the values listed, and `other`. A histogram is `_bucket`, `_sum` and `_count`.\n"
        .to_owned();
    for (group, metrics) in groups {
        page.push_str(&format!("\n## {group}\n\n| metric | kind | label | meaning |\n|---|---|---|---|\n"));
        for metric in *metrics {
            let kind = match metric.kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
                MetricKind::Histogram => "histogram",
            };
            let label = metric.label.map_or("–".to_owned(), |(label, values)| {
                // The names of all commands would fill the page.
                const MOST_VALUES: usize = 20;
                match values.len() {
                    0..MOST_VALUES => format!("`{label}`: {}", values.join(", ")),
                    many => format!("`{label}`: {many} values"),
                }
            });
            let help = metric.help.replace('|', "\\|");
            page.push_str(&format!("| `{}` | {kind} | {label} | {help} |\n", metric.name));
        }
    }
    page
}
