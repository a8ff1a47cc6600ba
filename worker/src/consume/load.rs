//! How busy the pipelines are, for what can wait until they are less so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Shorter times say little: a batch counts when it ends.
const WINDOW: Duration = Duration::from_millis(500);

/// The time that all pipelines of this process have spent on batches.
#[derive(Default)]
pub struct Load {
    pipelines: AtomicU64,
    spent_us: AtomicU64,
}

impl Load {
    pub fn add_pipeline(&self) {
        self.pipelines.fetch_add(1, Ordering::Relaxed);
    }

    pub fn add_spent(&self, time: Duration) {
        self.spent_us.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }
}

/// Follows a [`Load`].
pub struct LoadWatch {
    since: Instant,
    spent_us: u64,
    share: f64,
}

impl LoadWatch {
    pub fn new(load: &Load) -> Self {
        LoadWatch { since: Instant::now(), spent_us: load.spent_us.load(Ordering::Relaxed), share: 0.0 }
    }

    /// The share of their time that the pipelines spent on batches in the last window, from 0 to about 1.
    pub fn share(&mut self, load: &Load) -> f64 {
        self.share_at(load, Instant::now())
    }

    fn share_at(&mut self, load: &Load, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed >= WINDOW {
            let spent_us = load.spent_us.load(Ordering::Relaxed);
            let pipelines = load.pipelines.load(Ordering::Relaxed).max(1);
            let spent = Duration::from_micros(spent_us - self.spent_us);
            self.share = spent.as_secs_f64() / (elapsed.as_secs_f64() * pipelines as f64);
            (self.since, self.spent_us) = (now, spent_us);
        }
        self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_that_of_the_last_window() {
        let load = Load::default();
        load.add_pipeline();
        load.add_pipeline();
        let mut watch = LoadWatch::new(&load);
        let at = |windows: u32| watch.since + windows * WINDOW;
        let (first, second) = (at(1), at(2));
        load.add_spent(WINDOW);
        assert!(watch.share_at(&load, first - Duration::from_millis(1)).abs() < 1e-9, "too soon to say");
        assert!((watch.share_at(&load, first) - 0.5).abs() < 1e-9, "one of two pipelines");
        assert!(watch.share_at(&load, second).abs() < 1e-9);
    }
}
