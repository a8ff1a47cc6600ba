//! The commands of a connection that wait for their answers: each gets exactly one.

use bytes::Bytes;
use shared::protocol::RequestId;
use shared::stream::SyncRound;
use tokio::time::Instant;
use uuid::Uuid;

use crate::connection::Connection;
use crate::connection::outbox::{Mark, Outgoing};
use crate::lanes::load::Waiting;

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
    /// Its place in its lane; of a command without an answer nobody knows when it is done.
    pub waiting: Option<Waiting>,
    /// What is left of a `sync`.
    pub rest: Rest,
}

/// How an answer goes on that comes in rounds.
#[derive(Debug, Default)]
pub enum Rest {
    /// Asked for, or nothing is left.
    #[default]
    None,
    /// Asked for when the client has taken what is there.
    Held(SyncRound),
    /// A further round was asked for.
    UnderWay,
}

/// A round to ask for.
pub struct NextRound {
    pub command: Uuid,
    pub request_id: Option<RequestId>,
    pub round: SyncRound,
}

impl Connection {
    pub fn expect_answer(&self, entry: InFlight) {
        self.inner.lock().in_flight.push(entry);
    }

    /// Takes the command off the list without an answer.
    pub fn forget(&self, command: Uuid) -> Option<InFlight> {
        take_entry(&mut self.inner.lock().in_flight, command)
    }

    /// Puts the answer to a command into the outbox, if there is a frame of it and the command still waits for one. Does not wake the session.
    pub fn answer(&self, command: Uuid, frame: Option<Bytes>) -> Option<InFlight> {
        let mut inner = self.inner.lock();
        let entry = take_entry(&mut inner.in_flight, command)?;
        if let Some(frame) = frame {
            self.put(&mut inner, Outgoing { frame, mark: Mark::Required });
        }
        Some(entry)
    }

    /// The same for a part of an answer: more follows. False when the command does not wait any more.
    pub fn answer_part(&self, command: Uuid, frame: Option<Bytes>) -> bool {
        let mut inner = self.inner.lock();
        let waits = inner.in_flight.iter().any(|entry| entry.command == command);
        if let Some(frame) = frame.filter(|_| waits) {
            self.put(&mut inner, Outgoing { frame, mark: Mark::Required });
        }
        waits
    }

    /// An answer goes on when the client has taken what came of it; a slow client is not overdue meanwhile. Does not wake the
    /// session.
    pub fn hold_rest(&self, command: Uuid, round: SyncRound) -> bool {
        let mut inner = self.inner.lock();
        let Some(entry) = inner.in_flight.iter_mut().find(|entry| entry.command == command) else { return false };
        if let Some(waiting) = entry.waiting.take() {
            waiting.answered();
        }
        entry.rest = Rest::Held(round);
        entry.deadline_ms = u64::MAX;
        inner.has_rest = true;
        true
    }

    /// The next round to ask for, whose place in the lane is `waiting`; one at a time, and none while anything is unwritten.
    pub fn take_rest(&self, deadline_ms: u64, waiting: impl FnOnce() -> Waiting) -> Option<NextRound> {
        let mut inner = self.inner.lock();
        if inner.outbox.bytes() > 0 || inner.in_flight.iter().any(|entry| matches!(entry.rest, Rest::UnderWay)) {
            return None;
        }
        let held = inner.in_flight.iter_mut().find(|entry| matches!(entry.rest, Rest::Held(_)));
        let Some(entry) = held else {
            inner.has_rest = false;
            return None;
        };
        let Rest::Held(round) = std::mem::replace(&mut entry.rest, Rest::UnderWay) else { return None };
        entry.deadline_ms = deadline_ms;
        entry.waiting = Some(waiting());
        Some(NextRound { command: entry.command, request_id: entry.request_id.clone(), round })
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
}

fn take_entry(in_flight: &mut Vec<InFlight>, command: Uuid) -> Option<InFlight> {
    let at = in_flight.iter().position(|entry| entry.command == command)?;
    Some(in_flight.swap_remove(at))
}
