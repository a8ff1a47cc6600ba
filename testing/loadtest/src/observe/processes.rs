//! CPU time and memory of processes, from /proc. A group's processes count with their children.

use std::collections::HashMap;
use std::str::FromStr;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// `USER_HZ`, which Linux fixes for /proc.
const TICKS_PER_SECOND: f64 = 100.0;

/// `gateway=101,102`: a name and its processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub pids: Vec<u32>,
}

impl FromStr for Group {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, pids) = text.split_once('=').context("expected NAME=PID,PID…")?;
        let pids = pids.split(',').map(|pid| pid.parse().with_context(|| format!("pid {pid:?}")));
        Ok(Self { name: name.to_owned(), pids: pids.collect::<Result<_>>()? })
    }
}

/// Since the processes' start; memory as of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub rss_bytes: u64,
}

impl Group {
    /// A process that has ended counts as 0.
    pub fn usage(&self) -> Usage {
        let parents = parents();
        let mut usage = Usage::default();
        for pid in &self.pids {
            usage.add_process(*pid);
            let is_below = |start: u32| {
                std::iter::successors(parents.get(&start), |parent| parents.get(parent)).any(|parent| parent == pid)
            };
            parents.keys().filter(|child| is_below(**child)).for_each(|child| usage.add_process(*child));
        }
        usage
    }
}

impl Usage {
    fn add_process(&mut self, pid: u32) {
        if let Some(stat) = Stat::read(pid) {
            self.cpu_seconds += stat.ticks as f64 / TICKS_PER_SECOND;
        }
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kib: u64 = line.split_ascii_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
        self.rss_bytes += kib * 1024;
    }
}

struct Stat {
    parent: u32,
    /// Of the process and of its children that have ended.
    ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may contain anything.
        let mut fields = text.get(text.rfind(')')? + 2..)?.split_ascii_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let ticks: Vec<u64> = fields.skip(9).take(4).filter_map(|ticks| ticks.parse().ok()).collect();
        Some(Self { parent, ticks: ticks.iter().sum() })
    }
}

fn parents() -> HashMap<u32, u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, Stat::read(pid)?.parent))).collect()
}

/// Returns the CPU time of this process.
pub fn own_cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_and_its_children_count() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let group: Group = format!("test={}", std::process::id()).parse().unwrap();
        let (all, alone) = (group.usage(), {
            let mut usage = Usage::default();
            usage.add_process(std::process::id());
            usage
        });
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(alone.rss_bytes > 100_000);
        assert!(all.rss_bytes > alone.rss_bytes, "{all:?} {alone:?}");
        assert_eq!(Stat::read(std::process::id()).unwrap().parent, std::os::unix::process::parent_id());
        assert!("gateway=1,x".parse::<Group>().is_err());
    }
}
