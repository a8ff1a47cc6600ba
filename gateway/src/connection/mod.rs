//! One client's connection as the rest of the process sees it: where its frames are put, and when it has to end.
//! `in_flight` holds the commands that wait for an answer, `owner` the connection's user, `fills` the lost messages.
//! Only its session touches the socket.

pub mod deliveries;
pub mod fills;
pub mod held;
pub mod in_flight;
pub mod outbox;
mod owner;
pub mod received;
pub mod registry;
mod translated;

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::task::Waker;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use shared::auth::TokenHash;
use shared::dialects::Dialect;
use shared::ids::{ConnectionId, ConversationId, Epoch, GroupId};
use shared::protocol::CloseCode;
use shared::stream::ReplayedEvent;
use shared::telemetry::traces::TraceContext;
use uuid::Uuid;

use crate::connection::deliveries::Deliveries;
use crate::connection::held::HeldEvents;
use crate::connection::outbox::{Frame, Mark, Outbox, Outgoing, Pushed};
use crate::connection::received::Received;
pub use in_flight::{InFlight, Rest};
pub use translated::Translated;

pub struct Connection {
    pub id: ConnectionId,
    /// `clientId` of the greeting, and the session's id in the fleet.
    pub session: Uuid,
    /// True if compression was negotiated.
    pub deflate: bool,
    pub dialect: Dialect,
    outbox_limit_bytes: usize,
    pub timers: Timers,
    /// 0 until it is known.
    user: AtomicI64,
    waker: AtomicWaker,
    deliveries: Deliveries,
    /// The trace of the request that opened it, if that was traced.
    trace: Option<TraceContext>,
    inner: Mutex<Inner>,
}

/// When the connection was last heard from, and when something is due. Only the sweep reads it.
pub struct Timers {
    pub last_frame_ms: AtomicU64,
    pub last_text_ms: AtomicU64,
    pub next_ping_ms: AtomicU64,
    /// `u64::MAX` once authenticated.
    pub authenticate_by_ms: AtomicU64,
    /// The token's expiry in Unix seconds; `i64::MAX` before authentication.
    pub expires_unix: AtomicI64,
    /// When the session opened, in Unix milliseconds; 0 before.
    pub opened_at_ms: AtomicI64,
    /// When its last replay was requested, in Unix milliseconds.
    pub resumed_at_ms: AtomicI64,
}

#[derive(Default)]
struct Inner {
    outbox: Outbox,
    held: Option<Box<HeldEvents>>,
    in_flight: Vec<InFlight>,
    /// Some of them may have a next round to request; see `in_flight`.
    has_rest: bool,
    /// The cost of all commands in flight.
    cost: usize,
    close: Option<Close>,
    received: Received,
    /// The histories of the database that the connection has lived in.
    history: u32,
    /// What was handed out to be written is of an earlier history.
    writes_earlier: bool,
    groups: HashSet<GroupId>,
    /// Which history of the database the client was told of.
    epoch: Option<Epoch>,
    /// The tokens that the session lives by: its own, and during a renewal the next one.
    tokens: [Option<TokenHash>; 2],
    wants: Wants,
    /// Events may have been missed; live ones stay held back until these are replayed.
    interrupted: bool,
    /// Lost messages that the connection waits for; see `fills`.
    fills: Vec<(u64, ConversationId)>,
    /// The session may request the replay now.
    catch_up: bool,
    #[cfg(test)]
    panic_next: bool,
}

/// What a client asks for when it authenticates.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wants {
    /// Its confirmations: a successful write is not proof of delivery.
    pub acks: bool,
    /// Comings and goings in batches.
    pub presence_batches: bool,
}

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    pub code: u16,
    pub reason: &'static str,
}

impl Close {
    pub fn new(code: CloseCode, reason: &'static str) -> Self {
        Close { code: code as u16, reason }
    }
}

