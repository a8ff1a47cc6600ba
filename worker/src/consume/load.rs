//! How long commands wait in their streams before a pipeline reads them, for work that gives way while they do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The mean is that of this time at least.
const WINDOW: Duration = Duration::from_millis(500);

/// The waits of all commands that this process has read.
#[derive(Default)]
pub struct Load {
    commands: AtomicU64,
    waited_us: AtomicU64,
}

impl Load {
    /// Adds the commands of a batch, and the sum of their waits.
    pub fn add(&self, commands: usize, waited: Duration) {
        self.commands.fetch_add(commands as u64, Ordering::Relaxed);
        self.waited_us.fetch_add(waited.as_micros() as u64, Ordering::Relaxed);
    }
}

/// Follows a [`Load`].
pub struct LoadWatch {
    since: Instant,
    commands: u64,
    waited_us: u64,
    mean: Duration,
}

impl LoadWatch {
    pub fn new() -> Self {
        LoadWatch { since: Instant::now(), commands: 0, waited_us: 0, mean: Duration::ZERO }
    }

    /// The mean wait in the last window; zero if nothing was read in it.
    pub fn mean_wait(&mut self, load: &Load) -> Duration {
        self.mean_wait_at(load, Instant::now())
    }

    fn mean_wait_at(&mut self, load: &Load, now: Instant) -> Duration {
        if now.saturating_duration_since(self.since) >= WINDOW {
            let (commands, waited_us) = (load.commands.load(Ordering::Relaxed), load.waited_us.load(Ordering::Relaxed));
            let read = (commands - self.commands).max(1);
            self.mean = Duration::from_micros(waited_us.saturating_sub(self.waited_us) / read);
            (self.since, self.commands, self.waited_us) = (now, commands, waited_us);
        }
        self.mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_that_of_the_last_window() {
        let load = Load::default();
        let mut watch = LoadWatch::new();
        let at = |windows: u32| watch.since + windows * WINDOW;
        let (first, second, third) = (at(1), at(2), at(3));
        load.add(2, Duration::from_millis(60));
        assert_eq!(watch.mean_wait_at(&load, first - Duration::from_millis(1)), Duration::ZERO, "too soon to say");
        assert_eq!(watch.mean_wait_at(&load, first), Duration::from_millis(30));
        load.add(4, Duration::from_millis(8));
        assert_eq!(watch.mean_wait_at(&load, second), Duration::from_millis(2));
        assert_eq!(watch.mean_wait_at(&load, third), Duration::ZERO);
    }
}
