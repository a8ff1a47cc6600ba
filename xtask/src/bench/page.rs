//! docs/benchmarks.md and its plots, from the results.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;

use super::beside::{AtRate, Beside, LOGINS, MAX_SUSTAINED_P99_MS};
use super::growth::{Cost, worst_growth};
use super::history::{Reading, UNREAD};
use super::plot::Chart;
use super::runs::{Results, Sizes};
use super::target::{Figure, at, number};
use crate::workspace::Workspace;

/// Begins the section of a measurement of its own, which a page made later keeps.
pub const ROWS_HEADING: &str = "## Many rows";

/// Puts the section about many rows at the end of a page, instead of the one that is there.
pub fn with_rows(page: &str, section: &str) -> String {
    let before = page.split(ROWS_HEADING).next().unwrap_or_default().trim_end();
    format!("{before}\n\n{}\n", section.trim_end())
}

/// The section about many rows that a page has.
pub fn rows_of(page: &str) -> Option<&str> {
    page.find(ROWS_HEADING).and_then(|at| page.get(at..))
}

/// Returns file names and contents.
pub fn render(
    workspace: &Workspace,
    sizes: &Sizes,
    results: &Results,
    beside: &Beside,
    readings: &[Reading],
    costs_grown: &[Cost],
) -> Vec<(String, String)> {
    let mut page = String::from("# Benchmarks\n\n");
    let kind = if sizes.quick { "`cargo xtask bench --quick`" } else { "`cargo xtask bench`" };
    let _ = writeln!(
        page,
        "Written by {kind}; change nothing by hand. Servers, stores and the load generator share the machine. Open-loop \
         latencies count from when a message was due, from the sender to the recipient; every run checks that nothing was \
         lost, doubled or swapped.\n"
    );
    machine(&mut page, workspace, results);
    figures(&mut page, sizes, results, beside, readings, costs_grown);
    socket_io(&mut page, beside);
    direct(&mut page, sizes, results);
    costs(&mut page, results);
    others(&mut page, sizes, results);
    history(&mut page, sizes, readings);
    growth(&mut page, costs_grown);
    vec![
        ("benchmarks.md".to_owned(), page),
        ("benchmarks-latency.svg".to_owned(), latency_chart(results)),
        ("benchmarks-memory.svg".to_owned(), memory_chart(results)),
        ("benchmarks-growth.svg".to_owned(), growth_chart(costs_grown)),
    ]
}

pub fn table(page: &mut String, heads: &[&str], rows: &[Vec<String>]) {
    let line = |page: &mut String, cells: &[String]| {
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    };
    line(page, &heads.iter().map(|head| (*head).to_owned()).collect::<Vec<_>>());
    line(
        page,
        &heads
            .iter()
            .enumerate()
            .map(|(place, _)| if place == 0 { "---" } else { "---:" }.to_owned())
            .collect::<Vec<_>>(),
    );
    rows.iter().for_each(|row| line(page, row));
    page.push('\n');
}

fn machine(page: &mut String, workspace: &Workspace, results: &Results) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?");
        line.trim_start_matches([':', ' ', '\t']).trim().to_owned()
    };
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let memory: f64 = after(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0.0);
    let git = Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(&workspace.root).output();
    let commit = git.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let settings: Vec<String> = results.settings.iter().map(|(name, value)| format!("`{name}={value}`")).collect();
    let rows = [
        ("processor", format!("{cpus} × {}", after(&read("/proc/cpuinfo"), "model name"))),
        ("memory", format!("{:.0} GiB", memory / (1024.0 * 1024.0))),
        ("system", format!("Linux {}", read("/proc/sys/kernel/osrelease").trim())),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("commit", commit),
        ("fleet", "2 gateways, 2 workers; release build".to_owned()),
        ("stores", "PostgreSQL with `fsync` and `synchronous_commit` on, Redis with its append-only file".to_owned()),
        ("settings", settings.join(" ")),
    ];
    table(page, &["", ""], &rows.map(|(name, value)| vec![name.to_owned(), value]));
}

const MIB: f64 = 1024.0 * 1024.0;

