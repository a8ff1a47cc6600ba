//! The queries that this worker took and has not settled yet: no other worker may treat them as abandoned.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use fred::prelude::Error;
use parking_lot::Mutex;
use shared::lifecycle::Ticks;
use shared::redis::lanes;

use crate::app::App;

/// The ids of the entries; true for those in progress.
#[derive(Clone, Default)]
pub struct UnderWay(Arc<Mutex<HashMap<String, bool>>>);

/// Entries that wait or are in progress, until this is dropped.
pub struct Taken {
    pub ids: Vec<String>,
    under_way: UnderWay,
}

impl UnderWay {
    pub fn take(&self, ids: Vec<String>) -> Taken {
        self.0.lock().extend(ids.iter().map(|id| (id.clone(), false)));
        Taken { ids, under_way: self.clone() }
    }

    pub fn has(&self, id: &str) -> bool {
        self.0.lock().contains_key(id)
    }

    /// Looks at each tick at the entries that were here at the last one. It tells the other readers of the group that
    /// those that wait are not abandoned. It deletes those in progress, because gateways would close the lane for
    /// everybody when they are old. Such a query is not repeated if this worker dies: its sender gets an error at its
    /// deadline.
    pub async fn keep(
        self,
        app: Arc<App>,
        stream: String,
        group: &'static str,
        consumer: String,
        mut ticks: Ticks,
    ) -> Result<(), Infallible> {
        let mut before = Vec::new();
        while ticks.next().await {
            let now = self.0.lock().keys().cloned().collect();
            let (begun, waiting) = self.present(std::mem::replace(&mut before, now));
            let kept = async {
                if !waiting.is_empty() {
                    lanes::keep(&app.redis, &stream, group, &consumer, &waiting).await?;
                }
                if !begun.is_empty() {
                    let done = BTreeMap::from([(stream.clone(), begun.clone())]);
                    app.publisher.settle(&app.redis, &[], &done, Some(group)).await?;
                    self.forget(&begun);
                }
                Ok::<(), Error>(())
            };
            if let Err(error) = kept.await {
                tracing::warn!(%error, "other workers may treat this worker's queries as abandoned");
            }
        }
        Ok(())
    }

    /// Those of these entries that are still here: those in progress, and those that wait.
    fn present(&self, ids: Vec<String>) -> (Vec<String>, Vec<String>) {
        let entries = self.0.lock();
        let present = ids.into_iter().filter(|id| entries.contains_key(id));
        present.partition(|id| entries.get(id).is_some_and(|has_begun| *has_begun))
    }

    fn forget(&self, ids: &[String]) {
        let mut entries = self.0.lock();
        for id in ids {
            entries.remove(id);
        }
    }
}

impl Taken {
    /// Records that the entries are in progress.
    pub fn begin(&self) {
        let mut entries = self.under_way.0.lock();
        for id in &self.ids {
            if let Some(has_begun) = entries.get_mut(id) {
                *has_begun = true;
            }
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.under_way.forget(&self.ids);
    }
}
