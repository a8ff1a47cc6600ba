//! The directing process: starts agents, keeps them in step, takes snapshots of servers and stores at the right
//! moments, reports.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use crate::accounts::Account;
use crate::observe::processes::own_cpu_seconds;
use crate::observe::syscalls::Counting;
use crate::observe::{Look, Observed, postgres, redis};
use crate::options::Options;
use crate::plan::{Plan, START, Said};
use crate::report::{Looks, Report};
use crate::tally::Tally;

/// Open files that a process needs in addition to its connections.
const SPARE_FILES: u64 = 100;
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Runs, prints and writes the result; fails if what arrived is not what was sent.
pub fn main(options: &Options) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime")?;
    let report = runtime.block_on(run(options))?;
    if !options.common.quiet {
        println!("{report}");
    }
    if let Some(path) = &options.common.json {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(options: &Options) -> Result<Report> {
    let common = &options.common;
    let accounts = common.accounts()?;
    let plans = plans(options, &accounts)?;
    let mut observed = Observed {
        groups: common.watch.clone(),
        postgres: match &common.database_url {
            Some(url) => Some(postgres::Postgres::connect(url).await?),
            None => None,
        },
        redis: match &common.redis_url {
            Some(url) => Some(redis::Redis::connect(url).await?),
            None => None,
        },
    };
    let before = observed.usages();
    let mut agents = Agents::start(&plans, !common.quiet).await?;

    agents.until("connecting", |said| matches!(said, Said::Ready)).await?;
    let connected = observed.usages();
    agents.begin().await?;
    agents.until("warming up", |said| matches!(said, Said::Measuring)).await?;
    let own_cpu = own_cpu_seconds();
    let counting = if common.count_writes { Counting::start(&observed.groups) } else { Counting::none() };
    let begin = observed.look().await?;
    agents.until("measuring", |said| matches!(said, Said::Sent)).await?;
    let writes = counting.stop().await;
    let usages = observed.usages();
    let own_cpu = own_cpu_seconds() - own_cpu;
    // Processes at once, the stores once they have counted everything.
    tokio::time::sleep(postgres::REPORTED_WITHIN).await;
    let end = Look { usages, ..observed.look().await? };
    agents.until("waiting for the rest", |said| matches!(said, Said::Finished(_))).await?;
    let after = observed.usages();
    let looks = Looks { before, connected, begin, end, after, writes };
    let processes = plans.len();
    let mut report = report(options, agents.tally, &observed, &looks, accounts.len());
    report.processes = processes;
    report.generator_cpu_seconds += own_cpu;
    Ok(report)
}

fn report(options: &Options, tally: Tally, observed: &Observed, looks: &Looks, connections: usize) -> Report {
    let measured = tally.measured_seconds.max(f64::EPSILON);
    Report {
        scenario: options.scenario.clone(),
        pace: options.pace,
        urls: options.common.url.clone(),
        connections,
        processes: 0,
        deflate: options.common.deflate,
        duration_seconds: tally.measured_seconds,
        ok: tally.verdict.is_clean() && tally.failures.is_empty(),
        groups: Report::cost(&tally, &observed.groups, looks, connections),
        postgres: Report::postgres_cost(&tally, looks),
        redis: Report::redis_cost(&tally, looks),
        per_second: tally.counts.iter().map(|(name, count)| (name.clone(), *count as f64 / measured)).collect(),
        latency_ms: tally.latencies.iter().map(|(name, latencies)| (name.clone(), latencies.summary())).collect(),
        generator_cpu_seconds: tally.cpu_seconds,
        verification: tally.verdict,
        failures: tally.failures,
        refused: tally.refused,
        counts: tally.counts,
        seconds: tally.seconds,
    }
}

/// Distributes the accounts; those of a room stay together.
fn plans(options: &Options, accounts: &[Account]) -> Result<Vec<Plan>> {
    let common = &options.common;
    ensure!(!accounts.is_empty(), "there are no accounts");
    let files = raise_file_limit().unwrap_or(u64::MAX);
    let most = usize::try_from(files.saturating_sub(SPARE_FILES).max(1)).unwrap_or(usize::MAX);
    let processes = common.processes.unwrap_or(options.scenario.connected(accounts.len()).div_ceil(most)).max(1);
    let room = options.scenario.room().unwrap_or(accounts.len()).clamp(1, accounts.len());
    let share = accounts.len().div_ceil(processes).next_multiple_of(room);
    let connected = options.scenario.connected(share);
    ensure!(connected <= most, "{connected} connections in one process are more than its limit of open files, {files}");
    let processes = accounts.len().div_ceil(share);
    let part = |rate: f64| rate / processes as f64;
    let pace = match options.pace {
        crate::plan::Pace::Rate(rate) => crate::plan::Pace::Rate(part(rate)),
        window => window,
    };
    let run = rand::random();
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let plan = |(place, accounts): (usize, &[Account])| Plan {
        run,
        urls: common.url.clone(),
        accounts: accounts.to_vec(),
        first: place * share,
        deflate: common.deflate,
        community_token: std::env::var("COMMUNITY_SYNC_TOKEN").ok(),
        connect_rate: part(common.connect_rate),
        settle_ms: ms(common.settle),
        warmup_ms: ms(common.warmup),
        duration_ms: ms(common.duration),
        drain_ms: ms(common.drain),
        pace,
        scenario: options.scenario.clone(),
    };
    Ok(accounts.chunks(share).enumerate().map(plan).collect())
}

/// Raises the limit of open files as far as the system allows; agents inherit it. `None` means no limit.
fn raise_file_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If that is not allowed, the old limit stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current
}

