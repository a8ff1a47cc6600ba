//! The plan of an agent, and its reports: the JSON lines between the directing process and its agents.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::accounts::Account;
use crate::tally::Tally;

/// The work of one agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Distinguishes this run's messages from those of other runs.
    pub run: u32,
    pub urls: Vec<String>,
    /// In the order of the scenario: members of a room are next to each other.
    pub accounts: Vec<Account>,
    /// The number of the first account among those of all agents.
    pub first: usize,
    pub deflate: bool,
    /// `COMMUNITY_SYNC_TOKEN` of the server.
    pub community_token: Option<String>,
    /// Logins begun per second while connecting.
    pub connect_rate: f64,
    /// Between the last login and the start.
    pub settle_ms: u64,
    pub warmup_ms: u64,
    pub duration_ms: u64,
    /// How long to wait at the end for what is still in flight.
    pub drain_ms: u64,
    pub pace: Pace,
    pub scenario: Scenario,
}

/// How fast to send.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// Open loop: this number per second, whatever the server does. Latency counts from when each was due.
    Rate(f64),
    /// Closed loop: each sender has this number of unanswered messages.
    Window(u32),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Scenario {
    /// Pairs write to each other.
    Direct { content_bytes: usize, client_ids: bool },
    /// Groups of `members`; `senders` of them write.
    Group { content_bytes: usize, client_ids: bool, members: usize, senders: usize, source: GroupSource },
    /// The first `watchers` accounts wait, and ask for changes in `batches`, which the first `readers` check; the others log in one after the other, and
    /// leave after `stay_ms` if that is given.
    Presence { watchers: usize, readers: usize, batches: bool, stay_ms: Option<u64> },
    /// Pairs write `preload` messages each way, then make these requests in turn.
    History { preload: u32, page: u32, requests: Vec<Request> },
    /// Connections that do nothing, except that each sends and gets one message when `message`.
    Idle { message: bool },
    /// All log in, are dropped, miss `missed` messages each, and come back at once.
    Storm { missed: u32, senders: usize },
}

/// What `history` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Request {
    NewestPage,
    PageBySeq,
    Conversations,
    Inbox,
    PartOfOnlineUsers,
    OnlineUsers,
}

impl Request {
    /// The name of its latencies.
    pub fn name(self) -> &'static str {
        match self {
            Self::NewestPage => "newest_page",
            Self::PageBySeq => "page_by_seq",
            Self::Conversations => "conversations",
            Self::Inbox => "inbox",
            Self::PartOfOnlineUsers => "part_of_online_users",
            Self::OnlineUsers => "online_users",
        }
    }
}

/// Where the groups come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupSource {
    /// The first of each room creates one.
    Made,
    /// All accounts are members of this one already.
    Existing(String),
    /// All accounts are made members of a new community once they are connected.
    Community,
}

impl Scenario {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Direct { .. } => "direct",
            Self::Group { .. } => "group",
            Self::Presence { .. } => "presence",
            Self::History { .. } => "history",
            Self::Idle { .. } => "idle",
            Self::Storm { .. } => "storm",
        }
    }

    /// Returns how many of this number of accounts are connected at the same time, at most.
    pub fn connected(&self, accounts: usize) -> usize {
        match self {
            Self::Presence { watchers, stay_ms: Some(_), .. } => accounts.min(watchers + MAX_STAYING),
            _ => accounts,
        }
    }

    /// Returns how many neighbouring accounts have to be in one process; `None` if all have to.
    pub fn room(&self) -> Option<usize> {
        match self {
            Self::Direct { .. } | Self::History { .. } | Self::Idle { .. } => Some(2),
            Self::Group { source: GroupSource::Made, members, .. } => Some(*members),
            Self::Group { .. } | Self::Presence { .. } | Self::Storm { .. } => None,
        }
    }
}

/// Accounts that come and go stay for a few seconds.
const MAX_STAYING: usize = 400;

/// What the directing process sends after the plan.
pub const START: &str = "start";

/// What an agent reports.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// Connected and settled; waits for the start.
    Ready,
    /// The warm-up is over.
    Measuring,
    Progress(BTreeMap<String, u64>),
    /// The time is up; the agent still waits for what is in flight.
    Sent,
    Finished(Box<Tally>),
    Failed(String),
}

impl Said {
    /// Writes it as one line to the directing process; this is too rare and short to need asynchronous output.
    pub fn say(&self) -> Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        let mut out = std::io::stdout().lock();
        out.write_all(&line).and_then(|()| out.flush()).context("telling the directing process")
    }
}
