//! What this worker published in the last seconds, and the partitions it took over from workers that did not give them
//! back. Gateways compare both with what they received (`jobs::report`).

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use shared::ids::{ConversationId, UserId};
use shared::publication::{Header, Receipt, Report, ReportedMessages};
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use crate::outcome::Publication;

/// How many reports mention the same thing, because the first ones may be lost.
const TOLD: usize = 3;
/// How many conversations, and events, are kept between two reports; further ones are not reported.
const MAX_REMEMBERED: usize = 50_000;

#[derive(Default)]
pub struct Recent {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    now: Interval,
    told: VecDeque<Interval>,
    abandoned: Option<Abandoned>,
}

/// The time between two reports.
#[derive(Default)]
struct Interval {
    messages: HashMap<ConversationId, Published>,
    events: Vec<(UserId, Uuid)>,
}

struct Published {
    first: (i64, Instant),
    last: (i64, Instant),
}

/// Partitions whose owner died: what it committed last may never have been published.
pub struct Abandoned {
    pub partitions: Vec<i32>,
    /// When the first of their leases expired.
    pub since: OffsetDateTime,
    pub taken_at: Instant,
}

impl Recent {
    /// Records published messages, none published before `started`.
    pub fn published(&self, publications: &[Publication], started: Instant) {
        let mut inner = self.inner.lock();
        for publication in publications {
            if let Header::Event(header)
            | Header::AnswerAndEvent { event: header, .. }
            | Header::ReducedFor { event: header, .. } = &publication.header
                && let Receipt::Message { conversation, seq, .. } = header.receipt
            {
                inner.now.note(conversation, seq, started);
            }
        }
    }

    /// Records what was found stored, published or not.
    pub fn found(&self, messages: impl Iterator<Item = (ConversationId, i64)>, events: Vec<(UserId, Uuid)>) {
        let (now, mut inner) = (Instant::now(), self.inner.lock());
        messages.for_each(|(conversation, seq)| inner.now.note(conversation, seq, now));
        let room = MAX_REMEMBERED.saturating_sub(inner.now.events.len());
        inner.now.events.extend(events.into_iter().take(room));
    }

    pub fn abandoned(&self, partition: i32, since: OffsetDateTime) {
        let mut inner = self.inner.lock();
        let new = || Abandoned { partitions: Vec::new(), since, taken_at: Instant::now() };
        let abandoned = inner.abandoned.get_or_insert_with(new);
        abandoned.partitions.push(partition);
        abandoned.since = abandoned.since.min(since);
        abandoned.taken_at = Instant::now();
    }

    /// Takes the partitions that were taken over before `taken_before`.
    pub fn take_abandoned(&self, taken_before: Instant) -> Option<Abandoned> {
        self.inner.lock().abandoned.take_if(|abandoned| abandoned.taken_at <= taken_before)
    }

    /// Forgets everything, because the numbers belong to another history.
    pub fn clear(&self) {
        *self.inner.lock() = Inner::default();
    }

    /// The next report.
    pub fn report(&self) -> Report {
        let mut inner = self.inner.lock();
        let now = std::mem::take(&mut inner.now);
        inner.told.push_back(now);
        if inner.told.len() > TOLD {
            inner.told.pop_front();
        }
        let mut report = Report::default();
        for interval in &inner.told {
            report.messages.extend(interval.messages.iter().map(|(id, published)| published.reported(*id)));
            report.events.extend(&interval.events);
        }
        report
    }
}

impl Interval {
    fn note(&mut self, conversation: ConversationId, seq: i64, at: Instant) {
        let is_full = self.messages.len() >= MAX_REMEMBERED;
        match self.messages.get_mut(&conversation) {
            Some(published) if seq > published.last.0 => published.last = (seq, at),
            // A repetition.
            Some(_) => {}
            None if is_full => {}
            None => {
                self.messages.insert(conversation, Published { first: (seq, at), last: (seq, at) });
            }
        }
    }
}

impl Published {
    fn reported(&self, conversation: ConversationId) -> ReportedMessages {
        let age_ms = |at: Instant| u32::try_from(at.elapsed().as_millis()).unwrap_or(u32::MAX);
        ReportedMessages {
            conversation,
            first: self.first.0,
            last: self.last.0,
            first_age_ms: age_ms(self.first.1),
            last_age_ms: age_ms(self.last.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_reported_three_times() {
        let recent = Recent::default();
        let conversation = ConversationId::direct(UserId(1), UserId(2));
        recent.found(
            [(conversation, 3), (conversation, 5), (conversation, 4)].into_iter(),
            vec![(UserId(1), Uuid::nil())],
        );
        for _ in 0..TOLD {
            let report = recent.report();
            assert_eq!(report.messages.iter().map(|told| (told.first, told.last)).collect::<Vec<_>>(), [(3, 5)]);
            assert_eq!(report.events.len(), 1);
        }
        assert_eq!(recent.report(), Report::default());
    }
}
