//! What queries cost the primary, with and without a replica.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use devstack::Scratch;
use serde_json::Value;

use super::section::{Section, cell};
use super::setup::Setup;
use super::site::{DATABASE, Site};
use super::target::{at, median};

const QUERIES: [(&str, &str); 4] = [
    ("newest page, from the cache", "newest_page"),
    ("a page by its number", "page_by_seq"),
    ("list of conversations", "conversations"),
    ("inbox", "inbox"),
];
/// How they are asked for: at a rate at which they are alone, and so that several wait together.
const PACES: [(&str, [&str; 2]); 2] = [("one at a time", ["--rate", "100"]), ("eight at a time", ["--closed", "4"])];
const ANSWERED_BY_REPLICA: &str = "chat_worker_queries_total{database=\"replica\"}";

/// The cost of one query, by who had it.
#[derive(Default)]
struct Costs {
    primary_us: Vec<f64>,
    replica_us: Vec<f64>,
    p50_ms: Vec<f64>,
    /// Percent of the queries.
    at_replica: Vec<f64>,
}

pub fn measure(setup: &Setup) -> Result<Section> {
    let mut site = Site::start(setup, 2)?;
    let scratch = Scratch::new("bench-replica")?;
    let replica = site.postgres.replicate(scratch.dir())?;
    let pid = replica.pid().context("the replica's process")?;
    let (mut alone, mut with) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..setup.sizes.rounds {
        for (url, costs) in [("", &mut alone), (replica.url(DATABASE).as_str(), &mut with)] {
            site.set_of_workers("DATABASE_REPLICA_URL", url)?;
            round(&site, setup.sizes.rate_for, pid, costs)?;
        }
    }
    let mut section = Section::new("Replica");
    section.text(format!(
        "CPU time of PostgreSQL for one query, less what it uses when idle: all processes of the primary with and without \
         `DATABASE_REPLICA_URL`, and of the replica; medians, measured by turns {} times. Two users with at least 400 messages between them ask (`loadtest \
         history`), at 100 queries a second or with eight unanswered.",
        setup.sizes.rounds
    ));
    let mut rows = Vec::new();
    for (name, of) in &mut alone {
        let Some(with) = with.get_mut(name) else { continue };
        let columns = [
            &mut of.primary_us,
            &mut with.primary_us,
            &mut with.replica_us,
            &mut with.at_replica,
            &mut of.p50_ms,
            &mut with.p50_ms,
        ];
        let mut row = vec![format!("{}, {}", QUERIES[name.0].0, PACES[name.1].0)];
        row.extend(columns.map(|values| cell(median(values))));
        rows.push(row);
    }
    let heads = [
        "query",
        "primary alone, µs",
        "primary, with a replica",
        "replica",
        "answered by the replica, %",
        "p50 alone, ms",
        "p50 with a replica",
    ];
    section.table(&heads, rows);
    Ok(section)
}

/// Measures every query at every pace; `costs` are by their places in the lists.
fn round(site: &Site, duration: &str, replica: u32, costs: &mut BTreeMap<(usize, usize), Costs>) -> Result<()> {
    let mut watched = site.watched();
    watched.servers.push(("replica".to_owned(), replica.to_string()));
    let how = if costs.is_empty() { "first round" } else { "another round" };
    let run = |what: &str, scenario: &str, args: &[&str]| {
        site.loadtest_against(
            &watched,
            &format!("{what}, {how}"),
            scenario,
            0..2,
            &[args, &["--duration", duration]].concat(),
        )
    };
    let idle = run("idle", "idle", &["--silent"])?;
    for (query, (name, request)) in QUERIES.iter().enumerate() {
        for (pace, (paced, pace_args)) in PACES.iter().enumerate() {
            let before = site.counted_by_workers(ANSWERED_BY_REPLICA)?;
            let args = [&["--requests", request, "--preload", "200"], pace_args.as_slice()].concat();
            let result = run(&format!("{name}, {paced}"), "history", &args)?;
            let answered = at(&result, "/counts/acknowledged").context("no answers")?;
            let costs = costs.entry((query, pace)).or_default();
            costs.primary_us.extend(us_each(&result, &idle, "postgres"));
            costs.replica_us.extend(us_each(&result, &idle, "replica"));
            costs.p50_ms.extend(at(&result, &format!("/latency_ms/{request}/p50")));
            costs.at_replica.push(100.0 * (site.counted_by_workers(ANSWERED_BY_REPLICA)? - before) / answered);
        }
    }
    Ok(())
}

/// The CPU time of a group of processes for one query, beyond that of the idle one.
fn us_each(result: &Value, idle: &Value, group: &str) -> Option<f64> {
    let cores = |of: &Value| {
        Some(at(of, &format!("/groups/{group}/cpu_seconds"))? / at(of, "/duration_seconds").filter(|s| *s > 0.0)?)
    };
    Some((cores(result)? - cores(idle)?) * 1e6 / at(result, "/per_second/acknowledged")?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_used_when_idle_is_not_charged() {
        let result = |cpu: f64, seconds: f64| json!({"groups": {"postgres": {"cpu_seconds": cpu}}, "duration_seconds": seconds, "per_second": {"acknowledged": 100.0}});
        let each = us_each(&result(1.0, 10.0), &result(0.1, 5.0), "postgres").unwrap();
        assert!((each - 800.0).abs() < 1e-6, "{each}");
        assert_eq!(us_each(&result(1.0, 10.0), &json!({}), "postgres"), None);
    }
}
