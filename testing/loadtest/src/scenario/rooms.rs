//! Accounts in rooms of equal size who write to each other: what each sent, what was answered, and what everybody saw.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::io::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Connections, Stage};
use crate::connection::{Connection, Handler};
use crate::histogram::Latencies;
use crate::mark::Mark;
use crate::scan;
use crate::verify::{Arrival, SeqArrival, SeqTrack, Track};

/// The pause after a rejection in a closed loop.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(200);

pub struct Rooms {
    stage: Rc<Stage>,
    shape: Shape,
    connections: RefCell<Connections>,
    members: RefCell<Vec<Member>>,
    counts: RefCell<Counts>,
    /// In a closed loop, an answer calls for the next message.
    closed_loop: Cell<bool>,
}

#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub members: usize,
    pub senders: usize,
    pub content_bytes: usize,
    pub client_ids: bool,
    /// A room of two who write to each other directly.
    pub direct: bool,
}

#[derive(Default)]
struct Member {
    /// The command up to the request id.
    head: Vec<u8>,
    sent: u64,
    /// Number and due time of unanswered messages, in the order of sending.
    outstanding: VecDeque<(u64, u64)>,
    refused: BTreeSet<u64>,
    /// What this member saw of each sender.
    tracks: Vec<Track>,
    seq: SeqTrack,
    /// How many members still have to get this one's messages, from number `told + 1`; only in groups.
    awaited: VecDeque<usize>,
    told: u64,
}

#[derive(Default)]
struct Counts {
    sent: u64,
    acknowledged: u64,
    delivered: u64,
    acknowledge: Latencies,
    delivery: Latencies,
    to_the_last: Latencies,
}

impl Rooms {
    pub fn new(stage: &Rc<Stage>, shape: Shape) -> Result<Rc<Self>> {
        let accounts = &stage.plan.accounts;
        ensure!(shape.members >= 2, "a room has at least two members");
        ensure!((1..=shape.members).contains(&shape.senders), "a room has 1 to {} senders", shape.members);
        ensure!(
            !accounts.is_empty() && accounts.len().is_multiple_of(shape.members),
            "{} accounts make no rooms of {}",
            accounts.len(),
            shape.members
        );
        let mut members: Vec<Member> = Vec::with_capacity(accounts.len());
        for index in 0..accounts.len() {
            let tracks = vec![Track::default(); shape.senders];
            let mut member = Member { tracks, ..Member::default() };
            if shape.direct {
                // The neighbour: 0 and 1, 2 and 3, …
                let _ = write!(
                    member.head,
                    "{{\"type\":\"send_private_message\",\"recipientId\":\"{}\",\"requestId\":",
                    accounts[index ^ 1].user_id
                );
            }
            members.push(member);
        }
        Ok(Rc::new(Self {
            stage: stage.clone(),
            shape,
            connections: RefCell::default(),
            members: RefCell::new(members),
            counts: RefCell::default(),
            closed_loop: Cell::new(false),
        }))
    }

    pub fn set_connections(&self, connections: Connections) {
        self.connections.replace(connections);
    }

    pub fn connection(&self, index: usize) -> Option<Rc<Connection>> {
        self.connections.borrow().get(index).cloned().flatten()
    }

    pub fn set_closed_loop(&self, on: bool) {
        self.closed_loop.set(on);
    }

    /// Sets where this room's messages go.
    pub fn set_group(&self, room: usize, group_id: &str) {
        let mut members = self.members.borrow_mut();
        for member in members.iter_mut().skip(room * self.shape.members).take(self.shape.members) {
            member.head.clear();
            let _ = write!(member.head, "{{\"type\":\"send_group_message\",\"groupId\":\"{group_id}\",\"requestId\":");
        }
    }

    pub fn has_group(&self, room: usize) -> bool {
        self.members.borrow().get(room * self.shape.members).is_some_and(|member| !member.head.is_empty())
    }

    pub fn room_count(&self) -> usize {
        self.members.borrow().len() / self.shape.members
    }

    /// Returns the senders, ordered so that neighbours are from different rooms.
    pub fn senders(&self) -> Vec<usize> {
        let (rooms, size) = (self.room_count(), self.shape.members);
        (0..self.shape.senders).flat_map(|slot| (0..rooms).map(move |room| room * size + slot)).collect()
    }

