//! A connection that waits for messages lost on the way. It holds back newer ones until it has them.

use std::sync::atomic::Ordering;

use shared::clock::Timestamp;
use shared::dialects::Dialect;
use shared::ids::ConversationId;
use shared::publication::Receipt;
use shared::stream::ReplayedEvent;
use websocket::PreparedText;

use crate::connection::Connection;
use crate::connection::outbox::Frame;

/// Lost messages of one conversation, each prepared once for all connections.
pub struct Filling {
    messages: Vec<Message>,
}

struct Message {
    receipt: Receipt,
    seq: i64,
    prepared: PreparedText,
}

impl Filling {
    /// The messages among the events, up to a number.
    pub fn new(events: &[ReplayedEvent], to: i64) -> Self {
        let message = |event: &ReplayedEvent| match event.receipt {
            Receipt::Message { seq, .. } if seq <= to => {
                Some(Message { receipt: event.receipt, seq, prepared: PreparedText::new(&event.json) })
            }
            _ => None,
        };
        Filling { messages: events.iter().filter_map(message).collect() }
    }

    /// The number of the last message.
    pub fn last(&self) -> Option<i64> {
        self.messages.last().map(|message| message.seq)
    }
}

impl Connection {
    /// Starts holding events back, until [`Self::fill`] or [`Self::abandon_fill`]. False if the connection is going to
    /// catch up anyway.
    pub fn begin_fill(&self, fill: u64, conversation: ConversationId) -> bool {
        let mut inner = self.inner.lock();
        if inner.interrupted {
            return false;
        }
        // If something held back lies between two gaps, or a running replay may have been read earlier, the session
        // asks for everything.
        let replaying = inner.held.is_some() && inner.fills.is_empty();
        if replaying || inner.fills.iter().any(|(_, filling)| *filling == conversation) {
            inner.fills.clear();
            inner.interrupted = true;
            inner.catch_up = true;
            drop(inner);
            self.wake();
            return false;
        }
        inner.held.get_or_insert_default();
        inner.fills.push((fill, conversation));
        true
    }

    /// Puts the lost messages after number `only_after` into the outbox, and releases what was held back for them.
    pub fn fill(&self, fill: u64, filling: &Filling, only_after: i64) {
        let mut inner = self.inner.lock();
        let Some(at) = inner.fills.iter().position(|(waiting, _)| *waiting == fill) else { return };
        inner.fills.swap_remove(at);
        for message in filling.messages.iter().filter(|message| message.seq > only_after) {
            if let Some(held) = &mut inner.held {
                held.note_filled(&message.receipt);
            }
            let frame = match self.dialect {
                Dialect::ChatV1 => message.prepared.frame(self.deflate),
                _ => self.event_frame(message.prepared.payload()),
            };
            self.put(&mut inner, Frame::new(frame, message.receipt));
        }
        drop(inner);
        self.release();
    }

    /// Called if the lost messages cannot be fetched this way: the session then asks for everything it missed.
    pub fn abandon_fill(&self, fill: u64) {
        let mut inner = self.inner.lock();
        if inner.fills.iter().any(|(waiting, _)| *waiting == fill) {
            inner.fills.clear();
            inner.interrupted = true;
            inner.catch_up = true;
        }
        drop(inner);
        self.wake();
    }

    /// Records that a replay is requested now.
    pub fn note_resumed(&self) {
        self.timers.resumed_at_ms.store(Timestamp::now().0, Ordering::Relaxed);
    }

    /// True if the connection requested its last replay before this time; that replay then says nothing about later
    /// events.
    pub fn resumed_before(&self, at: Timestamp) -> bool {
        self.is_open() && self.timers.resumed_at_ms.load(Ordering::Relaxed) < at.0
    }

    /// True if the connection will ask for what it missed, or is doing so.
    pub fn is_catching_up(&self) -> bool {
        let inner = self.inner.lock();
        inner.interrupted || (inner.held.is_some() && inner.fills.is_empty())
    }
}
