//! Rests between parts of background work that users cause, so that however much it is, members' commands are not delayed.

use std::time::{Duration, Instant};

/// The work then takes at most a quarter of one database connection's time.
const FACTOR: u32 = 3;
const LEAST: Duration = Duration::from_millis(20);
/// A part that took longer will have waited for a lock, not worked.
const MOST: Duration = Duration::from_secs(1);

/// Rests after a part that was begun then.
pub async fn after(begun: Instant) {
    tokio::time::sleep(length(begun.elapsed())).await;
}

fn length(part: Duration) -> Duration {
    (part * FACTOR).clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_quarters_of_the_time_are_rest() {
        let rests = [1, 10, 100, 5_000].map(|part| length(Duration::from_millis(part)).as_millis());
        assert_eq!(rests, [20, 30, 300, 1_000]);
    }
}
