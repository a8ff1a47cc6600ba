//! Lone messages and open load beside Socket.IO: the same load against this server, and against two processes of
//! `testing/socketio` on the same stores, by turns in one session.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use devstack::ports;
use serde_json::Value;

use super::section::{Section, cell};
use super::setup::{Setup, Sizes};
use super::site::{DATABASE, Site, Watched};
use super::target::{Figure, at, median, number};
use crate::node;
use crate::workspace::Workspace;

/// Messages per second.
const RATES: [u32; 3] = [200, 2_400, 7_300];
/// Rates at which this server alone is tried, until one is not sustained.
const OPEN_LOADS: [u32; 8] = [5_000, 7_000, 9_000, 11_000, 13_000, 15_000, 17_000, 20_000];
/// A rate is sustained while 99 % of its deliveries are not slower.
const MAX_SUSTAINED_P99_MS: f64 = 50.0;
/// How many log in at once.
const LOGINS: usize = 100;
const STARTED_WITHIN: Duration = Duration::from_secs(20);

/// The medians of several runs at one rate.
#[derive(Clone, Copy, Debug, Default)]
struct AtRate {
    rate: u32,
    p50_ms: f64,
    p99_ms: f64,
    /// Of all processes and stores.
    cpu_ms_per_message: f64,
}

struct Results {
    ours: Vec<AtRate>,
    /// Empty without Node.
    socket_io: Vec<AtRate>,
}

pub fn measure(setup: &Setup) -> Result<Section> {
    let sizes = &setup.sizes;
    let site = Site::start(setup, 2 * sizes.pairs.max(LOGINS))?;
    let results = by_turns(&site, setup)?;
    let sustained = sustained(&site, sizes)?;
    let args = ["--connect-rate", "1000000", "--duration", "1s", "--rate", "100"];
    let logins = site.loadtest(&format!("{LOGINS} logins at once"), "idle", 0..LOGINS, &args)?;
    let logins_p99_ms = at(&logins, "/latency_ms/authenticate/p99");
    let mut section = Section::new("Beside Socket.IO");
    section.figures = figures(&results, sustained, logins_p99_ms);
    table(&mut section, sizes, &results);
    section.text(format!(
        "The highest of the tried rates of this server with a p99 below {MAX_SUSTAINED_P99_MS} ms: {}/s. {LOGINS} users who connect at \
         once are authenticated within {} ms (p99).",
        cell(sustained.map(f64::from)),
        cell(logins_p99_ms)
    ));
    Ok(section)
}

fn by_turns(site: &Site, setup: &Setup) -> Result<Results> {
    let sizes = &setup.sizes;
    let socket_io = SocketIo::start(site, setup.workspace)?;
    let mut results = Results { ours: Vec::new(), socket_io: Vec::new() };
    for rate in RATES {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for run in 1..=sizes.runs {
            let label = |name: &str| format!("{name}, {rate} per second, run {run} of {}", sizes.runs);
            ours.push(at_rate(site, &label("direct messages"), rate, sizes, None)?);
            if let Some(socket_io) = &socket_io {
                theirs.push(at_rate(site, &label("the same with Socket.IO"), rate, sizes, Some(socket_io))?);
            }
        }
        results.ours.push(medians(rate, &ours));
        if socket_io.is_some() {
            results.socket_io.push(medians(rate, &theirs));
        }
    }
    Ok(results)
}

/// Returns the highest of the tried rates that was sustained.
fn sustained(site: &Site, sizes: &Sizes) -> Result<Option<u32>> {
    let mut sustained = None;
    for rate in OPEN_LOADS {
        let result = at_rate(site, &format!("open load of {rate} per second"), rate, sizes, None)?;
        let p99 = at(&result, "/latency_ms/deliver/p99").unwrap_or(f64::INFINITY);
        if p99 > MAX_SUSTAINED_P99_MS || result["ok"] != true {
            break;
        }
        sustained = Some(rate);
    }
    Ok(sustained)
}

fn figures(results: &Results, sustained: Option<u32>, logins_p99_ms: Option<f64>) -> Vec<Figure> {
    let ours = |rate: u32, figure: fn(&AtRate) -> f64| results.ours.iter().find(|ours| ours.rate == rate).map(figure);
    let times_theirs = |figure: fn(&AtRate) -> f64| {
        let theirs = results.socket_io.iter().find(|theirs| theirs.rate == 200).map(figure)?;
        Some(ours(200, figure)? / theirs)
    };
    vec![
        Figure::at_most("CPU per lone message, stores included", ours(200, |at| at.cpu_ms_per_message), 0.8, "ms"),
        Figure::at_most("delivery at 200/s, p50", ours(200, |at| at.p50_ms), 1.0, "ms"),
        Figure::at_most("delivery at 200/s, p99", ours(200, |at| at.p99_ms), 2.5, "ms"),
        Figure::at_most("p50 at 200/s, as a multiple of Socket.IO's", times_theirs(|at| at.p50_ms), 1.0, ""),
        Figure::at_most("p99 at 200/s, as a multiple of Socket.IO's", times_theirs(|at| at.p99_ms), 1.0, ""),
        Figure::at_most("delivery at 2,400/s, p50", ours(2_400, |at| at.p50_ms), 2.0, "ms"),
        Figure::at_most("delivery at 2,400/s, p99", ours(2_400, |at| at.p99_ms), 8.0, "ms"),
        Figure::at_most("delivery at 7,300/s, p50", ours(7_300, |at| at.p50_ms), 5.0, "ms"),
        Figure::at_most("delivery at 7,300/s, p99", ours(7_300, |at| at.p99_ms), 20.0, "ms"),
        Figure::at_least("open load with p99 below 50 ms", sustained.map(f64::from), 15_000.0, "/s"),
        Figure::at_most("100 users authenticate at once, p99", logins_p99_ms, 50.0, "ms"),
    ]
}

