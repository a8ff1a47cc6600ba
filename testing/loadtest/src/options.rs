//! The command line, and how it becomes the plan.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};

use crate::accounts::{self, Account};
use crate::observe::processes::Group;
use crate::plan::{GroupSource, Pace, Request, Scenario};

/// Load for a chat server: scenarios, verification of what arrives, and the cost per message.
#[derive(Debug, Parser)]
#[command(name = "loadtest", args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Compare two results
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"])]
    compare: Vec<PathBuf>,
    /// Started by itself: take a plan from standard input
    #[arg(long, hide = true)]
    agent: bool,
    #[command(subcommand)]
    scenario: Option<ScenarioOptions>,
}

#[derive(Debug, Subcommand)]
enum ScenarioOptions {
    /// Pairs write to each other
    Direct {
        #[command(flatten)]
        messages: Messages,
        #[command(flatten)]
        common: Common,
    },
    /// Groups of members write to each other
    Group {
        #[command(flatten)]
        messages: Messages,
        /// Members of each group; groups are made as needed
        #[arg(long, default_value_t = 50)]
        members: usize,
        /// How many of a group's members write; default: all
        #[arg(long)]
        senders: Option<usize>,
        /// An existing group (or a community's) of which all accounts are members
        #[arg(long)]
        group: Option<String>,
        /// Make a community of all accounts; needs COMMUNITY_SYNC_TOKEN in the environment
        #[arg(long, conflicts_with = "group")]
        community: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Some watch while others log in, at --rate per second
    Presence {
        /// How many watch
        #[arg(long, default_value_t = 10)]
        watchers: usize,
        /// How many of them check what they are told; the others throw it away unread; default: all
        #[arg(long)]
        readers: Option<usize>,
        /// Those who watch ask for comings and goings in batches
        #[arg(long)]
        batches: bool,
        /// Those who log in leave after this time; they are measured after --warmup
        #[arg(long, value_parser = duration)]
        stay: Option<Duration>,
        #[command(flatten)]
        common: Common,
    },
    /// Pairs read pages of their conversation, and lists
    History {
        /// Messages that each writes before
        #[arg(long, default_value_t = 200)]
        preload: u32,
        /// Messages per page
        #[arg(long, default_value_t = 50)]
        page: u32,
        /// What they read, in turn
        #[arg(long, value_enum, value_delimiter = ',', default_values = ["newest_page", "page_by_seq", "conversations"])]
        requests: Vec<Request>,
        #[command(flatten)]
        common: Common,
    },
    /// Connections that do nothing for --duration, after one message each, at --rate per second
    Idle {
        /// Send nothing at all
        #[arg(long)]
        silent: bool,
        #[command(flatten)]
        common: Common,
    },
    /// All are cut off, miss messages, and come back at once
    Storm {
        /// Messages that each misses
        #[arg(long, default_value_t = 5)]
        missed: u32,
        /// How many of the accounts stay and write
        #[arg(long, default_value_t = 20)]
        senders: usize,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Clone, Debug, Args)]
struct Messages {
    /// Bytes of a message's content
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Send a clientMessageId with each
    #[arg(long)]
    client_ids: bool,
}

#[derive(Clone, Debug, Args)]
pub struct Common {
    /// A gateway (ws://, wss://); given more than once, connections are spread
    #[arg(long, required = true)]
    pub url: Vec<String>,
    /// A file with a token per line
    #[arg(long, conflicts_with_all = ["users", "jwt_secret_file"])]
    tokens: Option<PathBuf>,
    /// A file with lines that begin with a user id, as `chatctl user list` prints them; needs the JWT secret
    #[arg(long, required_unless_present = "tokens")]
    users: Option<PathBuf>,
    /// A file with JWT_SECRET; otherwise it is taken from the environment
    #[arg(long)]
    jwt_secret_file: Option<PathBuf>,
    /// How many accounts to use; default: all
    #[arg(long)]
    connections: Option<usize>,
    /// Open loop: per second, all together [default: 100]
    #[arg(long, conflicts_with = "closed", value_parser = positive)]
    rate: Option<f64>,
    /// Closed loop: unanswered messages per sender
    #[arg(long, value_name = "WINDOW", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    closed: Option<u32>,
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// Before anything is measured
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub warmup: Duration,
    /// After the last login, and before the first snapshot of memory
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub settle: Duration,
    /// How long to wait at the end for what is in flight
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub drain: Duration,
    /// Logins per second, all together
    #[arg(long, default_value_t = 500.0, value_parser = positive)]
    pub connect_rate: f64,
    /// Offer permessage-deflate
    #[arg(long)]
    pub deflate: bool,
    /// Client processes; default: as many as the limit of open files asks for
    #[arg(long)]
    pub processes: Option<usize>,
    /// Processes to follow, with their children: NAME=PID,PID…
    #[arg(long, value_name = "NAME=PID,…")]
    pub watch: Vec<Group>,
    /// Count write system calls, too, with perf; not for runs whose latency matters
    #[arg(long)]
    pub count_writes: bool,
    /// Postgres, for its statistics
    #[arg(long)]
    pub database_url: Option<String>,
    /// Redis, for its statistics
    #[arg(long)]
    pub redis_url: Option<String>,
    /// Where to write the result
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Show nothing but errors
    #[arg(long)]
    pub quiet: bool,
}

/// What this process has to do.
pub enum Mode {
    Agent,
    Compare(PathBuf, PathBuf),
    Run(Box<Options>),
}

/// The options of a run.
pub struct Options {
    pub scenario: Scenario,
    pub pace: Pace,
    pub common: Common,
}

impl Cli {
    pub fn mode(self) -> Result<Mode> {
        if self.agent {
            return Ok(Mode::Agent);
        }
        if let [a, b] = self.compare.as_slice() {
            return Ok(Mode::Compare(a.clone(), b.clone()));
        }
        let Some(scenario) = self.scenario else { bail!("name a scenario, or --compare two results; see --help") };
        let (scenario, common) = scenario.split();
        let pace = match (common.rate, common.closed) {
            (_, Some(window)) => Pace::Window(window),
            (rate, None) => Pace::Rate(rate.unwrap_or(100.0)),
        };
        Ok(Mode::Run(Box::new(Options { scenario, pace, common })))
    }
}

impl ScenarioOptions {
    fn split(self) -> (Scenario, Common) {
        match self {
            Self::Direct { messages, common } => {
                (Scenario::Direct { content_bytes: messages.size, client_ids: messages.client_ids }, common)
            }
            Self::Group { messages, members, senders, group, community, common } => {
                let source = match group {
                    Some(group) => GroupSource::Existing(group),
                    None if community => GroupSource::Community,
                    None => GroupSource::Made,
                };
                let scenario = Scenario::Group {
                    content_bytes: messages.size,
                    client_ids: messages.client_ids,
                    members,
                    senders: senders.unwrap_or(members),
                    source,
                };
                (scenario, common)
            }
            Self::Presence { watchers, readers, batches, stay, common } => {
                let stay_ms = stay.map(|stay| stay.as_millis() as u64);
                let readers = readers.unwrap_or(watchers).min(watchers);
                (Scenario::Presence { watchers, readers, batches, stay_ms }, common)
            }
            Self::History { preload, page, requests, common } => {
                (Scenario::History { preload, page, requests }, common)
            }
            Self::Idle { silent, common } => (Scenario::Idle { message: !silent }, common),
            Self::Storm { missed, senders, common } => (Scenario::Storm { missed, senders }, common),
        }
    }
}

impl Common {
    /// Returns the accounts to log in as.
    pub fn accounts(&self) -> Result<Vec<Account>> {
        let most = self.connections.unwrap_or(usize::MAX);
        let accounts = match (&self.tokens, &self.users) {
            (Some(tokens), _) => accounts::from_tokens(tokens, most)?,
            (None, Some(users)) => accounts::from_ids(users, &self.jwt_secret()?, most)?,
            (None, None) => bail!("--tokens or --users is needed"),
        };
        match self.connections {
            Some(wanted) if accounts.len() < wanted => bail!("there are only {} of {wanted} accounts", accounts.len()),
            _ => Ok(accounts),
        }
    }

