//! Settling: publishing what was applied, then deleting its entries, in one pipeline. It repeats until Redis takes it,
//! because what is committed must be told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fred::prelude::*;

use crate::app::App;
use crate::publish::{self, Publication};

const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What remains to be told and deleted of a wave.
#[derive(Default)]
pub struct Settlement {
    pub publications: Vec<Publication>,
    /// Entries to delete, by stream.
    pub done: BTreeMap<String, Vec<String>>,
    /// Entries to append elsewhere: stream and entry.
    pub passed_on: Vec<(String, Vec<u8>)>,
    /// Stream, entry and reason.
    pub dead_letters: Vec<(String, bytes::Bytes, String)>,
}

/// The oldest dead letters make room beyond this.
const DEAD_LETTERS_KEPT: i64 = 10_000;

impl Settlement {
    pub fn done(&mut self, stream: String, id: String) {
        self.done.entry(stream).or_default().push(id);
    }

    fn is_empty(&self) -> bool {
        self.publications.is_empty() && self.done.is_empty()
    }

    /// Publishes and deletes. `keep_trying` ends the repetition while Redis is away (the lease is lost, so another
    /// worker does it).
    pub async fn settle(self, app: &App, keep_trying: impl Fn() -> bool) {
        if self.is_empty() {
            return;
        }
        let started = Instant::now();
        let mut pause = Duration::from_millis(20);
        while let Err(error) = self.attempt(app).await {
            tracing::warn!(%error, publications = self.publications.len(), "settling failed");
            if !keep_trying() {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        app.metrics.settle_seconds.record(started.elapsed().as_secs_f64());
        app.metrics.publications.increment(self.publications.len() as u64);
        app.counts.add_publications(self.publications.len() as u64);
    }

    async fn attempt(&self, app: &App) -> Result<(), Error> {
        let pipeline = app.redis.pipeline();
        publish::queue(&pipeline, &app.keys, &self.publications).await?;
        for (stream, entry) in &self.passed_on {
            let fields = vec![(shared::stream::FIELD, bytes::Bytes::from(entry.clone()))];
            let _: () = pipeline.xadd(stream.as_str(), false, None, "*", fields).await?;
        }
        for (stream, entry, error) in &self.dead_letters {
            let fields: Vec<(&str, Value)> =
                vec![(shared::stream::FIELD, entry.clone().into()), ("error", error.as_str().into())];
            let cap = ("MAXLEN", "~", DEAD_LETTERS_KEPT);
            let _: () = pipeline.xadd(stream.as_str(), false, cap, "*", fields).await?;
        }
        for (stream, ids) in &self.done {
            let _: () = pipeline.xdel(stream.as_str(), ids.clone()).await?;
        }
        pipeline.all::<Vec<Value>>().await?;
        Ok(())
    }
}