/// What a session checks each time it wakes.
#[derive(Clone, Copy, Debug)]
pub struct Signals {
    pub close: Option<Close>,
    pub in_flight: usize,
    /// The cost of what is in flight, see [`InFlight::cost`].
    pub cost: usize,
    pub unwritten_bytes: usize,
    pub catch_up: bool,
    /// An answer may have another round to request.
    pub has_rest: bool,
}

/// What happened to an event at one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Its session has to be woken.
    pub wake: bool,
    pub dropped: u32,
    /// It is being closed because it reads too slowly.
    pub too_slow: bool,
}

impl Connection {
    pub fn new(
        id: ConnectionId,
        session: Uuid,
        deflate: bool,
        dialect: Dialect,
        outbox_limit_bytes: usize,
        timers: Timers,
        deliveries: Deliveries,
    ) -> Self {
        Connection {
            id,
            session,
            deflate,
            dialect,
            outbox_limit_bytes,
            timers,
            user: AtomicI64::new(0),
            waker: AtomicWaker::new(),
            deliveries,
            trace: None,
            inner: Mutex::default(),
        }
    }

    /// Adds what the connection sends to this trace.
    #[must_use]
    pub fn traced(self, trace: Option<TraceContext>) -> Self {
        Connection { trace, ..self }
    }

    pub fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    // The session's side.

    pub fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    pub fn wake(&self) {
        self.waker.wake();
    }

    pub fn signals(&self) -> Signals {
        let inner = self.inner.lock();
        #[cfg(test)]
        assert!(!inner.panic_next, "a test requested a panic");
        Signals {
            close: inner.close,
            in_flight: inner.in_flight.len(),
            cost: inner.cost,
            unwritten_bytes: inner.outbox.bytes(),
            catch_up: inner.catch_up,
            has_rest: inner.has_rest,
        }
    }

    /// Makes the session panic at its next check.
    #[cfg(test)]
    pub fn panic_next(&self) {
        self.inner.lock().panic_next = true;
    }

    /// Hands out what is to be written. Large answers become frames here, outside the lock.
    pub fn take_outgoing(&self, empty: &mut VecDeque<Outgoing>) {
        let mut inner = self.inner.lock();
        inner.writes_earlier = false;
        let has_answers = inner.outbox.take(empty);
        drop(inner);
        if has_answers {
            self.encode_answers(empty);
        }
    }

    fn encode_answers(&self, outgoing: &mut VecDeque<Outgoing>) {
        let (mut before, mut now) = (0, 0);
        outgoing.retain_mut(|item| {
            if !matches!(item.mark, Mark::Answer) {
                return true;
            }
            before += item.bytes.len();
            let Some(frames) = self.answer_frames(&item.bytes) else { return false };
            now += frames.len();
            *item = Frame::new(frames, Mark::Required);
            true
        });
        self.inner.lock().outbox.reframed(before, now);
    }

    /// Records that `bytes` bytes were written, and with them the first `frames` frames of `writing`. True if receipts
    /// are due.
    pub fn written(&self, bytes: usize, frames: usize, writing: &mut VecDeque<Outgoing>) -> bool {
        let user = self.user();
        let mut inner = self.inner.lock();
        inner.outbox.written(bytes);
        let mut due = false;
        for _ in 0..frames {
            let Some(item) = writing.pop_front() else { break };
            let (Mark::Receipt(receipt), Some(user)) = (&item.mark, user) else { continue };
            if inner.writes_earlier {
                continue;
            }
            if inner.wants.acks {
                inner.received.note_unconfirmed(receipt);
            } else {
                due |= inner.received.note(receipt, user);
                self.deliveries.note(receipt, user);
            }
        }
        due
    }

    /// Puts an answer or a control frame into the outbox and wakes the session.
    pub fn push(&self, frame: Bytes) {
        let item = Frame::new(frame, Mark::Required);
        let mut inner = self.inner.lock();
        self.put(&mut inner, item);
        drop(inner);
        self.wake();
    }

    /// Pushes a JSON answer, in the dialect of this connection.
    pub fn push_json(&self, json: &[u8]) {
        if let Some(frames) = self.answer_frames(json) {
            self.push(frames);
        }
    }