    fn jwt_secret(&self) -> Result<String> {
        match &self.jwt_secret_file {
            Some(file) => std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display())),
            None => std::env::var("JWT_SECRET").context("--jwt-secret-file or JWT_SECRET is needed"),
        }
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && f64::is_finite(number) => Ok(number),
        _ => Err("a number greater than 0".to_owned()),
    }
}

/// `500ms`, `30s`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err("a number with `ms`, `s` or `m`".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| "a number with `ms`, `s` or `m`".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_line_becomes_a_scenario_or_a_comparison() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(Cli::mode);
        let line = "loadtest group --url ws://a --tokens t --members 3 --closed 4 --watch gateway=1,2 --duration 1.5s";
        let Ok(Ok(Mode::Run(options))) = parse(line) else { panic!("no run") };
        assert_eq!(options.pace, Pace::Window(4));
        assert_eq!(options.common.duration, Duration::from_millis(1500));
        assert_eq!(options.common.watch[0].pids, [1, 2]);
        assert!(matches!(options.scenario, Scenario::Group { senders: 3, .. }));
        assert!(matches!(parse("loadtest --compare a.json b.json"), Ok(Ok(Mode::Compare(..)))));
        let history = |more: &str| parse(&format!("loadtest history --url ws://a --tokens t{more}"));
        let asks = |more: &str, expected: &[Request]| match history(more) {
            Ok(Ok(Mode::Run(options))) => {
                matches!(options.scenario, Scenario::History { requests, .. } if requests == expected)
            }
            _ => false,
        };
        assert!(asks("", &[Request::NewestPage, Request::PageBySeq, Request::Conversations]));
        assert!(asks(" --requests inbox,online_users", &[Request::Inbox, Request::OnlineUsers]));
        assert!(history(" --requests nonsense").is_err());
        assert!(parse("loadtest direct --url ws://a").is_err(), "no accounts");
        assert!(parse("loadtest direct --url ws://a --tokens t --rate 0").is_err());
    }
}
