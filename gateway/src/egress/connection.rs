//! One client's connection as the rest of the process sees it: where answers and events for it are put, what it waits for,
//! and when it has to end. Its session alone touches the socket.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::Waker;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use shared::ids::{ConnectionId, ConversationId, GroupId, UserId};
use shared::protocol::{CloseCode, RequestId};
use shared::stream::{Receipts, ReplayedEvent};
use tokio::time::Instant;
use uuid::Uuid;
use websocket::PreparedText;

use super::held::Held;
use super::outbox::{Mark, Outbox, Outgoing, Pushed};
use super::receipts::Received;

pub struct Connection {
    pub id: ConnectionId,
    /// `clientId` of the greeting, and the session's id in the fleet.
    pub session: Uuid,
    /// Whether compression was negotiated.
    pub deflate: bool,
    outbox_limit_bytes: usize,
    pub timers: Timers,
    /// 0 until it is known.
    user: AtomicI64,
    waker: AtomicWaker,
    inner: Mutex<Inner>,
}

/// When the connection was last heard of, and when something is due. Read by the sweep alone.
pub struct Timers {
    pub last_frame_ms: AtomicU64,
    pub last_text_ms: AtomicU64,
    pub next_ping_ms: AtomicU64,
    /// `u64::MAX` once authenticated.
    pub authenticate_by_ms: AtomicU64,
    /// The token's expiry in Unix seconds; `i64::MAX` before authentication.
    pub expires_unix: AtomicI64,
}

#[derive(Default)]
struct Inner {
    outbox: Outbox,
    held: Option<Box<Held>>,
    in_flight: Vec<InFlight>,
    close: Option<Close>,
    received: Received,
    groups: Vec<GroupId>,
    /// With `acks: true` what was written proves nothing.
    wants_acks: bool,
    /// Something may have been missed: events stay held back until it is replayed.
    interrupted: bool,
    /// The session may ask for the replay now.
    catch_up: bool,
}

/// A command that waits for its answer.
#[derive(Debug)]
pub struct InFlight {
    pub command: Uuid,
    pub name: &'static str,
    pub request_id: Option<RequestId>,
    pub deadline_ms: u64,
    pub started: Instant,
    /// Whether success is answered.
    pub has_answer: bool,
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

/// What a session has to look at each time it wakes.
#[derive(Clone, Copy, Debug)]
pub struct Signals {
    pub close: Option<Close>,
    pub in_flight: usize,
    pub unwritten_bytes: usize,
    pub catch_up: bool,
}

/// What became of an event for one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Its session has to be woken.
    pub wake: bool,
    pub dropped: u32,
    /// It is closed because it reads too slowly.
    pub too_slow: bool,
}

impl Connection {
    pub fn new(id: ConnectionId, session: Uuid, deflate: bool, outbox_limit_bytes: usize, timers: Timers) -> Self {
        Connection {
            id,
            session,
            deflate,
            outbox_limit_bytes,
            timers,
            user: AtomicI64::new(0),
            waker: AtomicWaker::new(),
            inner: Mutex::default(),
        }
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
        Signals {
            close: inner.close,
            in_flight: inner.in_flight.len(),
            unwritten_bytes: inner.outbox.bytes(),
            catch_up: inner.catch_up,
        }
    }

    pub fn take_outgoing(&self, empty: &mut VecDeque<Outgoing>) {
        self.inner.lock().outbox.take(empty);
    }

    /// So many bytes were written, and with them the first `frames` of `writing`. True when receipts are to be passed on.
    pub fn written(&self, bytes: usize, frames: usize, writing: &mut VecDeque<Outgoing>) -> bool {
        let user = self.user();
        let mut inner = self.inner.lock();
        inner.outbox.written(bytes);
        let mut due = false;
        for item in writing.drain(..frames) {
            if let (Mark::Receipt(receipt), Some(user), false) = (&item.mark, user, inner.wants_acks) {
                due |= inner.received.note(receipt, user);
            }
        }
        due
    }

    /// Puts an answer or a control frame into the outbox and wakes the session.
    pub fn push(&self, frame: Bytes) {
        let mut inner = self.inner.lock();
        let item = Outgoing { frame, mark: Mark::Required };
        self.put(&mut inner, item);
        drop(inner);
        self.wake();
    }

