//! Spreads over time what one key does: some of it at once, the rest at a steady pace. It does not know what the keys
//! are.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;

/// Keys that have had their rest are forgotten if there are more than this.
const MIN_KEYS: usize = 1_024;

pub struct Pace<K> {
    interval_us: u64,
    /// What may be done at once, as the time in which it would be done at the pace.
    burst_us: u64,
    longest_wait_us: u64,
    keys: Mutex<Keys<K>>,
}

struct Keys<K> {
    /// When all that a key has done will have been done at the pace.
    even_us: HashMap<K, u64>,
    most: usize,
}

impl<K: Eq + Hash> Pace<K> {
    /// Allows `at_once` immediately and `per_second` after that. Nothing waits for longer than `longest_wait`.
    pub fn new(at_once: usize, per_second: usize, longest_wait: Duration) -> Self {
        let interval_us = 1_000_000 / (per_second as u64).clamp(1, 1_000_000);
        let keys = Keys { even_us: HashMap::new(), most: MIN_KEYS };
        Pace {
            interval_us,
            burst_us: interval_us * at_once as u64,
            longest_wait_us: longest_wait.as_micros() as u64,
            keys: Mutex::new(keys),
        }
    }

    /// Counts one, and returns how long it has to wait. `None`, and nothing is counted, if that would be too long.
    pub fn take(&self, key: K, now_ms: u64) -> Option<Duration> {
        self.take_several(key, 1, now_ms)
    }

    /// Counts several at once. They wait as long as one would, and what comes later waits for them: so however many
    /// they are, they have their turn.
    pub fn take_several(&self, key: K, count: usize, now_ms: u64) -> Option<Duration> {
        let now_us = now_ms * 1000;
        let mut keys = self.keys.lock();
        let even_us = keys.even_us.get(&key).map_or(now_us, |even_us| now_us.max(*even_us));
        let wait_us = (even_us + self.interval_us - now_us).saturating_sub(self.burst_us);
        if wait_us > self.longest_wait_us {
            return None;
        }
        keys.even_us.insert(key, even_us + self.interval_us * count as u64);
        if keys.even_us.len() > keys.most {
            keys.even_us.retain(|_, even_us| *even_us > now_us);
            keys.most = MIN_KEYS.max(2 * keys.even_us.len());
        }
        Some(Duration::from_micros(wait_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(2);

    fn waits(pace: &Pace<u8>, key: u8, now_ms: u64, times: usize) -> Vec<Option<u64>> {
        (0..times).map(|_| pace.take(key, now_ms).map(|wait| wait.as_millis() as u64)).collect()
    }

    #[test]
    fn some_go_at_once_and_the_rest_at_the_pace() {
        let pace = Pace::new(3, 2, LONGEST);
        assert_eq!(
            waits(&pace, 1, 10_000, 8),
            [0, 0, 0, 500, 1_000, 1_500, 2_000].map(Some).into_iter().chain([None]).collect::<Vec<_>>()
        );
        assert_eq!(waits(&pace, 2, 10_000, 1), [Some(0)], "keys do not wait for each other");
        // What had to wait too long was not counted.
        assert_eq!(waits(&pace, 1, 12_000, 1), [Some(500)]);
        assert_eq!(waits(&pace, 1, 60_000, 4), [Some(0), Some(0), Some(0), Some(500)]);
    }

    #[test]
    fn later_ones_wait_for_several() {
        let pace = Pace::new(10, 2, LONGEST);
        let take = |count| pace.take_several(1, count, 10_000).map(|wait| wait.as_millis());
        assert_eq!((take(100), take(1)), (Some(0), None));
        assert_eq!(pace.take(1, 53_000), None);
        assert_eq!(pace.take_several(1, 4, 55_000), Some(Duration::from_millis(500)));
        assert_eq!(pace.take(1, 57_000), Some(Duration::from_millis(500)));
    }

    #[test]
    fn keys_that_rest_are_forgotten() {
        let pace = Pace::new(1, 1_000, LONGEST);
        for key in 0..100_000_u64 {
            assert_eq!(pace.take(key, key), Some(Duration::ZERO));
        }
        assert!(pace.keys.lock().even_us.len() <= MIN_KEYS + 1);
    }
}