    fn put(&self, inner: &mut Inner, item: Outgoing) -> Delivered {
        if inner.close.is_some_and(|close| close.code != CloseCode::Restart as u16) {
            return Delivered::default();
        }
        match inner.outbox.push(item, self.outbox_limit_bytes) {
            Pushed::Taken => Delivered { wake: true, ..Delivered::default() },
            Pushed::Dropped(dropped) => Delivered { wake: true, dropped, too_slow: false },
            Pushed::Full => {
                inner.outbox.clear();
                inner.close = Some(Close::new(CloseCode::TryLater, "Too slow"));
                Delivered { wake: true, dropped: 0, too_slow: true }
            }
        }
    }

    // Events.

    /// Puts an event into the outbox or holds it back. Does not wake the session.
    pub fn deliver(&self, frame: &Outgoing) -> Delivered {
        let mut inner = self.inner.lock();
        let item = frame.clone();
        let Some(held) = &mut inner.held else {
            return self.put(&mut inner, item);
        };
        let ephemeral = matches!(frame.mark, Mark::Ephemeral);
        if held.push(item, self.outbox_limit_bytes) {
            return Delivered::default();
        }
        if ephemeral {
            return Delivered { dropped: 1, ..Delivered::default() };
        }
        // The client is not slow, the gateway is holding back; what does not fit is replayed.
        held.clear();
        inner.interrupted = true;
        inner.fills.clear();
        inner.catch_up = true;
        Delivered { wake: true, ..Delivered::default() }
    }

    /// Starts holding live events back.
    pub fn hold(&self) {
        self.inner.lock().held.get_or_insert_default();
    }

    /// True if live events are held back.
    #[cfg(any(test, feature = "fuzz"))]
    pub fn is_holding(&self) -> bool {
        self.inner.lock().held.is_some()
    }

    /// Called when events may have been missed: holds back immediately; [`Self::catch_up`] says when to request them.
    /// Returns false if another caller has done the same and is going to say so.
    pub fn interrupt(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.held.get_or_insert_default();
        // The replay will contain them, too.
        inner.fills.clear();
        !std::mem::replace(&mut inner.interrupted, true)
    }

    /// Allows the session to request what was missed.
    pub fn catch_up(&self) {
        self.inner.lock().catch_up = true;
        self.wake();
    }

    /// The replay that makes up for all interruptions so far begins; returns the [`Self::history`] that it is of.
    pub fn begin_catch_up(&self) -> u32 {
        let mut inner = self.inner.lock();
        inner.held.get_or_insert_default().forget_left();
        inner.interrupted = false;
        inner.catch_up = false;
        inner.fills.clear();
        inner.history
    }

    /// Detaches the connection from its user: nothing that was held back may reach the next one.
    pub fn reset(&self) {
        self.set_user(None);
        let mut inner = self.inner.lock();
        inner.tokens = [None, None];
        inner.held = None;
        inner.received = Received::default();
        inner.interrupted = false;
        inner.catch_up = false;
        inner.fills.clear();
    }

    /// Which history of the database the connection is in: a number that [`Self::begin_history`] raises.
    pub fn history(&self) -> u32 {
        self.inner.lock().history
    }

    /// Puts replayed events into the outbox, but for those that came here and whose receipts are still on their way to the workers.
    /// False, and nothing is done, when they are of an earlier `history`.
    pub fn replay(&self, events: Vec<ReplayedEvent>, history: u32) -> bool {
        let mut inner = self.inner.lock();
        if inner.history != history {
            return false;
        }
        for event in events {
            if let Some(held) = &mut inner.held {
                held.note_replayed(&event.receipt);
            }
            if inner.received.holds(&event.receipt) {
                continue;
            }
            let frame = self.event_frame(&event.json);
            self.put(&mut inner, Frame::new(frame, event.receipt));
        }
        drop(inner);
        self.wake();
        true
    }

