//! The standard set of loads, in the order in which they disturb each other least.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::site::Site;
use super::target::at;

/// How large each measurement is.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub quick: bool,
    /// How often each rate is measured beside Socket.IO.
    pub runs: usize,
    /// Idle connections; each is measured with new gateways.
    pub idle: &'static [usize],
    pub pairs: usize,
    pub window: &'static str,
    pub closed_for: &'static str,
    pub rate_for: &'static str,
    /// Shares of the closed loop's rate, in percent.
    pub shares: &'static [u32],
    pub groups: usize,
    pub group_members: usize,
    pub community: usize,
    pub storm: usize,
    pub logins: usize,
    pub growth_for: &'static str,
    /// The number of users to which the tables grow.
    pub grown_users: u64,
    pub grown_messages: u64,
    pub messages: u64,
    pub long_conversation: u64,
    pub conversations: u64,
}

impl Sizes {
    pub const FULL: Self = Self {
        quick: false,
        runs: 5,
        idle: &[2_000, 7_000, 15_000],
        pairs: 50,
        window: "8",
        closed_for: "15s",
        rate_for: "10s",
        shares: &[10, 30, 50, 70, 85],
        groups: 4,
        group_members: 50,
        community: 5_000,
        storm: 2_000,
        logins: 1_000,
        growth_for: "7s",
        grown_users: 1_000_000,
        grown_messages: 5_000_000,
        messages: 1_000_000,
        long_conversation: 100_000,
        conversations: 1_000,
    };
    pub const QUICK: Self = Self {
        quick: true,
        runs: 1,
        idle: &[200, 1_000],
        closed_for: "5s",
        rate_for: "4s",
        shares: &[30, 70],
        groups: 2,
        community: 500,
        storm: 200,
        logins: 200,
        growth_for: "3s",
        grown_users: 10_000,
        grown_messages: 50_000,
        messages: 100_000,
        long_conversation: 10_000,
        conversations: 1_000,
        ..Self::FULL
    };

    /// Returns how many accounts all measurements need.
    pub fn users(&self) -> usize {
        let most = [self.community, self.storm + STORM_SENDERS, self.logins, 2 * self.pairs];
        self.idle.iter().chain(&most).copied().max().unwrap_or(0)
    }
}

/// Within ten seconds, processes release the memory of their start, mostly 16 MiB for each key.
const SETTLED_AFTER: Duration = Duration::from_secs(15);
const STORM_SENDERS: usize = 20;
const CLOSED_RUNS: usize = 3;

/// The results that `loadtest` writes.
#[derive(Debug)]
pub struct Results {
    pub settings: Vec<(String, String)>,
    /// Memory without connections, of the largest process of each kind.
    pub empty_gateway_bytes: u64,
    pub empty_worker_bytes: u64,
    /// By the number of connections.
    pub idle: Vec<(usize, Value)>,
    pub closed: Value,
    pub at_200: Value,
    pub counted: Value,
    /// By the share of the closed loop's rate, in percent.
    pub shares: Vec<(u32, Value)>,
    pub groups: Value,
    pub community: Value,
    pub storm: Value,
    pub logins: Value,
}

pub fn all(site: &mut Site, sizes: &Sizes) -> Result<Results> {
    std::thread::sleep(SETTLED_AFTER);
    let [gateways, workers] = site.resident_bytes()?;
    let mut idle = Vec::new();
    for connections in sizes.idle {
        if !idle.is_empty() {
            site.restart_fleet()?;
            std::thread::sleep(SETTLED_AFTER);
        }
        let label = format!("{connections} idle connections");
        let args = ["--deflate", "--connect-rate", "500", "--rate", "500", "--settle", "3s", "--duration", "3s"];
        idle.push((*connections, site.loadtest(&label, "idle", 0..*connections, &args)?));
    }
    site.restart_fleet()?;
    let pairs = 0..2 * sizes.pairs;
    let closed = closed_loop(site, sizes)?;
    let args = ["--closed", sizes.window, "--duration", sizes.rate_for, "--count-writes"];
    let counted =
        site.loadtest("direct messages, closed loop, system calls counted", "direct", pairs.clone(), &args)?;
    let most = at(&closed, "/per_second/acknowledged").context("no rate")?;
    let at_rate = |label: &str, rate: f64, more: &[&str]| {
        let rate = format!("{rate:.1}");
        let args = [&["--rate", rate.as_str(), "--duration", sizes.rate_for], more].concat();
        site.loadtest(label, "direct", pairs.clone(), &args)
    };
    let at_200 = at_rate("direct messages, 200 per second", 200.0, &[])?;
    let mut shares = Vec::new();
    for share in sizes.shares {
        let rate = (most * f64::from(*share) / 100.0).max(1.0);
        shares.push((*share, at_rate(&format!("direct messages, {share} % of the closed loop"), rate, &[])?));
    }
    Ok(Results {
        settings: site.settings().to_vec(),
        empty_gateway_bytes: gateways.into_iter().max().unwrap_or(0),
        empty_worker_bytes: workers.into_iter().max().unwrap_or(0),
        idle,
        closed,
        at_200,
        counted,
        shares,
        groups: groups(site, sizes)?,
        storm: storm(site, sizes)?,
        logins: logins(site, 0..sizes.logins)?,
        community: community(site, sizes)?,
    })
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

fn groups(site: &Site, sizes: &Sizes) -> Result<Value> {
    let members = sizes.group_members.to_string();
    let args =
        ["--members", &members, "--senders", "10", "--closed", "2", "--duration", sizes.rate_for, "--settle", "3s"];
    let users = 0..sizes.groups * sizes.group_members;
    site.loadtest(&format!("{} groups of {members}, closed loop", sizes.groups), "group", users, &args)
}

fn community(site: &Site, sizes: &Sizes) -> Result<Value> {
    let args = [
        "--community",
        "--senders",
        "1",
        "--rate",
        "2",
        "--duration",
        "10s",
        "--settle",
        "8s",
        "--connect-rate",
        "400",
    ];
    site.loadtest(&format!("a community of {}", sizes.community), "group", 0..sizes.community, &args)
}

fn storm(site: &Site, sizes: &Sizes) -> Result<Value> {
    let senders = STORM_SENDERS.to_string();
    let users = 0..sizes.storm + STORM_SENDERS;
    let args = ["--senders", &senders, "--missed", "5", "--drain", "60s"];
    site.loadtest(&format!("a storm of {}", sizes.storm), "storm", users, &args)
}

fn logins(site: &Site, users: Range<usize>) -> Result<Value> {
    site.loadtest("100 logins per second", "presence", users, &["--watchers", "0", "--rate", "100"])
}
