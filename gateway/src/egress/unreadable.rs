//! Publications that this build cannot read. If one is from another version of the program, the sessions it was for
//! catch up, since a worker's replay contains what it said; if it was not written by our processes, it is counted and
//! changes nothing.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use shared::redis::keys::Channel;
use shared::wire::Unreadable;

use super::catch_up::catch_up;
use crate::connection::registry::Registry;
use crate::core::Core;

/// Everything in this time is handled together, so that a partly older fleet does not replay all the time.
const GATHERED_FOR: Duration = Duration::from_secs(2);
const LOG_INTERVAL_MS: u64 = 10_000;

#[derive(Default)]
pub struct NotRead {
    /// What waits to be replayed. Bounded by the channels subscribed to.
    channels: Arc<Mutex<HashSet<Channel>>>,
    /// When a rejection was last logged, by the process's uptime.
    logged_at_ms: Option<u64>,
}

impl NotRead {
    pub fn publication(&mut self, core: &Core, registry: &Arc<Registry>, channel: Channel, error: &Unreadable) {
        core.metrics.unreadable.increment(1);
        match error {
            Unreadable::TooNew => self.fall_behind(core, registry, channel),
            Unreadable::Forged(_) | Unreadable::Unverified => {
                core.metrics.rejected.increment(1);
                let now_ms = core.clock.now_ms();
                if self.logged_at_ms.is_none_or(|at| now_ms.saturating_sub(at) > LOG_INTERVAL_MS) {
                    self.logged_at_ms = Some(now_ms);
                    tracing::error!(%error, "publications were rejected: something else writes to Redis, or the keys differ");
                }
            }
            Unreadable::Malformed => {}
        }
    }

    fn fall_behind(&self, core: &Core, registry: &Arc<Registry>, channel: Channel) {
        let mut waiting = self.channels.lock();
        if !registry.has_audience(channel) || !waiting.insert(channel) || waiting.len() > 1 {
            return;
        }
        drop(waiting);
        let (channels, registry) = (self.channels.clone(), registry.clone());
        core.lifecycle.spawn_until_stopped("behind", async move {
            tokio::time::sleep(GATHERED_FOR).await;
            let channels = std::mem::take(&mut *channels.lock());
            let mut sessions = Vec::new();
            for channel in channels {
                registry.for_channel(channel, |connection| {
                    connection.interrupt();
                    sessions.push(Arc::downgrade(connection));
                });
            }
            tracing::warn!(sessions = sessions.len(), "publications of another version: sessions catch up");
            catch_up(sessions).await?;
            Ok::<_, Infallible>(())
        });
    }
}
