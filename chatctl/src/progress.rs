//! Progress on stderr, a line every few seconds.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(2);

pub struct Progress {
    what: &'static str,
    count: u64,
    told: Instant,
}

impl Progress {
    pub fn new(what: &'static str) -> Self {
        Progress { what, count: 0, told: Instant::now() }
    }

    pub fn add(&mut self, count: u64) {
        self.count += count;
        if self.told.elapsed() >= INTERVAL {
            self.told = Instant::now();
            eprintln!("{}: {}", self.what, self.count);
        }
    }

    pub fn count(&self) -> u64 {
        self.count
    }
}