    /// Sends this member's next message.
    pub fn send(&self, index: usize, due: Instant) {
        let Some(connection) = self.connection(index).filter(|connection| connection.is_open()) else { return };
        let due_us = self.stage.us(due);
        let mut command = Vec::with_capacity(256 + self.shape.content_bytes);
        {
            let mut members = self.members.borrow_mut();
            let member = &mut members[index];
            member.sent += 1;
            member.outstanding.push_back((member.sent, due_us));
            if !self.shape.direct {
                member.awaited.push_back(self.shape.members - 1);
            }
            let (room, slot) = (index / self.shape.members, index % self.shape.members);
            let mark =
                Mark { run: self.stage.plan.run, room: room as u32, slot: slot as u32, number: member.sent, due_us };
            command.extend_from_slice(&member.head);
            let _ = write!(command, "{}", member.sent);
            if self.shape.client_ids {
                let first = self.stage.plan.first;
                let _ = write!(command, ",\"clientMessageId\":\"{}-{}-{}\"", mark.run, first + index, mark.number);
            }
            command.extend_from_slice(b",\"content\":\"");
            mark.write(&mut command, self.shape.content_bytes);
            command.extend_from_slice(b"\"}");
        }
        connection.send(&command);
        if self.stage.is_measuring() {
            self.counts.borrow_mut().sent += 1;
        }
    }

    fn answered(self: &Rc<Self>, index: usize, text: &[u8], at: Instant) {
        let Some(number) = scan::number(text, b"\"requestId\":") else { return };
        let Some(due_us) = self.take_outstanding(index, number) else { return };
        let mut counts = self.counts.borrow_mut();
        if self.stage.is_measuring() {
            counts.acknowledged += 1;
        }
        if self.stage.is_measured(due_us) {
            counts.acknowledge.record_us(self.stage.us(at) - due_us);
        }
        drop(counts);
        if self.closed_loop.get() {
            self.send(index, at);
        }
    }

    fn take_outstanding(&self, index: usize, number: u64) -> Option<u64> {
        let outstanding = &mut self.members.borrow_mut()[index].outstanding;
        let place = outstanding.iter().position(|(known, _)| *known == number)?;
        outstanding.remove(place).map(|(_, due_us)| due_us)
    }

