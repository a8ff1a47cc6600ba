//! The result of a run: as JSON for programs, as tables for people.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::histogram::Summary;
use crate::observe::Look;
use crate::observe::processes::{Group, Usage};
use crate::plan::{Pace, Scenario};
use crate::table::{number, render};
use crate::tally::Tally;
use crate::verify::Verdict;

/// Statements and commands shown, by calls.
const MAX_SHOWN: usize = 12;
const SHOWN_CHARS: usize = 100;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub scenario: Scenario,
    pub pace: Pace,
    pub urls: Vec<String>,
    pub connections: usize,
    pub processes: usize,
    pub deflate: bool,
    pub duration_seconds: f64,
    /// Nothing lost, doubled, swapped, unanswered or closed, and no login failed.
    pub ok: bool,
    pub verification: Verdict,
    pub failures: BTreeMap<String, u64>,
    pub refused: BTreeMap<String, u64>,
    /// Of the measured time.
    pub counts: BTreeMap<String, u64>,
    pub per_second: BTreeMap<String, f64>,
    pub seconds: BTreeMap<String, f64>,
    pub latency_ms: BTreeMap<String, Summary>,
    pub groups: BTreeMap<String, GroupCost>,
    pub postgres: Option<StoreCost>,
    pub redis: Option<StoreCost>,
    /// The CPU time of the load generator itself.
    pub generator_cpu_seconds: f64,
}

/// What the processes of one name spent in the measured time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GroupCost {
    pub cpu_seconds: f64,
    /// Per 1,000 messages acknowledged.
    pub cpu_seconds_per_1000: Option<f64>,
    /// Write system calls per message; `None` where they were not counted.
    pub write_calls_per_message: Option<f64>,
    pub rss_before_bytes: u64,
    pub rss_connected_bytes: u64,
    pub rss_after_bytes: u64,
    /// What connecting added, per connection.
    pub rss_per_connection_bytes: f64,
    /// The growth during the run, per connection.
    pub rss_growth_per_connection_bytes: f64,
}

/// Statements of Postgres, commands of Redis.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StoreCost {
    /// Commits; 0 for Redis.
    pub commits: u64,
    pub calls: u64,
    pub calls_per_message: Option<f64>,
    pub busy_ms: f64,
    /// The most frequent ones: name, calls, milliseconds.
    pub top: Vec<(String, u64, f64)>,
}

/// The snapshots of the directing process, and their times.
pub struct Looks {
    pub before: Vec<Usage>,
    pub connected: Vec<Usage>,
    pub begin: Look,
    pub end: Look,
    pub after: Vec<Usage>,
    /// Write system calls of the measured time.
    pub writes: Vec<Option<u64>>,
}

impl Report {
    pub fn cost(tally: &Tally, groups: &[Group], looks: &Looks, connections: usize) -> BTreeMap<String, GroupCost> {
        let messages = Some(tally.count("acknowledged")).filter(|count| *count > 0).map(|count| count as f64);
        let zero = Usage::default();
        let at = |usages: &[Usage], place: usize| *usages.get(place).unwrap_or(&zero);
        let mut costs = BTreeMap::new();
        for (place, group) in groups.iter().enumerate() {
            let (begin, end) = (at(&looks.begin.usages, place), at(&looks.end.usages, place));
            let [before, connected, after] =
                [&looks.before, &looks.connected, &looks.after].map(|usages| at(usages, place).rss_bytes);
            let cpu_seconds = end.cpu_seconds - begin.cpu_seconds;
            let writes = looks.writes.get(place).copied().flatten();
            let per_connection = |from: u64, to: u64| (to as f64 - from as f64) / connections.max(1) as f64;
            let cost = GroupCost {
                cpu_seconds,
                cpu_seconds_per_1000: messages.map(|messages| cpu_seconds * 1000.0 / messages),
                write_calls_per_message: messages.zip(writes).map(|(messages, writes)| writes as f64 / messages),
                rss_before_bytes: before,
                rss_connected_bytes: connected,
                rss_after_bytes: after,
                rss_per_connection_bytes: per_connection(before, connected),
                rss_growth_per_connection_bytes: per_connection(connected, after),
            };
            costs.insert(group.name.clone(), cost);
        }
        costs
    }

    pub fn postgres_cost(tally: &Tally, looks: &Looks) -> Option<StoreCost> {
        let (begin, end) = (looks.begin.postgres.as_ref()?, looks.end.postgres.as_ref()?);
        let spent = end.statements.iter().map(|(query, (calls, ms))| {
            let (calls_before, ms_before) = begin.statements.get(query).copied().unwrap_or_default();
            (query.split_ascii_whitespace().collect::<Vec<_>>().join(" "), calls - calls_before, ms - ms_before)
        });
        Some(StoreCost { commits: end.commits - begin.commits, ..StoreCost::of(tally, spent.collect()) })
    }