struct Agents {
    /// Ended when this is dropped.
    _children: Vec<Child>,
    stdins: Vec<ChildStdin>,
    said: mpsc::UnboundedReceiver<(usize, Result<Said>)>,
    progress: Vec<BTreeMap<String, u64>>,
    shows: bool,
    tally: Tally,
}

impl Agents {
    async fn start(plans: &[Plan], shows: bool) -> Result<Self> {
        let program = std::env::current_exe().context("path of this program")?;
        let (tell, said) = mpsc::unbounded_channel();
        let (mut children, mut stdins) = (Vec::new(), Vec::new());
        for (place, plan) in plans.iter().enumerate() {
            let mut command = Command::new(&program);
            command.arg("--agent").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
            let mut child = command.spawn().context("starting an agent")?;
            let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
                bail!("an agent without pipes");
            };
            let mut line = serde_json::to_vec(plan)?;
            line.push(b'\n');
            stdin.write_all(&line).await.context("telling an agent its plan")?;
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut lines = BufReader::new(stdout).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let said = serde_json::from_str(&line).context("what an agent said");
                    let is_last = matches!(said, Ok(Said::Finished(_) | Said::Failed(_)));
                    if tell.send((place, said)).is_err() || is_last {
                        return;
                    }
                }
                let _ = tell.send((place, Err(anyhow::anyhow!("an agent ended"))));
            });
            children.push(child);
            stdins.push(stdin);
        }
        let progress = vec![BTreeMap::new(); plans.len()];
        Ok(Self { _children: children, stdins, said, progress, shows, tally: Tally::default() })
    }

    async fn begin(&mut self) -> Result<()> {
        for stdin in &mut self.stdins {
            stdin.write_all(format!("{START}\n").as_bytes()).await.context("starting an agent")?;
        }
        Ok(())
    }

    /// Waits until every agent has reported this once; shows progress meanwhile.
    async fn until(&mut self, phase: &str, wanted: impl Fn(&Said) -> bool) -> Result<()> {
        let shows = self.shows && std::io::stderr().is_terminal();
        let mut waiting: Vec<bool> = vec![true; self.progress.len()];
        let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
        while waiting.contains(&true) {
            tokio::select! {
                said = self.said.recv() => {
                    let (place, said) = said.context("all agents ended")?;
                    let said = said?;
                    waiting[place] &= !wanted(&said);
                    match said {
                        Said::Progress(counts) => self.progress[place] = counts,
                        Said::Finished(tally) => self.tally.merge(*tally),
                        Said::Failed(why) => bail!("{why}"),
                        Said::Ready | Said::Measuring | Said::Sent => {}
                    }
                }
                _ = ticks.tick(), if shows => self.show(phase),
            }
        }
        if shows {
            eprint!("\r\x1b[K");
        }
        Ok(())
    }

    fn show(&self, phase: &str) {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, count) in self.progress.iter().flatten() {
            *sums.entry(name).or_default() += count;
        }
        let counts: Vec<String> = sums.iter().map(|(name, count)| format!("{count} {name}")).collect();
        eprint!("\r\x1b[K{phase}: {}", counts.join(", "));
        let _ = std::io::stderr().flush();
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::options::{Cli, Mode};

    fn shares(line: &str, accounts: usize) -> Vec<(usize, usize)> {
        let Ok(Mode::Run(options)) = Cli::parse_from(line.split(' ')).mode() else { panic!("no run") };
        let account = |user_id| Account { user_id, token: String::new() };
        let accounts: Vec<Account> = (1..=accounts as i64).map(account).collect();
        plans(&options, &accounts).unwrap().iter().map(|plan| (plan.first, plan.accounts.len())).collect()
    }

    #[test]
    fn rooms_are_not_torn_apart() {
        let direct = "loadtest direct --url ws://a --tokens t --processes 3";
        assert_eq!(shares(direct, 10), [(0, 4), (4, 4), (8, 2)]);
        let group = "loadtest group --url ws://a --tokens t --members 5 --processes 2";
        assert_eq!(shares(group, 15), [(0, 10), (10, 5)]);
        let one_group = "loadtest group --url ws://a --tokens t --group g --processes 2";
        assert_eq!(shares(one_group, 15), [(0, 15)]);
    }
}