fn table(section: &mut Section, sizes: &Sizes, results: &Results) {
    section.text(format!(
        "Direct messages at a fixed rate, medians of {} runs, by turns with two processes of Socket.IO (`testing/socketio`) on the \
         same stores: one INSERT for each message, and nothing checked or numbered. CPU is that of all processes and stores, \
         without the load generator.",
        sizes.runs
    ));
    let rows = results.ours.iter().enumerate().map(|(place, ours)| {
        let cells = |at: &AtRate| [at.p50_ms, at.p99_ms, at.cpu_ms_per_message].map(number);
        let mut row = vec![number(f64::from(ours.rate))];
        row.extend(cells(ours));
        row.extend(results.socket_io.get(place).map_or_else(|| [(); 3].map(|()| cell(None)), cells));
        row
    });
    let heads =
        ["messages/s", "p50, ms", "p99", "CPU per message, ms", "Socket.IO: p50, ms", "p99", "CPU per message, ms"];
    section.table(&heads, rows);
}

fn at_rate(site: &Site, label: &str, rate: u32, sizes: &Sizes, other: Option<&SocketIo>) -> Result<Value> {
    let rate = rate.to_string();
    let args = ["--rate", rate.as_str(), "--duration", sizes.rate_for];
    let users = 0..2 * sizes.pairs;
    match other {
        None => site.loadtest(label, "direct", users, &args),
        Some(socket_io) => site.loadtest_against(&socket_io.watched(), label, "direct", users, &args),
    }
}

fn medians(rate: u32, results: &[Value]) -> AtRate {
    let median = |figure: &dyn Fn(&Value) -> Option<f64>| {
        let mut values: Vec<f64> = results.iter().map(|result| figure(result).unwrap_or(f64::NAN)).collect();
        median(&mut values).unwrap_or(f64::NAN)
    };
    let cpu = |result: &Value| {
        let groups = result["groups"].as_object()?;
        let of = |group: &Value| group["cpu_seconds_per_1000"].as_f64();
        Some(groups.values().filter_map(of).sum())
    };
    AtRate {
        rate,
        p50_ms: median(&|result| at(result, "/latency_ms/deliver/p50")),
        p99_ms: median(&|result| at(result, "/latency_ms/deliver/p99")),
        cpu_ms_per_message: median(&cpu),
    }
}

/// The processes that are compared with; they end when this is dropped.
struct SocketIo {
    processes: Vec<(Child, u16)>,
}

impl SocketIo {
    /// Returns `None` without Node or its packages.
    fn start(site: &Site, workspace: &Workspace) -> Result<Option<Self>> {
        let Some(folder) = node::packages(workspace, "testing/socketio")? else { return Ok(None) };
        site.postgres.query(
            DATABASE,
            "CREATE TABLE IF NOT EXISTS socketio_messages (
                 message_id uuid PRIMARY KEY, conversation_id text NOT NULL, sender_id bigint NOT NULL,
                 recipient_id bigint NOT NULL, content text NOT NULL, created_at timestamptz NOT NULL);
             CREATE INDEX IF NOT EXISTS socketio_messages_conversation ON socketio_messages (conversation_id, created_at)",
        )?;
        let mut socket_io = Self { processes: Vec::new() };
        for _ in 0..2 {
            let port = ports::free_one()?;
            let mut command = Command::new("node");
            command.arg(folder.join("server.mjs")).env("PORT", port.to_string()).stdin(Stdio::null());
            site.set_stores(&mut command);
            let child = command.spawn().context("running node")?;
            socket_io.processes.push((child, port));
        }
        let deadline = Instant::now() + STARTED_WITHIN;
        for (_, port) in &socket_io.processes {
            while TcpStream::connect(("127.0.0.1", *port)).is_err() {
                if Instant::now() > deadline {
                    bail!("Socket.IO does not listen on port {port}");
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(Some(socket_io))
    }

    fn watched(&self) -> Watched {
        let pids: Vec<String> = self.processes.iter().map(|(child, _)| child.id().to_string()).collect();
        let url = |(_, port): &(Child, u16)| format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket");
        Watched { urls: self.processes.iter().map(url).collect(), servers: vec![("node".to_owned(), pids.join(","))] }
    }
}

impl Drop for SocketIo {
    fn drop(&mut self) {
        for (child, _) in &mut self.processes {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_middle_run_counts() {
        let run = |p50: f64, cpu: f64| {
            json!({"latency_ms": {"deliver": {"p50": p50, "p99": 2.0 * p50}},
                "groups": {"a": {"cpu_seconds_per_1000": cpu}, "b": {"cpu_seconds_per_1000": 0.5}}})
        };
        let medians = medians(200, &[run(9.0, 1.0), run(1.0, 2.0), run(2.0, 0.25)]);
        assert_eq!((medians.p50_ms, medians.p99_ms, medians.cpu_ms_per_message), (2.0, 4.0, 1.5));
    }
}
