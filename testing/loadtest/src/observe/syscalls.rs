//! Write system calls of process groups, counted by `perf` where that is installed and allowed.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::processes::Group;

const CALLS: [&str; 4] = ["write", "writev", "sendto", "sendmsg"];
const COUNTED_WITHIN: Duration = Duration::from_secs(5);

/// One `perf` per group, counting since it was started.
pub struct Counting(Vec<Option<Child>>);

impl Counting {
    /// Starts counting; if `perf` cannot be started, nothing is counted. Dropping the value ends it.
    pub fn start(groups: &[Group]) -> Self {
        let events: Vec<String> = CALLS.iter().map(|call| format!("syscalls:sys_enter_{call}")).collect();
        let count = |group: &Group| {
            let pids: Vec<String> = group.pids.iter().map(u32::to_string).collect();
            let mut command = Command::new("perf");
            command.args(["stat", "-x", ",", "-e", &events.join(","), "-p", &pids.join(",")]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().ok()
        };
        Self(groups.iter().map(count).collect())
    }

    /// Counts nothing.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Returns the calls of each group; `None` if they could not be counted.
    pub async fn stop(self) -> Vec<Option<u64>> {
        let mut counts = Vec::new();
        for child in self.0 {
            counts.push(match child {
                Some(child) => finish(child).await,
                None => None,
            });
        }
        counts
    }
}

async fn finish(child: Child) -> Option<u64> {
    let pid = Pid::from_raw(i32::try_from(child.id()?).ok()?)?;
    // An interrupt makes it print what it has.
    kill_process(pid, Signal::INT).ok()?;
    let output = tokio::time::timeout(COUNTED_WITHIN, child.wait_with_output()).await.ok()?.ok()?;
    parse(&String::from_utf8_lossy(&output.stderr))
}

/// Lines such as `1234,,syscalls:sys_enter_sendto,5000,100.00,,`; all of them must be present.
fn parse(text: &str) -> Option<u64> {
    let line = |line: &str| {
        let mut fields = line.split(',');
        let count = fields.next()?.parse::<u64>().ok()?;
        fields.nth(1)?.starts_with("syscalls:").then_some(count)
    };
    let counts: Vec<u64> = text.lines().filter_map(line).collect();
    (counts.len() == CALLS.len()).then(|| counts.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_added_up_or_missing() {
        let line = |count: &str, call: &str| format!("{count},,syscalls:sys_enter_{call},1000,100.00,,\n");
        let all: String = CALLS.iter().map(|call| line("10", call)).collect();
        assert_eq!(parse(&all), Some(40));
        assert_eq!(parse(&all.replacen("10,", "<not counted>,", 1)), None);
        assert_eq!(parse("Error: No permission to enable events\n"), None);
    }
}
