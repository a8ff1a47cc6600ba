//! A Redis Cluster of three nodes beside one node: the publications that each node handles, and its CPU time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use devstack::{Cluster, Redis};

use super::section::Section;
use super::setup::Setup;
use super::site::Site;
use super::target::{at, number};

const PAIRS: usize = 100;
const RATE: &str = "400";
const PAYLOAD_BYTES: usize = 300;
/// `USER_HZ`, which Linux fixes for /proc.
const TICKS_PER_SECOND: f64 = 100.0;

/// What each node of a cluster did.
struct Load {
    how: &'static str,
    publications: Vec<f64>,
    cpu_seconds: Vec<f64>,
}

pub fn measure(setup: &Setup) -> Result<Section> {
    let program = &setup.programs.redis_server;
    let (one, three) = (Cluster::start_without_replicas(program, 1)?, Cluster::start_without_replicas(program, 3)?);
    let mut section = Section::new("Redis Cluster");
    with_fleet(setup, &mut section, &one, &three)?;
    match beside(program, "redis-benchmark") {
        Some(benchmark) => publications_alone(setup, &mut section, &benchmark, &one, &three)?,
        None => println!("==> no redis-benchmark beside {}, so publications alone are not measured", program.display()),
    }
    Ok(section)
}

fn with_fleet(setup: &Setup, section: &mut Section, one: &Cluster, three: &Cluster) -> Result<()> {
    let mut site = Site::start(setup, 2 * PAIRS)?;
    let mut loads = Vec::new();
    for (how, cluster, allows_shards) in
        [("one node", one, true), ("three nodes, plain", three, false), ("three nodes, sharded", three, true)]
    {
        // A gateway that may not listen to shards makes all publications plain.
        let rule = if allows_shards { "+ssubscribe" } else { "-ssubscribe" };
        for node in &cluster.nodes {
            node.command(&["ACL", "SETUSER", "default", rule])?;
        }
        site.use_redis(&cluster.url())?;
        loads.push(load(&site, section, how, cluster)?);
    }
    section.text(format!(
        "Direct messages between {PAIRS} pairs at {RATE} per second, on clusters of one and of three primaries without replicas. \
         Publications are those that clients sent to a node and those that came over the cluster's bus; \"plain\" is with a user of Redis \
         who may not listen to shards."
    ));
    let row = |name: &str, of: &dyn Fn(&Load) -> String| {
        let mut row = vec![name.to_owned()];
        row.extend(loads.iter().map(of));
        row
    };
    let mut heads = vec![""];
    heads.extend(loads.iter().map(|load| load.how));
    let rows = [
        row("publications that each node handled", &|load| range(&load.publications)),
        row("CPU of each node, s", &|load| range(&load.cpu_seconds)),
    ];
    section.table(&heads, rows);
    Ok(())
}

fn load(site: &Site, section: &mut Section, how: &'static str, cluster: &Cluster) -> Result<Load> {
    let mut watched = site.watched();
    for (place, node) in cluster.nodes.iter().enumerate() {
        watched.servers.push((format!("node{place}"), pid(node)?.to_string()));
    }
    let before = publications(cluster)?;
    // Workers look once a second how gateways listen.
    let args = ["--rate", RATE, "--settle", "3s", "--warmup", "0s", "--duration", "15s"];
    let label = format!("direct messages, {RATE} per second, {how}");
    let result = site.loadtest_against(&watched, &label, "direct", 0..2 * PAIRS, &args)?;
    section.check(how, &result);
    let after = publications(cluster)?;
    let cpu = |place: usize| at(&result, &format!("/groups/node{place}/cpu_seconds")).unwrap_or(f64::NAN);
    Ok(Load {
        how,
        publications: after.iter().zip(before).map(|(after, before)| after - before).collect(),
        cpu_seconds: (0..cluster.nodes.len()).map(cpu).collect(),
    })
}

