//! Direct messages: in a closed loop, at 200 per second, and at shares of the closed loop's rate.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::plot::Chart;
use super::section::{Section, cell};
use super::setup::{Setup, Sizes};
use super::site::Site;
use super::target::{Figure, at, number};

const CLOSED_RUNS: usize = 3;
const STORES_AND_SERVERS: [&str; 4] = ["gateway", "worker", "postgres", "redis"];
const MAX_SHOWN: usize = 8;

/// The results that `loadtest` writes.
struct Results {
    closed: Value,
    counted: Value,
    at_200: Value,
    /// By the share of the closed loop's rate, in percent.
    shares: Vec<(u32, Value)>,
}

pub fn measure(setup: &Setup) -> Result<Section> {
    let site = Site::start(setup, 2 * setup.sizes.pairs)?;
    let results = loads(&site, &setup.sizes)?;
    let mut section = Section::new("Direct messages");
    for (name, result) in results.named() {
        section.check(&name, result);
    }
    section.check("closed loop, counted", &results.counted);
    section.figures = figures(&results);
    latencies(&mut section, &setup.sizes, &results);
    costs(&mut section, &results);
    section.plots.push(("benchmarks-latency.svg".to_owned(), latency_chart(&results)));
    Ok(section)
}

fn loads(site: &Site, sizes: &Sizes) -> Result<Results> {
    let pairs = 0..2 * sizes.pairs;
    let closed = closed_loop(site, sizes)?;
    let args = ["--closed", sizes.window, "--duration", sizes.rate_for, "--count-writes"];
    let counted =
        site.loadtest("direct messages, closed loop, system calls counted", "direct", pairs.clone(), &args)?;
    let most = at(&closed, "/per_second/acknowledged").context("no rate")?;
    let at_rate = |label: &str, rate: f64| {
        let rate = format!("{rate:.1}");
        site.loadtest(label, "direct", pairs.clone(), &["--rate", rate.as_str(), "--duration", sizes.rate_for])
    };
    let at_200 = at_rate("direct messages, 200 per second", 200.0)?;
    let mut shares = Vec::new();
    for share in sizes.shares {
        let rate = (most * f64::from(*share) / 100.0).max(1.0);
        shares.push((*share, at_rate(&format!("direct messages, {share} % of the closed loop"), rate)?));
    }
    Ok(Results { closed, counted, at_200, shares })
}

/// The run of medium throughput: a machine that is shared with others is slower in some.
fn closed_loop(site: &Site, sizes: &Sizes) -> Result<Value> {
    let args = ["--closed", sizes.window, "--duration", sizes.closed_for, "--warmup", "3s"];
    let run = |number| {
        let label = format!("direct messages, closed loop, run {number} of {CLOSED_RUNS}");
        site.loadtest(&label, "direct", 0..2 * sizes.pairs, &args)
    };
    let mut runs = (1..=CLOSED_RUNS).map(run).collect::<Result<Vec<_>>>()?;
    let rate = |run: &Value| at(run, "/per_second/acknowledged").unwrap_or(0.0);
    runs.sort_by(|one, other| rate(one).total_cmp(&rate(other)));
    Ok(runs.swap_remove(runs.len() / 2))
}

impl Results {
    fn named(&self) -> impl Iterator<Item = (String, &Value)> {
        let named = [("closed loop".to_owned(), &self.closed), ("200/s".to_owned(), &self.at_200)];
        named.into_iter().chain(self.shares.iter().map(|(share, result)| (format!("{share} %"), result)))
    }
}

