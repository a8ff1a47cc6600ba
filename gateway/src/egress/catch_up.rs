//! Lets sessions whose subscription was interrupted request what they missed, at a pace that leaves workers time for
//! their other work.

use std::convert::Infallible;
use std::sync::Weak;
use std::time::Duration;

use crate::connection::Connection;

/// Sessions that begin to catch up per step, and the pause between steps.
pub const STEP: usize = 50;
const CATCH_UP_PAUSE: Duration = Duration::from_millis(25);

/// Lets interrupted sessions request what they missed, a few at a time.
pub async fn catch_up(sessions: Vec<Weak<Connection>>) -> Result<(), Infallible> {
    for step in sessions.chunks(STEP) {
        step.iter().filter_map(Weak::upgrade).for_each(|connection| connection.catch_up());
        tokio::time::sleep(CATCH_UP_PAUSE).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::connection;

    #[tokio::test(start_paused = true)]
    async fn sessions_catch_up_a_step_at_a_time() {
        let connections: Vec<_> = (1..=120).map(connection).collect();
        let begun = || connections.iter().filter(|connection| connection.signals().catch_up).count();
        let catching_up = tokio::spawn(catch_up(connections.iter().map(Arc::downgrade).collect()));
        for expected in [50, 100, 120] {
            // Halfway between two steps.
            tokio::time::sleep(CATCH_UP_PAUSE / 2).await;
            assert_eq!(begun(), expected);
            tokio::time::sleep(CATCH_UP_PAUSE / 2).await;
        }
        catching_up.await.unwrap().unwrap();
    }
}
