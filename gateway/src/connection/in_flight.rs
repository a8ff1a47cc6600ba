//! The commands of a connection that wait for their answers; each gets exactly one.

use bytes::Bytes;
use shared::protocol::RequestId;
use shared::stream::SyncRound;
use tokio::time::Instant;
use uuid::Uuid;

use crate::connection::outbox::{Frame, Mark};
use crate::connection::{Connection, Inner};
use crate::lanes::load::Waiting;

/// An answer at least this large is encoded by its session, not by the one task that delivers to all sessions.
const ENCODE_LATER_FROM_BYTES: usize = 4 * 1024;

/// A command that waits for its answer.
#[derive(Debug)]
pub struct InFlight {
    pub command: Uuid,
    pub name: &'static str,
    pub request_id: Option<RequestId>,
    pub deadline_ms: u64,
    pub started: Instant,
    /// True if success is answered.
    pub has_answer: bool,
    /// Its share of what a connection may have in flight; 0 if it does not count.
    pub cost: usize,
    /// Its place in its lane. A command without an answer has none, since nobody learns when it is done.
    pub waiting: Option<Waiting>,
    /// What remains of a `sync`.
    pub rest: Rest,
}

/// The state of an answer that comes in rounds.
#[derive(Debug, Default)]
pub enum Rest {
    /// Already requested, or nothing remains.
    #[default]
    None,
    /// To be requested once the client has taken what was sent.
    Held(SyncRound),
    /// Another round was requested.
    UnderWay,
}

/// A round to request.
pub struct NextRound {
    pub command: Uuid,
    pub request_id: Option<RequestId>,
    pub round: SyncRound,
}

impl Connection {
    pub fn expect_answer(&self, entry: InFlight) {
        let mut inner = self.inner.lock();
        inner.cost += entry.cost;
        inner.in_flight.push(entry);
    }

    /// Removes the command from the list without an answer.
    pub fn forget(&self, command: Uuid) -> Option<InFlight> {
        self.inner.lock().take_entry(command)
    }

    /// Puts the answer to a command into the outbox if the command still waits for one. Does not wake the session.
    pub fn answer(&self, command: Uuid, json: &Bytes) -> Option<InFlight> {
        let mut inner = self.inner.lock();
        let entry = inner.take_entry(command)?;
        self.put_answer(&mut inner, json);
        Some(entry)
    }

    /// Puts one part of an answer into the outbox; more follows. False if the command no longer waits.
    pub fn answer_part(&self, command: Uuid, json: &Bytes) -> bool {
        let mut inner = self.inner.lock();
        let waits = inner.in_flight.iter().any(|entry| entry.command == command);
        if waits {
            self.put_answer(&mut inner, json);
        }
        waits
    }

    /// Holds the next round until the client has taken what was sent; a slow client does not make the command overdue.
    /// Does not wake the session.
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

    /// The next round to request, with `waiting` as its place in the lane. There is one at a time, and none while
    /// anything is unwritten.
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

    fn put_answer(&self, inner: &mut Inner, json: &Bytes) {
        let item = if json.len() >= ENCODE_LATER_FROM_BYTES {
            Frame::new(json.clone(), Mark::Answer)
        } else {
            // This dialect has no form for the answer.
            let Some(frame) = self.answer_frames(json) else { return };
            Frame::new(frame, Mark::Required)
        };
        self.put(inner, item);
    }

    /// Removes and returns the commands whose answers are overdue.
    pub fn take_overdue(&self, now_ms: u64) -> Vec<InFlight> {
        let mut inner = self.inner.lock();
        // Allocates only if there are any.
        if inner.in_flight.iter().all(|entry| entry.deadline_ms > now_ms) {
            return Vec::new();
        }
        let overdue: Vec<InFlight> = inner.in_flight.extract_if(.., |entry| entry.deadline_ms <= now_ms).collect();
        inner.cost -= overdue.iter().map(|entry| entry.cost).sum::<usize>();
        overdue
    }
}

impl Inner {
    fn take_entry(&mut self, command: Uuid) -> Option<InFlight> {
        let at = self.in_flight.iter().position(|entry| entry.command == command)?;
        let entry = self.in_flight.swap_remove(at);
        self.cost -= entry.cost;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::testing::deflating;

    #[test]
    fn a_large_answer_is_compressed_by_its_session_alone() {
        let connection = deflating(1);
        let command = Uuid::nil();
        let entry = |has_answer| InFlight {
            command,
            name: "get_private_messages",
            request_id: None,
            deadline_ms: u64::MAX,
            started: Instant::now(),
            has_answer,
            cost: 0,
            waiting: None,
            rest: Rest::None,
        };
        let page = Bytes::from(vec![b' '; 100_000]);
        for part in [false, true] {
            connection.expect_answer(entry(true));
            let taken =
                if part { connection.answer_part(command, &page) } else { connection.answer(command, &page).is_some() };
            assert!(taken);
            assert!(connection.signals().unwritten_bytes >= page.len(), "as it came");
            let mut writing = VecDeque::new();
            connection.take_outgoing(&mut writing);
            assert!(writing[0].bytes.len() < 1_000, "what is to be written is compressed");
            connection.written(writing[0].bytes.len(), 1, &mut writing);
        }
    }
}
