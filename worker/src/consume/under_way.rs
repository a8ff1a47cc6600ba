//! The queries that this worker took and has not settled yet: no other worker may treat them as abandoned.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;

use fred::prelude::Client;
use parking_lot::Mutex;
use shared::lifecycle::Ticks;
use shared::redis::lanes;

/// The ids of the entries.
#[derive(Clone, Default)]
pub struct UnderWay(Arc<Mutex<HashSet<String>>>);

/// Entries in progress, until this is dropped.
pub struct Taken {
    pub ids: Vec<String>,
    under_way: UnderWay,
}

impl UnderWay {
    pub fn take(&self, ids: Vec<String>) -> Taken {
        self.0.lock().extend(ids.iter().cloned());
        Taken { ids, under_way: self.clone() }
    }

    pub fn has(&self, id: &str) -> bool {
        self.0.lock().contains(id)
    }

    /// At each tick, tells the other readers of the group that entries in progress since the last one are not
    /// abandoned.
    pub async fn keep(
        self,
        redis: Client,
        stream: String,
        group: &'static str,
        consumer: String,
        mut ticks: Ticks,
    ) -> Result<(), Infallible> {
        let mut before = Vec::new();
        while ticks.next().await {
            let now = self.0.lock().iter().cloned().collect();
            let mut slow = std::mem::replace(&mut before, now);
            slow.retain(|id| self.has(id));
            if slow.is_empty() {
                continue;
            }
            if let Err(error) = lanes::keep(&redis, &stream, group, &consumer, &slow).await {
                tracing::warn!(%error, "other workers may treat this worker's queries as abandoned");
            }
        }
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut under_way = self.under_way.0.lock();
        for id in &self.ids {
            under_way.remove(id);
        }
    }
}