/// Publications on nobody's channels, as fast as they can be sent.
fn publications_alone(
    setup: &Setup,
    section: &mut Section,
    benchmark: &Path,
    one: &Cluster,
    three: &Cluster,
) -> Result<()> {
    let ways = [("one node", one, "PUBLISH"), ("three nodes", three, "PUBLISH"), ("three nodes", three, "SPUBLISH")];
    let mut rows = Vec::new();
    for (how, cluster, command) in ways {
        let (mut cpu, mut seconds) = (Vec::new(), Vec::new());
        for round in 1..=setup.sizes.rounds {
            println!("==> {command} alone, {how}, round {round}");
            let before = cluster.nodes.iter().map(cpu_seconds).collect::<Result<Vec<_>>>()?;
            let begin = Instant::now();
            publish(benchmark, cluster, command, setup.sizes.publications)?;
            seconds.push(begin.elapsed().as_secs_f64());
            for (node, before) in cluster.nodes.iter().zip(before) {
                cpu.push(cpu_seconds(node)? - before);
            }
        }
        rows.push(vec![format!("{how}, `{command}`"), range(&cpu), range(&seconds)]);
    }
    section.text(format!(
        "{} publications of {PAYLOAD_BYTES} bytes without subscribers, sent by `redis-benchmark` to all nodes evenly, {} times:",
        number(f64::from(setup.sizes.publications)),
        setup.sizes.rounds
    ));
    section.table(&["", "CPU of each node, s", "time, s"], rows);
    Ok(())
}

fn publish(benchmark: &Path, cluster: &Cluster, command: &str, count: u32) -> Result<()> {
    let port = cluster.nodes.first().context("a node")?.port().to_string();
    let count = count.to_string();
    let options = ["-h", "127.0.0.1", "-p", &port, "-a", cluster.password(), "-c", "30", "-P", "32", "-q"];
    let mut run = Command::new(benchmark);
    run.args(options).args(["-n", &count, "-r", "1000"]);
    // It refuses a cluster of one node.
    run.args((cluster.nodes.len() > 1).then_some("--cluster"));
    run.args([command, "{tag}:__rand_int__", &"x".repeat(PAYLOAD_BYTES)]);
    let output = run.stdin(Stdio::null()).output().context("running redis-benchmark")?;
    if !output.status.success() {
        bail!("redis-benchmark ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Returns how many publications each node has handled.
fn publications(cluster: &Cluster) -> Result<Vec<f64>> {
    let of = |node: &Redis| {
        let commands = node.command(&["INFO", "commandstats"])?;
        let calls = ["cmdstat_publish:calls=", "cmdstat_spublish:calls="].map(|name| counter(&commands, name));
        Ok(calls[0]
            + calls[1]
            + counter(&node.command(&["CLUSTER", "INFO"])?, "cluster_stats_messages_publish_received:"))
    };
    cluster.nodes.iter().map(of).collect()
}

/// The number that follows this name in a text of Redis; 0 if it is not there.
fn counter(text: &str, name: &str) -> f64 {
    let number = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    number.split(',').next().and_then(|number| number.trim().parse().ok()).unwrap_or(0.0)
}

fn pid(node: &Redis) -> Result<u32> {
    node.pid().context("a node's process")
}

fn cpu_seconds(node: &Redis) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid(node)?))?;
    // The name, in parentheses, may contain anything.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
    Ok(fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND)
}

/// The smallest and the largest.
fn range(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match values {
        [] => "–".to_owned(),
        [only] => number(*only),
        _ => format!("{} to {}", number(least), number(most)),
    }
}

fn beside(program: &Path, name: &str) -> Option<PathBuf> {
    let file = program.canonicalize().ok()?.with_file_name(name);
    [program.with_file_name(name), file].into_iter().find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publications_are_counted_by_command() {
        let info = "# Commandstats\r\ncmdstat_spublish:calls=7,usec=3\r\ncmdstat_publish:calls=12,usec=34\r\n";
        assert_eq!(counter(info, "cmdstat_publish:calls="), 12.0);
        assert_eq!(counter(info, "cmdstat_spublish:calls="), 7.0);
        assert_eq!(
            counter("cluster_stats_messages_publish_received:5\r\n", "cluster_stats_messages_publish_received:"),
            5.0
        );
        assert_eq!(counter("", "cmdstat_publish:calls="), 0.0);
    }

    #[test]
    fn ranges_have_one_end_or_two() {
        assert_eq!([&[][..], &[1.0], &[3.0, 1.0, 2.0]].map(range), ["–", "1.00", "1.00 to 3.00"]);
    }
}
