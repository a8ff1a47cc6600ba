//! Finds tests that hang under `cargo test`, and terminates their test program. nextest does this itself
//! (`.config/nextest.toml`); libtest only reports that a test has been running for over 60 seconds, and waits forever.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a test may run after libtest called it slow.
pub const HANGS_AFTER: Duration = Duration::from_secs(9 * 60);

/// The tests that libtest called slow and that have not ended, with the times of those reports.
#[derive(Default)]
pub struct SlowTests(Mutex<BTreeMap<String, Instant>>);

impl SlowTests {
    /// Takes one line of a test program's output, without colours.
    pub fn read(&self, line: &str) {
        let Some(rest) = line.trim().strip_prefix("test ") else { return };
        if let Some(name) = rest.strip_suffix(" has been running for over 60 seconds") {
            self.lock().insert(name.to_owned(), Instant::now());
        } else if let Some((name, _)) = rest.split_once(" ... ") {
            self.lock().remove(name.trim_end_matches(" - should panic").trim_end());
        }
    }

    /// Removes and returns the tests that were slow for longer than `patience`.
    pub fn take_hanging(&self, patience: Duration) -> Vec<String> {
        let mut slow = self.lock();
        let hanging: Vec<String> =
            slow.iter().filter(|(_, since)| since.elapsed() >= patience).map(|(name, _)| name.clone()).collect();
        if !hanging.is_empty() {
            // The whole test program is terminated, including its other slow tests.
            slow.clear();
        }
        hanging
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kills every descendant of `pid`, but not `pid` itself: cargo continues with the next test program.
pub fn kill_descendants(pid: u32) {
    let pids = descendants(pid).into_iter().map(|pid| pid.to_string());
    let _ = Command::new("kill").arg("-KILL").args(pids).status();
}

fn descendants(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let mut found = Vec::new();
    for child in lists.collect::<String>().split_whitespace().filter_map(|pid| pid.parse().ok()) {
        found.push(child);
        found.extend(descendants(child));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_test_hangs_until_it_ends() {
        let slow = SlowTests::default();
        for name in ["a::quick", "b::stuck", "c::panics"] {
            slow.read(&format!("test {name} has been running for over 60 seconds\n"));
        }
        slow.read("test a::quick ... ok\n");
        slow.read("test c::panics - should panic ... ok\n");
        assert!(slow.take_hanging(Duration::from_secs(60)).is_empty());
        assert_eq!(slow.take_hanging(Duration::ZERO), ["b::stuck"]);
        assert!(slow.take_hanging(Duration::ZERO).is_empty(), "reported once");
    }
}
