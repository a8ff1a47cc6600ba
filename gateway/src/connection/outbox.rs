//! Frames that wait to be written to one client: bounded in bytes, in order, with the frames marked that may be dropped
//! first. It knows neither sockets nor locks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::publication::Receipt;
use tokio::time::Instant;

/// What kind of frame this is for its client.
#[derive(Clone, Copy, Debug)]
pub enum Mark {
    /// A direct answer or a control frame: never dropped.
    Required,
    /// A large direct answer, still JSON: the session encodes it as frames.
    Answer,
    /// An event that the client can do without: the first to be dropped if the client is slow.
    Ephemeral,
    /// An event whose delivery must be reported.
    Receipt(Receipt),
}

impl From<Receipt> for Mark {
    fn from(receipt: Receipt) -> Self {
        match receipt {
            Receipt::None => Mark::Ephemeral,
            receipt => Mark::Receipt(receipt),
        }
    }
}

/// One frame, or several that belong together, and what it is for its client.
#[derive(Debug)]
pub struct Frame {
    pub bytes: Bytes,
    pub mark: Mark,
}

/// A frame on its way out. All connections that get the same bytes share it: a queue's item is a pointer.
pub type Outgoing = Arc<Frame>;

impl Frame {
    pub fn new(bytes: Bytes, mark: impl Into<Mark>) -> Outgoing {
        Arc::new(Frame { bytes, mark: mark.into() })
    }
}

/// What happened to a pushed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    Taken,
    /// This frame or earlier ones were dropped; the number of dropped frames.
    Dropped(u32),
    /// It does not fit even without the ephemeral frames: the client is too slow.
    Full,
}

#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Outgoing>,
    /// Bytes of the queue, and of frames handed out by [`Self::take`] that are not yet written.
    bytes: usize,
    /// When the limit was first exceeded; `None` once something fits again.
    over_since: Option<Instant>,
    /// Of these bytes, those of large answers: in the queue, and handed out.
    answers: [usize; 2],
}

/// A client that reads at full speed is not too slow just because much arrives at once: up to this many times the limit
/// may wait, for at most [`BURST_LASTS`].
pub const BURST: usize = 3;
const BURST_LASTS: Duration = Duration::from_secs(1);

/// Capacity that an emptied queue keeps: an idle connection should own almost nothing, but its next message should not
/// need an allocation.
const KEPT_CAPACITY: usize = 8;

/// One queue item and one allocation: many times the size of a pong.
const FRAME_OVERHEAD_BYTES: usize = 128;

impl Outbox {
    pub fn push(&mut self, item: Outgoing, limit_bytes: usize) -> Pushed {
        let size = item.bytes.len();
        let mut dropped = 0;
        let answer_size = if matches!(item.mark, Mark::Answer) { size } else { 0 };
        // A client is not slow because of answers it asked for; its session requests only a few answers at a time.
        let answers = self.answers.iter().sum::<usize>() + answer_size;
        let burst_bytes = limit_bytes.saturating_mul(BURST) + answers;
        let limit_bytes = limit_bytes + answers;
        if self.bytes() + size > limit_bytes {
            if matches!(item.mark, Mark::Ephemeral) {
                return Pushed::Dropped(1);
            }
            dropped = self.drop_ephemeral();
            // A frame over the limit still goes to a client that has read everything else.
            if self.bytes > 0 && self.bytes() + size > limit_bytes && self.is_too_slow(size, burst_bytes) {
                return Pushed::Full;
            }
        } else {
            self.over_since = None;
        }
        self.bytes += size;
        self.answers[0] += answer_size;
        self.queue.push_back(item);
        if dropped > 0 { Pushed::Dropped(dropped) } else { Pushed::Taken }
    }

    fn is_too_slow(&mut self, size: usize, burst_bytes: usize) -> bool {
        let since = *self.over_since.get_or_insert_with(Instant::now);
        self.bytes() + size > burst_bytes || since.elapsed() >= BURST_LASTS
    }

    fn drop_ephemeral(&mut self) -> u32 {
        let before = self.queue.len();
        let mut freed = 0;
        self.queue.retain(|item| {
            let keep = !matches!(item.mark, Mark::Ephemeral);
            if !keep {
                freed += item.bytes.len();
            }
            keep
        });
        self.bytes -= freed;
        (before - self.queue.len()) as u32
    }

    /// That what waits is written proves nothing any more.
    pub fn forget_receipts(&mut self) {
        for item in self.queue.iter_mut().filter(|item| matches!(item.mark, Mark::Receipt(_))) {
            *item = Frame::new(item.bytes.clone(), Mark::Required);
        }
    }

    /// Hands all waiting frames out by swapping with `empty`. True if there are large answers among them.
    pub fn take(&mut self, empty: &mut VecDeque<Outgoing>) -> bool {
        debug_assert!(empty.is_empty());
        self.answers = [0, self.answers[0]];
        if !self.queue.is_empty() {
            if empty.capacity() > KEPT_CAPACITY {
                empty.shrink_to(KEPT_CAPACITY);
            }
            std::mem::swap(&mut self.queue, empty);
        }
        self.answers[1] > 0
    }