    /// The database has another history. What was received, is on its way to the client or held back is of the one before: it says
    /// nothing of what has its numbers now. What is missed is asked for, as after [`Self::interrupt`].
    pub fn begin_history(&self) {
        let mut inner = self.inner.lock();
        inner.history = inner.history.wrapping_add(1);
        inner.received.begin_history();
        inner.outbox.forget_receipts();
        inner.writes_earlier = true;
        inner.held.get_or_insert_default().clear();
        inner.interrupted = true;
        inner.fills.clear();
    }

    /// Notes which history of the database the session is in. Returns it if the client was told of another one.
    pub fn enter_epoch(&self, found: Option<Epoch>) -> Option<Epoch> {
        let found = found?;
        let told = self.inner.lock().epoch.replace(found);
        told.is_some_and(|told| told != found).then_some(found)
    }

    /// Lets the events held back go, unless there was another interruption, which needs another replay, or lost messages are
    /// waited for.
    pub fn release(&self) {
        let user = self.user();
        let mut inner = self.inner.lock();
        if inner.interrupted || !inner.fills.is_empty() {
            return;
        }
        if let (Some(held), Some(user)) = (inner.held.take(), user) {
            for item in held.release(user) {
                self.put(&mut inner, item);
            }
        }
        drop(inner);
        self.wake();
    }

    // The end.

    /// Closes the connection; the first reason counts.
    pub fn close(&self, close: Close) {
        self.inner.lock().close.get_or_insert(close);
        self.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{OUTBOX_LIMIT_BYTES, connection};
    use shared::ids::{ConversationId, MessageId, UserId};
    use shared::publication::Receipt;

    /// A database that was restored: numbers stand for other messages now.
    #[test]
    fn what_is_on_its_way_at_a_restore_is_no_receipt_after_it() {
        let conversation = ConversationId::direct(UserId(1), UserId(2));
        let receipt = |seq: i64| Receipt::Message {
            conversation,
            seq,
            sender: UserId(2),
            message: MessageId(uuid::Uuid::from_u128(seq as u128)),
        };
        let connection = connection(1);
        connection.set_user(Some(UserId(1)));
        let deliver = |seq| connection.deliver(&Frame::new(Bytes::from_static(b"frame"), receipt(seq)));
        let write = |writing: &mut VecDeque<Outgoing>| connection.written(5 * writing.len(), writing.len(), writing);
        let mut writing = VecDeque::new();
        deliver(7);
        connection.take_outgoing(&mut writing);
        deliver(8);
        let before = connection.history();
        connection.begin_history();
        write(&mut writing);
        connection.take_outgoing(&mut writing);
        assert_eq!(writing.len(), 1);
        write(&mut writing);
        assert_eq!(connection.take_receipts(), None);
        let replayed = ReplayedEvent { receipt: receipt(9), json: b"{}".to_vec() };
        assert!(!connection.replay(vec![replayed.clone()], before), "a page of before");
        let now = connection.begin_catch_up();
        assert!(connection.replay(vec![replayed], now));
        connection.take_outgoing(&mut writing);
        write(&mut writing);
        assert_eq!(connection.take_receipts().map(|receipts| receipts.conversations), Some(vec![(conversation, 9)]));
    }

    #[test]
    fn events_held_back_beyond_the_limit_are_replayed() {
        let conversation = ConversationId::direct(UserId(1), UserId(2));
        let receipt =
            |seq| Receipt::Message { conversation, seq, sender: UserId(2), message: MessageId(uuid::Uuid::nil()) };
        let connection = connection(1);
        connection.hold();
        let frame = Bytes::from(vec![b'x'; OUTBOX_LIMIT_BYTES / 2]);
        for seq in 1..=3 {
            assert!(!connection.deliver(&Frame::new(frame.clone(), receipt(seq))).too_slow);
        }
        let signals = connection.signals();
        assert!(signals.close.is_none() && signals.catch_up, "the held events are to be replayed");
        connection.release();
        assert!(connection.is_holding(), "until the replay");
        assert_eq!(connection.signals().unwritten_bytes, 0);
    }
}
