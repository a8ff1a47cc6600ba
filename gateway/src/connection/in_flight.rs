//! The commands of a connection that wait for their answers: each gets exactly one.

use bytes::Bytes;
use shared::protocol::RequestId;
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
