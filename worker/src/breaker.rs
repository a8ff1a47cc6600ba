//! Leaves something alone that does not answer, so that a dead one does not cost everybody who asks it the whole timeout.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub struct Breaker {
    /// Failures in a row after which it is taken to be down.
    down_after: u32,
    /// From then on it is asked once in this time, to find out whether it is back.
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures_in_a_row: u32,
    /// While it is down: when it is to be asked again.
    retry_at: Option<Instant>,
}

impl Breaker {
    pub fn new(down_after: u32, pause: Duration) -> Self {
        Breaker { down_after, pause, state: Mutex::default() }
    }

    pub fn may_ask(&self) -> bool {
        self.may_ask_at(Instant::now())
    }

    fn may_ask_at(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        match state.retry_at {
            None => true,
            Some(at) if at <= now => {
                state.retry_at = Some(now + self.pause);
                true
            }
            Some(_) => false,
        }
    }

    /// Whether it was down.
    pub fn succeeded(&self) -> bool {
        std::mem::take(&mut *self.state.lock()).retry_at.is_some()
    }

    /// Whether it is down.
    pub fn failed(&self) -> bool {
        self.failed_at(Instant::now())
    }

    fn failed_at(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        state.failures_in_a_row = state.failures_in_a_row.saturating_add(1);
        let is_down = state.failures_in_a_row >= self.down_after;
        if is_down {
            state.retry_at = Some(now + self.pause);
        }
        is_down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWN_AFTER: u32 = 5;
    const PAUSE: Duration = Duration::from_secs(5);

    #[test]
    fn what_is_down_is_asked_once_in_a_while() {
        let (breaker, start) = (Breaker::new(DOWN_AFTER, PAUSE), Instant::now());
        for failure in 1..=DOWN_AFTER {
            assert!(breaker.may_ask_at(start));
            assert_eq!(breaker.failed_at(start), failure == DOWN_AFTER);
        }
        assert!(!breaker.may_ask_at(start + PAUSE / 2));
        assert!(breaker.may_ask_at(start + PAUSE), "one finds out");
        assert!(!breaker.may_ask_at(start + PAUSE), "and no other");
        assert!(breaker.failed_at(start + PAUSE));
        assert!(!breaker.may_ask_at(start + PAUSE + PAUSE / 2));
        assert!(breaker.may_ask_at(start + 2 * PAUSE));
        assert!(breaker.succeeded());
        assert!(breaker.may_ask_at(start + 2 * PAUSE) && breaker.may_ask_at(start + 2 * PAUSE));
        assert!(!breaker.succeeded());
    }

    #[test]
    fn failures_between_successes_do_not_add_up() {
        let breaker = Breaker::new(DOWN_AFTER, PAUSE);
        for _ in 0..100 {
            assert!(!breaker.failed() && !breaker.failed());
            breaker.succeeded();
        }
        assert!(breaker.may_ask());
    }
}