fn figures(
    page: &mut String,
    sizes: &Sizes,
    results: &Results,
    beside: &Beside,
    readings: &[Reading],
    costs_grown: &[Cost],
) {
    let ours = |rate: u32, figure: fn(&AtRate) -> f64| beside.ours.iter().find(|ours| ours.rate == rate).map(figure);
    let per_1000 = |groups: &[&str]| {
        groups.iter().map(|group| at(&results.closed, &format!("/groups/{group}/cpu_seconds_per_1000"))).sum()
    };
    let largest = results.idle.last().map(|(_, result)| result);
    let kib = |name: &str| {
        largest.and_then(|result| at(result, &format!("/groups/gateway/{name}"))).map(|bytes| bytes / 1024.0)
    };
    let ms = |result: &Value, pointer: &str| at(result, &format!("/latency_ms/{pointer}"));
    let reading =
        |words: &str| readings.iter().filter(|reading| reading.name.contains(words)).map(|r| r.ms).reduce(f64::max);
    let list = [
        Figure::at_least(
            "direct messages, closed loop",
            at(&results.closed, "/per_second/acknowledged"),
            30_000.0,
            "/s",
        ),
        Figure::at_most("CPU per 1,000 messages, gateways and workers", per_1000(&["gateway", "worker"]), 0.05, "s"),
        Figure::at_most(
            "CPU per 1,000 messages, stores included",
            per_1000(&["gateway", "worker", "postgres", "redis"]),
            0.10,
            "s",
        ),
        Figure::at_most("CPU per lone message, stores included", ours(200, |at| at.cpu_ms_per_message), 0.8, "ms"),
        Figure::at_most("delivery at 200/s, p50", ours(200, |at| at.p50_ms), 1.0, "ms"),
        Figure::at_most("delivery at 200/s, p99", ours(200, |at| at.p99_ms), 2.5, "ms"),
        Figure::at_most("delivery at 2,400/s, p50", ours(2_400, |at| at.p50_ms), 2.0, "ms"),
        Figure::at_most("delivery at 2,400/s, p99", ours(2_400, |at| at.p99_ms), 8.0, "ms"),
        Figure::at_most("delivery at 7,300/s, p50", ours(7_300, |at| at.p50_ms), 5.0, "ms"),
        Figure::at_most("delivery at 7,300/s, p99", ours(7_300, |at| at.p99_ms), 20.0, "ms"),
        Figure::at_least("open load with p99 below 50 ms", beside.sustained.map(f64::from), 15_000.0, "/s"),
        Figure::at_least("groups of 50, deliveries", at(&results.groups, "/per_second/delivered"), 150_000.0, "/s"),
        Figure::at_most("community, until the last has it", ms(&results.community, "to_the_last/max"), 250.0, "ms"),
        Figure::at_most("gateway memory per idle connection", kib("rss_per_connection_bytes"), 3.3, "KiB"),
        Figure::at_most("and after a message each way", kib("rss_growth_per_connection_bytes"), 1.0, "KiB more"),
        Figure::at_most("gateway without connections", Some(results.empty_gateway_bytes as f64 / 1e6), 12.0, "MB"),
        Figure::at_most("worker without work", Some(results.empty_worker_bytes as f64 / 1e6), 25.0, "MB"),
        Figure::at_most("storm, all back and replayed", at(&results.storm, "/seconds/all_replayed"), 1.2, "s"),
        Figure::at_most("authentication at 100/s, p50", ms(&results.logins, "authenticate/p50"), 5.0, "ms"),
        Figure::at_most("100 users authenticate at once, p99", beside.logins_p99_ms, 50.0, "ms"),
        Figure::at_most(
            "Postgres statements per message",
            at(&results.closed, "/postgres/calls_per_message"),
            0.05,
            "",
        ),
        Figure::at_most("Redis commands per message", at(&results.closed, "/redis/calls_per_message"), 6.0, ""),
        Figure::at_most(
            "write system calls per message, gateways",
            at(&results.counted, "/groups/gateway/write_calls_per_message"),
            3.0,
            "",
        ),
        Figure::at_most("history page, database time", reading("page "), 5.0, "ms"),
        Figure::at_most("list of conversations, database time", reading("list"), 5.0, "ms"),
        Figure::at_most(
            "cost of a message, growth along the worst axis",
            worst_growth(costs_grown).map(|share| share * 100.0),
            10.0,
            "%",
        ),
    ];
    page.push_str("## Targets\n\n");
    if sizes.quick {
        page.push_str("Sizes were smaller than those the targets are about.\n\n");
    }
    let row =
        |figure: &Figure| vec![figure.name.to_owned(), figure.shown_value(), figure.shown_target(), figure.verdict()];
    table(page, &["figure", "measured", "target", ""], &list.iter().map(row).collect::<Vec<_>>());
    page.push_str(
        "What bounds the figures that are missed, and what it would take, is in \
         [performance](performance.md#what-limits-the-figures-that-miss-their-target).\n\n",
    );
    let checked = results.every().all(|(_, result)| result["ok"] == true);
    if checked {
        page.push_str("In every run everything arrived once and in order.\n\n");
    } else {
        let failed: Vec<String> = results
            .every()
            .filter(|(_, result)| result["ok"] != true)
            .map(|(name, result)| format!("{name}: `{}` `{}`", result["verification"], result["failures"]))
            .collect();
        let _ = writeln!(page, "**Not everything arrived once and in order:** {}\n", failed.join("; "));
    }
}

