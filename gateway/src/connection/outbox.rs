//! What waits to be written to one client: bounded in bytes, in order, and which frames may be dropped first.
//! It knows neither sockets nor locks.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use shared::publication::Receipt;

/// What a frame is to its client.
#[derive(Clone, Debug)]
pub enum Mark {
    /// A direct answer or a control frame: never dropped.
    Required,
    /// A large direct answer, which is still JSON: the session makes frames of it.
    Answer,
    /// An event nobody needs to be sure to get: the first to go when the client is slow.
    Ephemeral,
    /// An event whose delivery is to be reported.
    Receipt(Arc<Receipt>),
}

impl From<Receipt> for Mark {
    fn from(receipt: Receipt) -> Self {
        match receipt {
            Receipt::None => Mark::Ephemeral,
            receipt => Mark::Receipt(Arc::new(receipt)),
        }
    }
}

/// One frame on its way out.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub frame: Bytes,
    pub mark: Mark,
}

/// Whether a frame was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    Taken,
    /// It, or earlier ones, were dropped; this many frames in all.
    Dropped(u32),
    /// It does not fit even without the ephemeral frames.
    Full,
}

#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Outgoing>,
    /// Of the queue, and of frames handed out by [`Self::take`] that are not yet written.
    bytes: usize,
}

/// Room for large answers besides that for everything else.
const ANSWERS_BYTES: usize = 4 * 1024 * 1024;

/// Capacity that an emptied queue may keep: a connection between messages should own next to nothing, but the next message
/// should need no allocation.
const KEPT_CAPACITY: usize = 8;

/// An item in the queue and an allocation: many times a pong.
const FRAME_OVERHEAD_BYTES: usize = 128;

impl Outbox {
    pub fn push(&mut self, item: Outgoing, limit_bytes: usize) -> Pushed {
        let size = item.frame.len();
        let mut dropped = 0;
        // The connection asked for it, and its session asks for no more than it takes.
        let limit_bytes = if matches!(item.mark, Mark::Answer) { limit_bytes + ANSWERS_BYTES } else { limit_bytes };
        if self.bytes() + size > limit_bytes {
            if matches!(item.mark, Mark::Ephemeral) {
                return Pushed::Dropped(1);
            }
            dropped = self.drop_ephemeral();
            // One frame larger than the limit still goes to a client that has read everything else.
            if self.bytes > 0 && self.bytes() + size > limit_bytes {
                return Pushed::Full;
            }
        }
        self.bytes += size;
        self.queue.push_back(item);
        if dropped > 0 { Pushed::Dropped(dropped) } else { Pushed::Taken }
    }

    fn drop_ephemeral(&mut self) -> u32 {
        let before = self.queue.len();
        let mut freed = 0;
        self.queue.retain(|item| {
            let keep = !matches!(item.mark, Mark::Ephemeral);
            if !keep {
                freed += item.frame.len();
            }
            keep
        });
        self.bytes -= freed;
        (before - self.queue.len()) as u32
    }

    /// Hands all waiting frames out by swapping with `empty`.
    pub fn take(&mut self, empty: &mut VecDeque<Outgoing>) {
        debug_assert!(empty.is_empty());
        if !self.queue.is_empty() {
            if empty.capacity() > KEPT_CAPACITY {
                empty.shrink_to(KEPT_CAPACITY);
            }
            std::mem::swap(&mut self.queue, empty);
        }
    }

    /// So many bytes of frames handed out were written.
    pub fn written(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// A frame handed out has become another one.
    pub fn reframed(&mut self, before: usize, now: usize) {
        self.bytes = (self.bytes + now).saturating_sub(before);
    }

    /// Bytes not yet written, those handed out included, and what it costs to keep the waiting ones as frames.
    pub fn bytes(&self) -> usize {
        self.bytes + self.queue.len() * FRAME_OVERHEAD_BYTES
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        let waiting: usize = self.queue.iter().map(|item| item.frame.len()).sum();
        self.bytes -= waiting;
        self.queue = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(size: usize, mark: Mark) -> Outgoing {
        Outgoing { frame: Bytes::from(vec![0; size]), mark }
    }

    #[test]
    fn ephemeral_frames_go_first_and_required_ones_never() {
        let two = 2 * (40 + FRAME_OVERHEAD_BYTES);
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(item(40, Mark::Ephemeral), two + 39), Pushed::Taken);
        assert_eq!(outbox.push(item(40, Mark::Required), two + 39), Pushed::Taken);
        assert_eq!(outbox.push(item(40, Mark::Ephemeral), two + 39), Pushed::Dropped(1));
        assert_eq!(outbox.push(item(40, Mark::Required), two + 39), Pushed::Dropped(1));
        assert_eq!(outbox.bytes(), two);
        assert_eq!(outbox.push(item(40, Mark::Required), two + 39), Pushed::Full);
    }

    #[test]
    fn bytes_handed_out_count_until_they_are_written() {
        let mut outbox = Outbox::default();
        outbox.push(item(60, Mark::Required), 100);
        let mut writing = VecDeque::new();
        outbox.take(&mut writing);
        assert_eq!(writing.len(), 1);
        assert_eq!(outbox.push(item(60, Mark::Required), 100), Pushed::Full);
        outbox.written(60);
        assert_eq!(outbox.push(item(60, Mark::Required), 100), Pushed::Taken);
        assert_eq!(outbox.bytes(), 60 + FRAME_OVERHEAD_BYTES);
    }

    #[test]
    fn many_small_frames_are_not_for_nothing() {
        let mut outbox = Outbox::default();
        let taken = (0..100_000).take_while(|_| outbox.push(item(2, Mark::Required), 1 << 20) == Pushed::Taken);
        assert_eq!(taken.count(), (1 << 20) / (2 + FRAME_OVERHEAD_BYTES) + 1);
    }

    #[test]
    fn a_frame_over_the_limit_goes_to_a_client_that_has_read_everything() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(item(500, Mark::Required), 100), Pushed::Taken);
        assert_eq!(outbox.push(item(1, Mark::Required), 100), Pushed::Full);
    }
}