    /// Records that this many bytes of handed-out frames were written.
    pub fn written(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if self.bytes == 0 {
            self.over_since = None;
        }
    }

    /// Records that a handed-out frame has changed its size.
    pub fn reframed(&mut self, before: usize, now: usize) {
        self.bytes = (self.bytes + now).saturating_sub(before);
        self.answers[1] = (self.answers[1] + now).saturating_sub(before);
    }

    /// Unwritten bytes, including those handed out, and the overhead of the waiting frames.
    pub fn bytes(&self) -> usize {
        self.bytes + self.queue.len() * FRAME_OVERHEAD_BYTES
    }

    /// Drops everything that waits.
    pub fn clear(&mut self) {
        let waiting: usize = self.queue.iter().map(|item| item.bytes.len()).sum();
        self.bytes -= waiting;
        self.answers[0] = 0;
        self.queue = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(size: usize, mark: Mark) -> Outgoing {
        Frame::new(Bytes::from(vec![0; size]), mark)
    }

    #[tokio::test(start_paused = true)]
    async fn ephemeral_frames_go_first_and_required_ones_never() {
        let two = 2 * (40 + FRAME_OVERHEAD_BYTES);
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(item(40, Mark::Ephemeral), two + 39), Pushed::Taken);
        assert_eq!(outbox.push(item(40, Mark::Required), two + 39), Pushed::Taken);
        assert_eq!(outbox.push(item(40, Mark::Ephemeral), two + 39), Pushed::Dropped(1));
        assert_eq!(outbox.push(item(40, Mark::Required), two + 39), Pushed::Dropped(1));
        assert_eq!(outbox.bytes(), two);
        assert_eq!(outbox.push(item(40, Mark::Required), two + 39), Pushed::Taken, "for the moment");
        tokio::time::advance(BURST_LASTS).await;
        assert_eq!(outbox.push(item(40, Mark::Required), two + 39), Pushed::Full);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_handed_out_count_until_they_are_written() {
        let limit = 60 + FRAME_OVERHEAD_BYTES;
        let mut outbox = Outbox::default();
        outbox.push(item(60, Mark::Required), limit);
        let mut writing = VecDeque::new();
        outbox.take(&mut writing);
        assert_eq!(writing.len(), 1);
        assert_eq!(outbox.push(item(130, Mark::Required), limit), Pushed::Taken, "for the moment");
        tokio::time::advance(BURST_LASTS).await;
        assert_eq!(outbox.push(item(60, Mark::Required), limit), Pushed::Full);
        outbox.take(&mut VecDeque::new());
        outbox.written(190);
        assert_eq!(outbox.push(item(60, Mark::Required), limit), Pushed::Taken);
        assert_eq!(outbox.bytes(), limit);
    }

    #[tokio::test(start_paused = true)]
    async fn much_at_once_waits_for_a_moment_and_is_bounded() {
        let mut outbox = Outbox::default();
        let taken = (0..10).take_while(|_| outbox.push(item(40_000, Mark::Required), 100_000) == Pushed::Taken).count();
        assert_eq!(taken, 7, "three times the limit");
        tokio::time::advance(BURST_LASTS / 2).await;
        outbox.take(&mut VecDeque::new());
        outbox.written(7 * 40_000);
        let again = (0..5).all(|_| outbox.push(item(40_000, Mark::Required), 100_000) == Pushed::Taken);
        assert!(again, "a client that has read everything may get as much again");
        tokio::time::advance(BURST_LASTS).await;
        assert_eq!(outbox.push(item(1, Mark::Required), 100_000), Pushed::Full);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_take_no_room_from_events() {
        let mut outbox = Outbox::default();
        let (limit, mut writing) = (100_000, VecDeque::new());
        for _ in 0..2 {
            assert_eq!(outbox.push(item(5_000_000, Mark::Answer), limit), Pushed::Taken);
        }
        outbox.take(&mut writing);
        assert_eq!(outbox.push(item(90_000, Mark::Required), limit), Pushed::Taken);
        tokio::time::advance(BURST_LASTS).await;
        assert_eq!(outbox.push(item(9_000, Mark::Required), limit), Pushed::Taken, "nothing is over the limit");
        assert_eq!(outbox.push(item(9_000, Mark::Required), limit), Pushed::Taken, "for the moment");
        outbox.written(10_000_000);
        outbox.take(&mut VecDeque::new());
        tokio::time::advance(BURST_LASTS).await;
        assert_eq!(outbox.push(item(9_000, Mark::Required), limit), Pushed::Full, "the answers are written");
    }

    #[test]
    fn many_small_frames_are_not_for_nothing() {
        let mut outbox = Outbox::default();
        let taken = (0..100_000).take_while(|_| outbox.push(item(2, Mark::Required), 1 << 20) == Pushed::Taken);
        assert!(taken.count() <= (BURST << 20) / (2 + FRAME_OVERHEAD_BYTES) + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_without_backlog_gets_a_frame_over_the_limit() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(item(500, Mark::Required), 100), Pushed::Taken);
        assert_eq!(outbox.push(item(1, Mark::Required), 100), Pushed::Full);
    }
}
