//! Users who are over their rate limit, as Redis said: until they may send again, further commands are rejected without being
//! sealed and sent to Redis, through the queue that everybody's commands take.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

/// Those who may send again are forgotten if there are more than this.
const MIN_KEPT: usize = 1_024;
/// Redis counts in whole seconds, so the last of them may have begun before it answered.
const RESOLUTION_MS: u64 = 1_000;
/// The shortest time for which commands are rejected here, even if Redis might accept them sooner.
const LEAST: Duration = Duration::from_millis(100);

/// By the keys of the rates in Redis, how long their users have to wait.
#[derive(Default)]
pub struct SpentRates {
    spent: Mutex<Spent>,
}

#[derive(Default)]
struct Spent {
    rates: HashMap<String, Wait>,
    most: usize,
}

struct Wait {
    limit: u32,
    /// Until this time, further commands are rejected here: but for [`LEAST`], Redis would certainly reject them, too.
    certain_until_ms: u64,
    /// When a command may be sent again, by Redis' answer.
    over_at_ms: u64,
}

impl SpentRates {
    /// Records that Redis rejected a command, and after how many seconds it may be sent again.
    pub fn note(&self, rate: String, limit: u32, retry_after: u32, now_ms: u64) {
        let over_at_ms = now_ms + u64::from(retry_after) * 1_000;
        let certain_until_ms = (over_at_ms - RESOLUTION_MS).max(now_ms + LEAST.as_millis() as u64);
        let mut spent = self.spent.lock();
        spent.rates.insert(rate, Wait { limit, certain_until_ms, over_at_ms });
        if spent.rates.len() > spent.most.max(MIN_KEPT) {
            spent.rates.retain(|_, wait| wait.certain_until_ms > now_ms);
            spent.most = 2 * spent.rates.len();
        }
    }

    /// The seconds after which a command may be sent again, or `None` if Redis has to be asked.
    pub fn retry_after(&self, rate: &str, limit: u32, now_ms: u64) -> Option<u32> {
        let spent = self.spent.lock();
        let wait = spent.rates.get(rate)?;
        (limit <= wait.limit && now_ms < wait.certain_until_ms)
            .then(|| (wait.over_at_ms - now_ms).div_ceil(1_000) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_rejected_is_rejected_until_it_may_be_accepted() {
        let spent = SpentRates::default();
        let asked = |rate: &str, limit, now_ms| spent.retry_after(rate, limit, now_ms);
        assert_eq!(asked("alice", 240, 5_000), None);
        spent.note("alice".to_owned(), 240, 3, 5_000);
        assert_eq!([5_000, 5_001, 6_999, 7_000].map(|ms| asked("alice", 240, ms)), [Some(3), Some(3), Some(2), None]);
        assert_eq!([asked("alice", 480, 5_000), asked("bob", 240, 5_000)], [None, None]);
        spent.note("alice".to_owned(), 240, 1, 8_000);
        assert_eq!([8_000, 8_099, 8_100].map(|ms| asked("alice", 240, ms)), [Some(1), Some(1), None]);
    }

    #[test]
    fn those_who_may_send_again_are_forgotten() {
        let spent = SpentRates::default();
        for user in 0..10 * MIN_KEPT {
            spent.note(user.to_string(), 240, 60, user as u64 * 1_000);
        }
        assert!(spent.spent.lock().rates.len() <= 2 * MIN_KEPT);
    }
}
