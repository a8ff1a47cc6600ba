//! How long to wait before reconnecting.

use std::time::Duration;

/// Exponential with full jitter, so that clients that were cut off at the same moment do not reconnect at the same
/// moment.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: u32,
}

impl Backoff {
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, attempts: 0 }
    }

    /// The next delay: a random one up to a bound that doubles with every call, and at least a tenth of it.
    pub fn next_delay(&mut self) -> Duration {
        let bound = self.first.saturating_mul(1 << self.attempts.min(20)).min(self.longest);
        self.attempts = self.attempts.saturating_add(1);
        bound.mul_f64(rand::random_range(0.1..=1.0))
    }

    /// Call it once a connection has proved to work.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_the_bound_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let mut bounds = [100, 200, 400, 800, 1_600].map(Duration::from_millis).to_vec();
        bounds.extend([Duration::from_secs(2); 40]);
        for bound in bounds {
            let delay = backoff.next_delay();
            assert!(delay <= bound && delay >= bound.mul_f64(0.09), "{delay:?} for {bound:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }
}