fn figures(results: &Results) -> Vec<Figure> {
    let closed = |pointer: &str| at(&results.closed, pointer);
    let per_1000 =
        |groups: &[&str]| groups.iter().map(|group| closed(&format!("/groups/{group}/cpu_seconds_per_1000"))).sum();
    let writes = at(&results.counted, "/groups/gateway/write_calls_per_message");
    vec![
        Figure::at_least("direct messages, closed loop", closed("/per_second/acknowledged"), 30_000.0, "/s"),
        Figure::at_most("CPU per 1,000 messages, gateways and workers", per_1000(&["gateway", "worker"]), 0.05, "s"),
        Figure::at_most("CPU per 1,000 messages, stores included", per_1000(&STORES_AND_SERVERS), 0.10, "s"),
        Figure::at_most("Postgres statements per message", closed("/postgres/calls_per_message"), 0.05, ""),
        Figure::at_most("Redis commands per message", closed("/redis/calls_per_message"), 6.0, ""),
        Figure::at_most("write system calls per message, gateways", writes, 3.0, ""),
    ]
}

fn latencies(section: &mut Section, sizes: &Sizes, results: &Results) {
    section.text(format!(
        "100 bytes each, between {} pairs; the closed loop keeps {} unanswered per sender, and its figures are of the run with the \
         median throughput of {CLOSED_RUNS}.\n\n![Latency against rate](benchmarks-latency.svg)",
        sizes.pairs, sizes.window
    ));
    let row = |(name, result): (String, &Value)| {
        let mut row = vec![name, cell(at(result, "/per_second/acknowledged"))];
        row.extend(
            ["acknowledge/p50", "acknowledge/p99", "deliver/p50", "deliver/p99", "deliver/p999", "generator_delay/p99"]
                .map(|pointer| cell(at(result, &format!("/latency_ms/{pointer}")))),
        );
        row.push(cell(at(result, "/generator_cpu_seconds")));
        row
    };
    let heads = [
        "load",
        "messages/s",
        "acknowledged p50, ms",
        "p99",
        "delivered p50, ms",
        "p99",
        "p99.9",
        "generator's own delay p99",
        "generator's CPU s",
    ];
    section.table(&heads, results.named().map(row));
}

fn costs(section: &mut Section, results: &Results) {
    section.text("CPU seconds per 1,000 messages:");
    let row = |name: &str| {
        let spent = |result: &Value| cell(at(result, &format!("/groups/{name}/cpu_seconds_per_1000")));
        vec![name.to_owned(), spent(&results.closed), spent(&results.at_200)]
    };
    section.table(&["", "closed loop", "at 200/s"], STORES_AND_SERVERS.map(row));
    for (store, what) in [("postgres", "Statements of Postgres"), ("redis", "Commands of Redis")] {
        let messages = at(&results.closed, "/counts/acknowledged").unwrap_or(1.0);
        section.text(format!("{what} in the closed loop, the most frequent:"));
        let top = results.closed.pointer(&format!("/{store}/top")).and_then(Value::as_array);
        let row = |entry: &Value| {
            let calls = entry[1].as_f64().unwrap_or(0.0);
            let name = entry[0].as_str().unwrap_or_default().replace('|', "\\|");
            let ms_each = entry[2].as_f64().unwrap_or(0.0) / calls.max(1.0);
            vec![format!("`{name}`"), number(calls / messages), number(ms_each)]
        };
        section.table(&["", "per message", "ms each"], top.into_iter().flatten().take(MAX_SHOWN).map(row));
    }
}

fn latency_chart(results: &Results) -> String {
    let mut runs: Vec<&Value> = results.shares.iter().map(|(_, result)| result).chain([&results.at_200]).collect();
    let rate = |result: &Value| at(result, "/per_second/acknowledged").unwrap_or(0.0);
    runs.sort_by(|a, b| rate(a).total_cmp(&rate(b)));
    let series = |name: &str| {
        let point = |result: &&Value| Some((rate(result), at(result, &format!("/latency_ms/deliver/{name}"))?));
        runs.iter().filter_map(point).collect::<Vec<_>>()
    };
    Chart {
        title: "Delivery of direct messages",
        x: "messages per second",
        y: "ms",
        series: vec![("p50", series("p50")), ("p99", series("p99"))],
    }
    .render()
}
