//! What this gateway received, by channel and conversation: which numbers arrived without a gap, so that the next
//! message's number or a worker's report reveals a lost one. Positions live as long as a connection here listens to
//! their channel: what arrived before the present subscription says nothing about what arrives on it. Only recent
//! positions are kept.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;
use shared::ids::ConversationId;
use shared::redis::keys::Channel;
use uuid::Uuid;

/// Well beyond the time for which workers report what they published.
const KEPT_MS: u64 = 120_000;
/// The number of conversations, and of events, that are kept; further ones are not tracked.
const MAX_POSITIONS: usize = 200_000;

#[derive(Default)]
pub struct Positions {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    channels: HashMap<Channel, HashMap<ConversationId, Range>>,
    /// The number of conversations of all channels.
    conversations: usize,
    /// Durable events of this period and the previous one.
    events: [HashSet<(Channel, Uuid)>; 2],
    swept_ms: u64,
}

/// The numbers `from..=to` arrived.
struct Range {
    from: i64,
    to: i64,
    at_ms: u64,
}

/// What a message's number shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeqCheck {
    Next,
    /// It already arrived on this channel.
    Again,
    /// The messages from this number up to this one did not arrive.
    Gap {
        from: i64,
    },
}

/// How what arrived compares with what a worker reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    Complete,
    /// The last ones are missing, from this number on.
    Behind {
        from: i64,
    },
    /// The first ones are missing, up to this number.
    Before {
        to: i64,
    },
    /// Nothing arrived.
    Nothing,
}

impl Positions {
    /// Records that a message arrived.
    pub fn message(&self, channel: Channel, conversation: ConversationId, seq: i64, now_ms: u64) -> SeqCheck {
        let mut inner = self.inner.lock();
        let is_full = inner.conversations >= MAX_POSITIONS;
        let known = inner.channels.get_mut(&channel).and_then(|conversations| conversations.get_mut(&conversation));
        let Some(range) = known else {
            if !is_full {
                let range = Range { from: seq, to: seq, at_ms: now_ms };
                inner.channels.entry(channel).or_default().insert(conversation, range);
                inner.conversations += 1;
            }
            return SeqCheck::Next;
        };
        let expected = range.to.saturating_add(1);
        range.at_ms = now_ms;
        if seq >= expected {
            range.to = seq;
        }
        match seq {
            seq if seq > expected => SeqCheck::Gap { from: expected },
            seq if seq == expected || seq < range.from => SeqCheck::Next,
            _ => SeqCheck::Again,
        }
    }

    /// Records that the messages `from..=to`, adjacent to those that arrived, are being filled in.
    pub fn made_up(&self, channel: Channel, conversation: ConversationId, from: i64, to: i64) {
        let mut inner = self.inner.lock();
        let conversations = inner.channels.get_mut(&channel);
        if let Some(range) = conversations.and_then(|conversations| conversations.get_mut(&conversation)) {
            range.from = range.from.min(from);
            range.to = range.to.max(to);
        }
    }

    /// Compares with messages `first..=last`.
    pub fn completeness(&self, channel: Channel, conversation: ConversationId, first: i64, last: i64) -> Completeness {
        let inner = self.inner.lock();
        match inner.channels.get(&channel).and_then(|conversations| conversations.get(&conversation)) {
            Some(range) if range.to < last => Completeness::Behind { from: range.to + 1 },
            Some(range) if range.from > first => Completeness::Before { to: range.from - 1 },
            Some(_) => Completeness::Complete,
            // It may have arrived when there was no room to record it.
            None if inner.conversations >= MAX_POSITIONS => Completeness::Complete,
            None => Completeness::Nothing,
        }
    }

    /// Records that a durable event arrived, live or replayed.
    pub fn event(&self, channel: Channel, event: Uuid) {
        let mut inner = self.inner.lock();
        if inner.events[0].len() < MAX_POSITIONS {
            inner.events[0].insert((channel, event));
        }
    }

    /// True if a durable event arrived on one of these channels.
    pub fn has_event(&self, channels: impl IntoIterator<Item = Channel>, event: Uuid) -> bool {
        let inner = self.inner.lock();
        channels.into_iter().any(|channel| inner.events.iter().any(|seen| seen.contains(&(channel, event))))
    }

    /// Called for the first listener on a channel: what arrived on it before belongs to another subscription.
    pub fn begin(&self, channel: Channel) {
        let mut inner = self.inner.lock();
        let forgotten = inner.channels.remove(&channel).map_or(0, |conversations| conversations.len());
        inner.conversations -= forgotten;
    }

    /// Forgets everything: earlier gaps are filled in another way.
    pub fn clear(&self) {
        let mut inner = self.inner.lock();
        inner.channels.clear();
        inner.conversations = 0;
    }

    /// Forgets old positions; cheap except once per period.
    pub fn sweep(&self, now_ms: u64) {
        let mut inner = self.inner.lock();
        if now_ms < inner.swept_ms + KEPT_MS {
            return;
        }
        inner.swept_ms = now_ms;
        inner.channels.retain(|_, conversations| {
            conversations.retain(|_, range| range.at_ms + KEPT_MS > now_ms);
            !conversations.is_empty()
        });
        inner.channels.shrink_to_fit();
        inner.conversations = inner.channels.values().map(HashMap::len).sum();
        inner.events.swap(0, 1);
        inner.events[0] = HashSet::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ids::UserId;

    const CHANNEL: Channel = Channel::User(UserId(1));

    fn conversation() -> ConversationId {
        ConversationId::direct(UserId(1), UserId(2))
    }

    #[test]
    fn a_number_tells_what_is_missing_and_what_came_before() {
        let positions = Positions::default();
        let arrives = |seq| positions.message(CHANNEL, conversation(), seq, 0);
        assert_eq!(arrives(5), SeqCheck::Next);
        assert_eq!(arrives(6), SeqCheck::Next);
        assert_eq!(arrives(6), SeqCheck::Again);
        assert_eq!(arrives(9), SeqCheck::Gap { from: 7 });
        assert_eq!(arrives(10), SeqCheck::Next);
        // From before the first one, about which nothing is known.
        assert_eq!(arrives(4), SeqCheck::Next);
        // Another channel has its own numbers.
        assert_eq!(positions.message(Channel::User(UserId(2)), conversation(), 20, 0), SeqCheck::Next);
    }

    #[test]
    fn a_report_shows_what_never_came() {
        let positions = Positions::default();
        let completeness = |first, last| positions.completeness(CHANNEL, conversation(), first, last);
        assert_eq!(completeness(1, 1), Completeness::Nothing);
        positions.message(CHANNEL, conversation(), 5, 0);
        assert_eq!(completeness(5, 5), Completeness::Complete);
        assert_eq!(completeness(3, 5), Completeness::Before { to: 4 });
        assert_eq!(completeness(5, 7), Completeness::Behind { from: 6 });
        positions.made_up(CHANNEL, conversation(), 6, 7);
        positions.made_up(CHANNEL, conversation(), 4, 4);
        assert_eq!(completeness(4, 7), Completeness::Complete);
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let positions = Positions::default();
        positions.message(CHANNEL, conversation(), 5, 1);
        positions.event(CHANNEL, Uuid::nil());
        positions.sweep(KEPT_MS);
        assert!(positions.has_event([CHANNEL], Uuid::nil()));
        positions.sweep(2 * KEPT_MS);
        assert!(!positions.has_event([CHANNEL], Uuid::nil()));
        assert_eq!(positions.completeness(CHANNEL, conversation(), 5, 5), Completeness::Nothing);
    }
}