    fn refused(self: &Rc<Self>, index: usize, text: &[u8]) {
        let code = scan::text(text, b"\"code\":").unwrap_or("no code");
        self.stage.tally.borrow_mut().refused(code);
        let Some(number) = scan::number(text, b"\"requestId\":") else { return };
        if self.take_outstanding(index, number).is_none() {
            return;
        }
        self.members.borrow_mut()[index].refused.insert(number);
        if self.closed_loop.get() {
            let rooms = self.clone();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(PAUSE_AFTER_REFUSAL).await;
                if rooms.closed_loop.get() {
                    rooms.send(index, Instant::now());
                }
            });
        }
    }

    fn arrived(&self, index: usize, text: &[u8], at: Instant) {
        let Some(mark) = Mark::find(text).filter(|mark| mark.run == self.stage.plan.run) else { return };
        let (room, slot) = (index / self.shape.members, mark.slot as usize);
        if mark.room as usize != room || slot >= self.shape.senders {
            return;
        }
        let sender = room * self.shape.members + slot;
        let mut members = self.members.borrow_mut();
        let member = &mut members[index];
        let arrival = member.tracks[slot].arrived(mark.number);
        let mut seq = None;
        if arrival == Arrival::Next {
            seq = scan::number(text, b"\"seq\":").map(|number| (number, member.seq.arrived(number)));
        }
        let mut reached_all = false;
        if !self.shape.direct && arrival != Arrival::Duplicate && sender != index {
            reached_all = members[sender].reached_one_more(mark.number);
        }
        drop(members);
        let what = || format!("{mark:?} at account {index}");
        if arrival != Arrival::Next || seq.is_some_and(|(_, seq)| seq != SeqArrival::Next) {
            let verdict = &mut self.stage.tally.borrow_mut().verdict;
            verdict.note(arrival, what);
            if let Some((number, seq)) = seq {
                verdict.note_seq(seq, || format!("{number}, {}", what()));
            }
        }
        let mut counts = self.counts.borrow_mut();
        if self.stage.is_measuring() {
            counts.delivered += 1;
        }
        if self.stage.is_measured(mark.due_us) {
            let us = self.stage.us(at).saturating_sub(mark.due_us);
            if sender != index {
                counts.delivery.record_us(us);
            }
            if reached_all {
                counts.to_the_last.record_us(us);
            }
        }
    }

    /// Returns true if everything sent was answered and has arrived.
    pub fn is_done(&self) -> bool {
        let members = self.members.borrow();
        let is_answered = members.iter().all(|member| member.outstanding.is_empty());
        is_answered && self.missing(&members) == 0
    }

    fn missing(&self, members: &[Member]) -> u64 {
        let connections = self.connections.borrow();
        let mut missing = 0;
        for (room, members) in members.chunks(self.shape.members).enumerate() {
            for (slot, sender) in members.iter().take(self.shape.senders).enumerate() {
                let mut excused = sender.refused.clone();
                excused.extend(sender.outstanding.iter().map(|(number, _)| number));
                for (place, recipient) in members.iter().enumerate() {
                    let connection = connections.get(room * self.shape.members + place).and_then(Option::as_ref);
                    // What a lost connection did not receive counts as the lost connection.
                    if connection.is_some_and(|connection| connection.is_open()) {
                        missing += recipient.tracks[slot].missing(sender.sent, &excused);
                    }
                }
            }
        }
        missing
    }

    /// Moves all counts into the tally, and decides on the verdict.
    pub fn finish(&self) {
        let members = self.members.borrow();
        let lost = self.missing(&members);
        let mut tally = self.stage.tally.borrow_mut();
        let counts = self.counts.take();
        tally.add("sent", counts.sent);
        tally.add("acknowledged", counts.acknowledged);
        tally.add("delivered", counts.delivered);
        for (name, latencies) in
            [("acknowledge", counts.acknowledge), ("deliver", counts.delivery), ("to_the_last", counts.to_the_last)]
        {
            if !latencies.is_empty() {
                tally.latencies(name).merge(&latencies);
            }
        }
        let sent = |member: &Member| member.sent - (member.refused.len() + member.outstanding.len()) as u64;
        tally.verdict.expected += members.iter().map(sent).sum::<u64>() * self.shape.members as u64;
        tally.verdict.unanswered += members.iter().map(|member| member.outstanding.len() as u64).sum::<u64>();
        tally.verdict.lost += lost;
        if lost > 0 {
            tally.verdict.example(|| format!("{lost} deliveries never came"));
        }
    }

    pub fn show_progress(&self) {
        let counts = self.counts.borrow();
        let mut progress = self.stage.progress.borrow_mut();
        for (name, count) in
            [("sent", counts.sent), ("acknowledged", counts.acknowledged), ("delivered", counts.delivered)]
        {
            progress.counts.insert(name.to_owned(), count);
        }
    }
}

impl Member {
    /// Notes that one more member got this one's message; returns true if that was the last.
    fn reached_one_more(&mut self, number: u64) -> bool {
        let Some(place) = number.checked_sub(self.told + 1) else { return false };
        let Some(awaited) = self.awaited.get_mut(place as usize) else { return false };
        *awaited = awaited.saturating_sub(1);
        let reached_all = *awaited == 0;
        while self.awaited.front() == Some(&0) {
            self.awaited.pop_front();
            self.told += 1;
        }
        reached_all
    }
}

/// How a scenario's handler uses the rooms.
pub struct RoomsHandler(pub Rc<Rooms>);

impl Handler for RoomsHandler {
    fn text(&self, connection: &Rc<Connection>, text: &[u8], at: Instant) {
        let rooms = &self.0;
        match scan::kind(text) {
            b"new_message" | b"new_group_message" => rooms.arrived(connection.index, text, at),
            b"message_sent" | b"group_message_sent" => rooms.answered(connection.index, text, at),
            b"error" => rooms.refused(connection.index, text),
            b"group_created" => {
                if let (false, Some(group)) = (rooms.shape.direct, scan::text(text, b"\"groupId\":")) {
                    rooms.set_group(connection.index / rooms.shape.members, group);
                }
            }
            _ => {}
        }
    }

    fn closed(&self, _connection: &Rc<Connection>, why: &str) {
        self.0.stage.lost_connection(why);
    }
}
