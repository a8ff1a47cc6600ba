//! Settling: publishing what was applied, then deleting its entries, in one write. It repeats until Redis accepts it,
//! because what is committed must be published.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use fred::prelude::*;
use shared::redis::dead_letters::{DeadLetter, DeadLetters};
use shared::redis::redirect::keyed;
use shared::telemetry::traces::{KeyValue, Span, SpanKind, TraceContext};

use crate::app::App;
use crate::outcome::Publication;
use crate::publish;

const MAX_PAUSE: Duration = Duration::from_secs(1);

/// What remains to be published and deleted of a wave.
#[derive(Default)]
pub struct Settlement {
    pub publications: Vec<Publication>,
    /// Entries to delete, by stream.
    pub done: BTreeMap<String, Vec<String>>,
    /// Entries to append elsewhere: stream and entry.
    pub passed_on: Vec<(String, Vec<u8>)>,
    pub dead_letters: Vec<DeadLetter>,
    /// Which publications belong to which trace.
    pub traced: Vec<(Range<usize>, TraceContext)>,
}

impl Settlement {
    pub fn done(&mut self, stream: String, id: String) {
        self.done.entry(stream).or_default().push(id);
    }

    fn trace_of(&self, publication: usize) -> Option<TraceContext> {
        self.traced.iter().find(|(range, _)| range.contains(&publication)).map(|(_, trace)| *trace)
    }

    fn is_empty(&self) -> bool {
        self.publications.is_empty() && self.done.is_empty()
    }

    /// Publishes and deletes. `keep_trying` ends the repetition while Redis is away (the lease is lost, so another
    /// worker does it). Returns true if everything worked at the first attempt: if not, another Redis server may have
    /// taken over that has not seen earlier deletions, and the streams have to be read again.
    #[must_use]
    pub async fn settle(self, app: &App, keep_trying: impl Fn() -> bool) -> bool {
        if self.is_empty() {
            return true;
        }
        let (started, started_at) = (tokio::time::Instant::now(), SystemTime::now());
        let mut pause = Duration::from_millis(20);
        let mut at_once = true;
        while let Err(error) = self.attempt(app).await {
            tracing::warn!(%error, publications = self.publications.len(), "settling failed");
            at_once = false;
            if !keep_trying() {
                return false;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
        for (publications, trace) in &self.traced {
            app.tracer.record(Span {
                name: "publish",
                kind: SpanKind::Producer,
                context: trace.child(),
                parent: Some(*trace),
                started_at,
                attributes: vec![KeyValue::new("chat.publications", publications.len() as i64)],
            });
        }
        app.metrics.settle_seconds.record(started.elapsed().as_secs_f64());
        app.recent.published(&self.publications, started);
        app.metrics.publications.increment(self.publications.len() as u64);
        app.counts.add_publications(self.publications.len() as u64);
        at_once
    }

    async fn attempt(&self, app: &App) -> Result<(), Error> {
        // An entry that is passed on must exist there before it is deleted here.
        for (stream, entry) in &self.passed_on {
            let fields = vec![(shared::stream::FIELD, bytes::Bytes::from(entry.clone()))];
            let () = keyed!(&app.redis, stream, |sender, stream| {
                let fields = fields.clone();
                async move { sender.xadd(stream, false, None, "*", fields).await }
            })
            .await?;
        }
        let dead_letters = DeadLetters::new(app.redis.clone(), &app.keys);
        for letter in &self.dead_letters {
            dead_letters.insert(letter).await?;
        }
        let messages = publish::messages(app, &self.publications, |index| self.trace_of(index));
        app.publisher.settle(&app.redis, &messages, &self.done, None).await
    }
}