    pub fn redis_cost(tally: &Tally, looks: &Looks) -> Option<StoreCost> {
        let (begin, end) = (looks.begin.redis.as_ref()?, looks.end.redis.as_ref()?);
        let spent = end.iter().map(|(name, (calls, us))| {
            let (calls_before, us_before) = begin.get(name).copied().unwrap_or_default();
            (name.clone(), calls.saturating_sub(calls_before), us.saturating_sub(us_before) as f64 / 1000.0)
        });
        Some(StoreCost::of(tally, spent.collect()))
    }
}

impl StoreCost {
    fn of(tally: &Tally, mut spent: Vec<(String, u64, f64)>) -> Self {
        spent.retain(|(_, calls, _)| *calls > 0);
        spent.sort_by_key(|(_, calls, _)| std::cmp::Reverse(*calls));
        let calls = spent.iter().map(|(_, calls, _)| calls).sum();
        let busy_ms = spent.iter().map(|(_, _, ms)| ms).sum();
        spent.truncate(MAX_SHOWN);
        for (name, ..) in &mut spent {
            *name = name.chars().take(SHOWN_CHARS).collect();
        }
        let messages = tally.count("acknowledged");
        let calls_per_message = (messages > 0).then(|| calls as f64 / messages as f64);
        Self { commits: 0, calls, calls_per_message, busy_ms, top: spent }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pace = match self.pace {
            Pace::Rate(rate) => format!("{} per second", number(rate)),
            Pace::Window(window) => format!("closed loop, {window} unanswered per sender"),
        };
        writeln!(
            f,
            "{}: {} connections, {pace}, {} s measured",
            self.scenario.name(),
            self.connections,
            number(self.duration_seconds)
        )?;
        self.show_counts(f)?;
        self.show_latencies(f)?;
        self.show_costs(f)?;
        for (what, counts) in [("refused", &self.refused), ("failed", &self.failures)] {
            for (name, count) in counts {
                writeln!(f, "  {what}: {count} times {name}")?;
            }
        }
        let verdict = &self.verification;
        writeln!(
            f,
            "{}: of {} expected deliveries {} lost, {} doubled, {} out of order, {} gaps in seq; {} unanswered, {} closed",
            if self.ok { "verified" } else { "FAILED" },
            verdict.expected,
            verdict.lost,
            verdict.duplicates,
            verdict.out_of_order,
            verdict.seq_gaps,
            verdict.unanswered,
            verdict.closed
        )?;
        verdict.examples.iter().try_for_each(|example| writeln!(f, "  {example}"))
    }
}

impl Report {
    fn show_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["count", "total", "per second"].map(str::to_owned).to_vec()];
        for (name, count) in &self.counts {
            let rate = self.per_second.get(name).copied().unwrap_or_default();
            rows.push(vec![name.clone(), count.to_string(), number(rate)]);
        }
        write!(f, "\n{}", render(&rows))?;
        for (name, seconds) in &self.seconds {
            writeln!(f, "  {name}: {} s", number(*seconds))?;
        }
        Ok(())
    }

    fn show_latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["latency, ms", "count", "mean", "p50", "p90", "p99", "p99.9", "max"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        for (name, of) in &self.latency_ms {
            let mut row = vec![name.clone(), of.count.to_string()];
            row.extend([of.mean, of.p50, of.p90, of.p99, of.p999, of.max].map(number));
            rows.push(row);
        }
        write!(f, "\n{}", render(&rows))
    }

    fn show_costs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["process", "CPU s", "CPU s per 1,000", "writes each", "RSS MB", "KiB per connection", "then"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        let optional = |value: Option<f64>| value.map(number).unwrap_or_default();
        for (name, cost) in &self.groups {
            rows.push(vec![
                name.clone(),
                number(cost.cpu_seconds),
                optional(cost.cpu_seconds_per_1000),
                optional(cost.write_calls_per_message),
                number(cost.rss_after_bytes as f64 / 1e6),
                number(cost.rss_per_connection_bytes / 1024.0),
                number(cost.rss_growth_per_connection_bytes / 1024.0),
            ]);
        }
        rows.push(vec!["loadtest".to_owned(), number(self.generator_cpu_seconds)]);
        write!(f, "\n{}", render(&rows))?;
        for (name, store) in [("Postgres statements", &self.postgres), ("Redis commands", &self.redis)] {
            let Some(store) = store else { continue };
            writeln!(
                f,
                "\n{name}: {} ({} per message, {} ms), {} commits",
                store.calls,
                optional(store.calls_per_message),
                number(store.busy_ms),
                store.commits
            )?;
            let row = |(name, calls, ms): &(String, u64, f64)| vec![name.clone(), calls.to_string(), number(*ms)];
            write!(f, "{}", render(&store.top.iter().map(row).collect::<Vec<_>>()))?;
        }
        writeln!(f)
    }
}