fn socket_io(page: &mut String, beside: &Beside) {
    page.push_str("## Beside Socket.IO\n\n");
    let _ = writeln!(
        page,
        "Direct messages at a fixed rate, medians of {} runs, by turns with two processes of Socket.IO (`testing/socketio`) on the \
         same stores: one INSERT for each message, and nothing checked or numbered. CPU is that of all processes and stores, \
         without the load generator.\n",
        beside.runs
    );
    let rows = beside.ours.iter().enumerate().map(|(place, ours)| {
        let theirs = beside.socket_io.get(place);
        let cells = |at: &AtRate| [at.p50_ms, at.p99_ms, at.cpu_ms_per_message].map(number);
        let mut row = vec![number(f64::from(ours.rate))];
        row.extend(cells(ours));
        row.extend(theirs.map_or_else(|| ["–"; 3].map(str::to_owned), cells));
        row
    });
    let heads =
        ["messages/s", "p50, ms", "p99", "CPU per message, ms", "Socket.IO: p50, ms", "p99", "CPU per message, ms"];
    table(page, &heads, &rows.collect::<Vec<_>>());
    let sustained = beside.sustained.map_or("–".to_owned(), |rate| format!("{}/s", number(f64::from(rate))));
    let _ = writeln!(
        page,
        "The highest of the tried rates of this server with a p99 below {MAX_SUSTAINED_P99_MS} ms: {sustained}. {LOGINS} users who \
         connect at once are authenticated within {} ms (p99).\n",
        beside.logins_p99_ms.map_or("–".to_owned(), number)
    );
}

impl Results {
    fn every(&self) -> impl Iterator<Item = (String, &Value)> {
        let named = [
            ("closed loop", &self.closed),
            ("200/s", &self.at_200),
            ("closed loop counted", &self.counted),
            ("groups", &self.groups),
            ("community", &self.community),
            ("storm", &self.storm),
            ("logins", &self.logins),
        ];
        let named = named.into_iter().map(|(name, result)| (name.to_owned(), result));
        let shares = self.shares.iter().map(|(share, result)| (format!("{share} %"), result));
        let idle = self.idle.iter().map(|(connections, result)| (format!("{connections} idle"), result));
        named.chain(shares).chain(idle)
    }
}