    /// A finished JSON answer.
    pub fn push_json(&self, json: &[u8]) {
        self.push(PreparedText::new(json).frame(self.deflate));
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

    /// Puts an event into the outbox, or holds it back. Does not wake the session.
    pub fn deliver(&self, frame: &Bytes, mark: &Mark) -> Delivered {
        let mut inner = self.inner.lock();
        let item = Outgoing { frame: frame.clone(), mark: mark.clone() };
        let Some(held) = &mut inner.held else { return self.put(&mut inner, item) };
        let ephemeral = matches!(item.mark, Mark::Ephemeral);
        if held.push(item, self.outbox_limit_bytes) {
            return Delivered::default();
        }
        if ephemeral {
            return Delivered { dropped: 1, ..Delivered::default() };
        }
        inner.close.get_or_insert(Close::new(CloseCode::TryLater, "Too slow"));
        Delivered { wake: true, dropped: 0, too_slow: true }
    }

    /// From now on live events are held back.
    pub fn hold(&self) {
        self.inner.lock().held.get_or_insert_default();
    }

    /// Something may have been missed: holds back at once; [`Self::catch_up`] says when to ask for it.
    pub fn interrupt(&self) {
        let mut inner = self.inner.lock();
        inner.held.get_or_insert_default();
        inner.interrupted = true;
    }

    /// The session may ask for what was missed.
    pub fn catch_up(&self) {
        self.inner.lock().catch_up = true;
        self.wake();
    }

    /// The replay that makes up for all interruptions so far begins.
    pub fn begin_catch_up(&self) {
        let mut inner = self.inner.lock();
        inner.held.get_or_insert_default().forget_left();
        inner.interrupted = false;
        inner.catch_up = false;
    }

    /// The connection belongs to nobody any more: nothing that was held back for its user may reach the next one.
    pub fn reset(&self) {
        self.set_user(None);
        let mut inner = self.inner.lock();
        inner.held = None;
        inner.received = Received::default();
        inner.interrupted = false;
        inner.catch_up = false;
    }

    /// Puts replayed events into the outbox.
    pub fn replay(&self, events: Vec<ReplayedEvent>) {
        let mut inner = self.inner.lock();
        for event in events {
            if let Some(held) = &mut inner.held {
                held.note_replayed(&event.receipt);
            }
            let frame = PreparedText::new(&event.json).frame(self.deflate);
            self.put(&mut inner, Outgoing { frame, mark: event.receipt.into() });
        }
        drop(inner);
        self.wake();
    }

    /// Lets the events held back go, unless there was another interruption, which needs another replay.
    pub fn release(&self) {
        let user = self.user();
        let mut inner = self.inner.lock();
        if inner.interrupted {
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

    // Commands.

    pub fn expect_answer(&self, entry: InFlight) {
        self.inner.lock().in_flight.push(entry);
    }

    /// Takes the command off the list without an answer.
    pub fn forget(&self, command: Uuid) -> Option<InFlight> {
        take_entry(&mut self.inner.lock().in_flight, command)
    }

    /// Puts the answer to a command into the outbox, if the command still waits for one. Does not wake the session.
    pub fn answer(&self, command: Uuid, frame: Bytes) -> Option<InFlight> {
        let mut inner = self.inner.lock();
        let entry = take_entry(&mut inner.in_flight, command)?;
        self.put(&mut inner, Outgoing { frame, mark: Mark::Required });
        Some(entry)
    }

    /// The same for a part of an answer: more follows. False when the command does not wait any more.
    pub fn answer_part(&self, command: Uuid, frame: Bytes) -> bool {
        let mut inner = self.inner.lock();
        let waits = inner.in_flight.iter().any(|entry| entry.command == command);
        if waits {
            self.put(&mut inner, Outgoing { frame, mark: Mark::Required });
        }
        waits
    }

    /// Commands whose answer is overdue; they are off the list.
    pub fn take_overdue(&self, now_ms: u64) -> Vec<InFlight> {
        let mut inner = self.inner.lock();
        // No allocation unless there are any.
        if inner.in_flight.iter().all(|entry| entry.deadline_ms > now_ms) {
            return Vec::new();
        }
        inner.in_flight.extract_if(.., |entry| entry.deadline_ms <= now_ms).collect()
    }

    // The end.

    /// Ends the connection; the first reason counts.
    pub fn close(&self, close: Close) {
        self.inner.lock().close.get_or_insert(close);
        self.wake();
    }

    // Whose it is, and what concerns it.

    pub fn user(&self) -> Option<UserId> {
        match self.user.load(Ordering::Acquire) {
            0 => None,
            user => Some(UserId(user)),
        }
    }

    pub fn set_user(&self, user: Option<UserId>) {
        self.user.store(user.map_or(0, |user| user.0), Ordering::Release);
    }

    /// Adds a group; false when it is there already or the user has left it meanwhile.
    pub fn add_group(&self, group: GroupId) -> bool {
        let mut inner = self.inner.lock();
        let left = inner.held.as_ref().is_some_and(|held| held.has_left(group));
        if left || inner.groups.contains(&group) {
            return false;
        }
        inner.groups.push(group);
        true
    }

    /// The user joined: what it left earlier does not matter any more.
    pub fn note_joined(&self, group: GroupId) {
        if let Some(held) = &mut self.inner.lock().held {
            held.note_joined(group);
        }
    }

    /// Takes a group away; false when it was not there.
    pub fn remove_group(&self, group: GroupId) -> bool {
        let mut inner = self.inner.lock();
        if let Some(held) = &mut inner.held {
            held.note_left(group);
        }
        let at = inner.groups.iter().position(|known| *known == group);
        at.map(|at| inner.groups.swap_remove(at)).is_some()
    }

    pub fn groups(&self) -> Vec<GroupId> {
        self.inner.lock().groups.clone()
    }

    // Receipts.

    pub fn set_wants_acks(&self, wants_acks: bool) {
        self.inner.lock().wants_acks = wants_acks;
    }

    /// The client confirms what it received.
    pub fn acknowledge(&self, conversations: Vec<(ConversationId, i64)>, events: Vec<Uuid>) {
        let mut inner = self.inner.lock();
        for (conversation, seq) in conversations {
            inner.received.advance(conversation, seq);
        }
        inner.received.add_events(events);
    }

    pub fn take_receipts(&self) -> Option<Receipts> {
        let user = self.user()?;
        self.inner.lock().received.take(user)
    }
}

fn take_entry(in_flight: &mut Vec<InFlight>, command: Uuid) -> Option<InFlight> {
    let at = in_flight.iter().position(|entry| entry.command == command)?;
    Some(in_flight.swap_remove(at))
}
