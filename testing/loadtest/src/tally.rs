//! What one agent counted, and how the counts of several are added up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::histogram::Latencies;
use crate::verify::Verdict;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Of the measured time only.
    pub counts: BTreeMap<String, u64>,
    /// Sends and requests that the server rejected, by code; over the whole run.
    pub refused: BTreeMap<String, u64>,
    pub latencies: BTreeMap<String, Latencies>,
    /// Durations; the longest of all agents counts.
    pub seconds: BTreeMap<String, f64>,
    /// Why connections ended that should not have, and logins failed.
    pub failures: BTreeMap<String, u64>,
    pub verdict: Verdict,
    pub measured_seconds: f64,
    pub cpu_seconds: f64,
}

impl Tally {
    pub fn add(&mut self, name: &str, count: u64) {
        add(&mut self.counts, name, count);
    }

    pub fn refused(&mut self, code: &str) {
        add(&mut self.refused, code, 1);
    }

    pub fn failed(&mut self, why: &str) {
        add(&mut self.failures, why, 1);
    }

    pub fn latencies(&mut self, name: &str) -> &mut Latencies {
        self.latencies.entry(name.to_owned()).or_default()
    }

    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    pub fn merge(&mut self, other: Self) {
        for (sum, part) in [
            (&mut self.counts, &other.counts),
            (&mut self.refused, &other.refused),
            (&mut self.failures, &other.failures),
        ] {
            part.iter().for_each(|(name, count)| add(sum, name, *count));
        }
        for (name, latencies) in &other.latencies {
            self.latencies(name).merge(latencies);
        }
        for (name, seconds) in other.seconds {
            let longest = self.seconds.entry(name).or_default();
            *longest = longest.max(seconds);
        }
        self.verdict.merge(other.verdict);
        self.measured_seconds = self.measured_seconds.max(other.measured_seconds);
        self.cpu_seconds += other.cpu_seconds;
    }
}

fn add(counts: &mut BTreeMap<String, u64>, name: &str, count: u64) {
    match counts.get_mut(name) {
        Some(sum) => *sum += count,
        None => drop(counts.insert(name.to_owned(), count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_add_up() {
        let one = |seconds| {
            let mut tally = Tally { cpu_seconds: 1.5, ..Tally::default() };
            tally.add("sent", 2);
            tally.refused("X");
            tally.latencies("ack").record_us(100);
            tally.seconds.insert("all".into(), seconds);
            tally
        };
        let mut sum = one(1.0);
        sum.merge(one(3.0));
        sum.merge(one(2.0));
        assert_eq!((sum.count("sent"), sum.refused["X"], sum.latencies["ack"].summary().count), (6, 3, 3));
        assert_eq!((sum.seconds["all"], sum.cpu_seconds), (3.0, 4.5));
    }
}