fn direct(page: &mut String, sizes: &Sizes, results: &Results) {
    let _ = writeln!(
        page,
        "## Direct messages\n\n100 bytes each, between {} pairs; the closed loop keeps {} unanswered per sender, \
         and its figures are of the run with the median throughput of three.\n\n\
         ![Latency against rate](benchmarks-latency.svg)\n",
        sizes.pairs, sizes.window
    );
    let named = [("closed loop".to_owned(), &results.closed), ("200/s".to_owned(), &results.at_200)];
    let shares = results.shares.iter().map(|(share, result)| (format!("{share} %"), result));
    let row = |(name, result): (String, &Value)| {
        let cell = |pointer: &str| at(result, pointer).map(number).unwrap_or_default();
        let mut row = vec![name, cell("/per_second/acknowledged")];
        row.extend(
            ["acknowledge/p50", "acknowledge/p99", "deliver/p50", "deliver/p99", "deliver/p999", "generator_delay/p99"]
                .map(|pointer| cell(&format!("/latency_ms/{pointer}"))),
        );
        row.push(cell("/generator_cpu_seconds"));
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
    table(page, &heads, &named.into_iter().chain(shares).map(row).collect::<Vec<_>>());
}

fn costs(page: &mut String, results: &Results) {
    page.push_str("## Cost per 1,000 direct messages\n\n");
    let row = |name: &str| {
        let cell = |result: &Value| {
            at(result, &format!("/groups/{name}/cpu_seconds_per_1000")).map(number).unwrap_or_default()
        };
        vec![name.to_owned(), cell(&results.closed), cell(&results.at_200)]
    };
    let rows = ["gateway", "worker", "postgres", "redis"].map(row);
    table(page, &["CPU seconds", "closed loop", "at 200/s"], &rows);
    for (store, what) in [("postgres", "Statements of Postgres"), ("redis", "Commands of Redis")] {
        let messages = at(&results.closed, "/counts/acknowledged").unwrap_or(1.0);
        let _ = writeln!(page, "{what} in the closed loop, the most frequent:\n");
        let top = results.closed.pointer(&format!("/{store}/top")).and_then(Value::as_array);
        let row = |entry: &Value| {
            let calls = entry[1].as_f64().unwrap_or(0.0);
            let name = entry[0].as_str().unwrap_or_default().replace('|', "\\|");
            vec![
                format!("`{name}`"),
                number(calls / messages),
                number(entry[2].as_f64().unwrap_or(0.0) / calls.max(1.0)),
            ]
        };
        let rows: Vec<Vec<String>> = top.into_iter().flatten().take(8).map(row).collect();
        table(page, &["", "per message", "ms each"], &rows);
    }
}

fn others(page: &mut String, sizes: &Sizes, results: &Results) {
    page.push_str("## Memory\n\n![Memory against connections](benchmarks-memory.svg)\n\n");
    let row = |(connections, result): &(usize, Value)| {
        let cell = |name: &str, unit: f64| {
            at(result, &format!("/groups/gateway/{name}")).map(|bytes| number(bytes / unit)).unwrap_or_default()
        };
        vec![
            number(*connections as f64),
            cell("rss_connected_bytes", MIB),
            cell("rss_per_connection_bytes", 1024.0),
            cell("rss_growth_per_connection_bytes", 1024.0),
        ]
    };
    let heads = [
        "idle connections, with permessage-deflate",
        "both gateways, MiB",
        "KiB each",
        "KiB more after a message each way",
    ];
    table(page, &heads, &results.idle.iter().map(row).collect::<Vec<_>>());

    page.push_str("## Fan-out, logins, storm\n\n");
    let shown = |result: &Value, pointer: &str, unit: &str| {
        at(result, pointer).map_or("–".to_owned(), |value| format!("{} {unit}", number(value)))
    };
    let rows = [
        (
            format!("{} groups of {}: deliveries", sizes.groups, sizes.group_members),
            shown(&results.groups, "/per_second/delivered", "/s"),
        ),
        ("until the last member has it, p50".to_owned(), shown(&results.groups, "/latency_ms/to_the_last/p50", "ms")),
        (
            format!("community of {}: until the last has it, p50", sizes.community),
            shown(&results.community, "/latency_ms/to_the_last/p50", "ms"),
        ),
        ("the slowest".to_owned(), shown(&results.community, "/latency_ms/to_the_last/max", "ms")),
        (
            format!("storm of {}, 5 messages missed each: all authenticated", sizes.storm),
            shown(&results.storm, "/seconds/all_authenticated", "s"),
        ),
        ("all replayed".to_owned(), shown(&results.storm, "/seconds/all_replayed", "s")),
        ("authentication at 100/s, p50".to_owned(), shown(&results.logins, "/latency_ms/authenticate/p50", "ms")),
        ("p99".to_owned(), shown(&results.logins, "/latency_ms/authenticate/p99", "ms")),
    ];
    table(page, &["", ""], &rows.map(|(name, value)| vec![name, value]));
}

fn history(page: &mut String, sizes: &Sizes, readings: &[Reading]) {
    let _ = writeln!(
        page,
        "## Reading\n\nDatabase time (planning and execution, median) of all statements of one request, in a database of {} \
         messages, {} of them in one conversation, and a user with {} conversations, {UNREAD} unread in each.\n",
        number(sizes.messages as f64),
        number(sizes.long_conversation as f64),
        number(sizes.conversations as f64)
    );
    let row = |reading: &Reading| {
        let scanned = if reading.scanned.is_empty() {
            "indexes".to_owned()
        } else {
            format!("**scans {}**", reading.scanned.join(", "))
        };
        vec![reading.name.to_owned(), number(reading.ms), reading.buffers.to_string(), scanned]
    };
    table(page, &["request", "ms", "buffers", "by"], &readings.iter().map(row).collect::<Vec<_>>());
}

fn growth(page: &mut String, costs: &[Cost]) {
    page.push_str(
        "## Growth\n\nThe same closed loop of direct messages, each time by new processes with an empty Redis, in a database of \
         its own that is empty at first.\n\n![Cost against growth](benchmarks-growth.svg)\n\n",
    );
    let row = |cost: &Cost| vec![cost.axis.to_owned(), cost.at.clone(), number(cost.cpu_seconds), number(cost.rate)];
    let heads = ["", "at", "CPU seconds per 1,000 messages, stores included", "messages/s"];
    table(page, &heads, &costs.iter().map(row).collect::<Vec<_>>());
}

fn growth_chart(costs: &[Cost]) -> String {
    let axes = ["messages stored", "users", "partitions", "gateways + workers"];
    let series = |axis: &&'static str| {
        let of_axis: Vec<f64> = costs.iter().filter(|cost| cost.axis == *axis).map(|cost| cost.cpu_seconds).collect();
        let first = of_axis.first().copied().unwrap_or(1.0);
        (*axis, of_axis.iter().enumerate().map(|(place, cost)| (place as f64, cost / first)).collect())
    };
    Chart {
        title: "Cost of a message from the small end of each axis to the large one",
        x: "0: small, 1: large",
        y: "CPU time, as a multiple",
        series: axes.iter().map(series).collect(),
    }
    .render()
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

fn memory_chart(results: &Results) -> String {
    let series = |name: &str| {
        let before = results.idle.first().and_then(|(_, result)| at(result, "/groups/gateway/rss_before_bytes"));
        let first = before.map(|bytes| (0.0, bytes / MIB));
        let point = |(connections, result): &(usize, Value)| {
            Some((*connections as f64, at(result, &format!("/groups/gateway/{name}"))? / MIB))
        };
        first.into_iter().chain(results.idle.iter().filter_map(point)).collect::<Vec<_>>()
    };
    Chart {
        title: "Memory of both gateways",
        x: "idle connections",
        y: "MiB",
        series: vec![("idle", series("rss_connected_bytes")), ("after a message", series("rss_after_bytes"))],
    }
    .render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_about_many_rows_is_replaced_and_kept() {
        let first = with_rows("# Benchmarks\n\n## Growth\n\ntable\n", "## Many rows\n\n1\n\n");
        assert_eq!(first, "# Benchmarks\n\n## Growth\n\ntable\n\n## Many rows\n\n1\n");
        assert_eq!(rows_of(&first), Some("## Many rows\n\n1\n"));
        assert_eq!(with_rows(&first, "## Many rows\n\n2\n"), first.replace('1', "2"));
        assert_eq!(rows_of("# Benchmarks\n"), None);
    }
}
