//! What can happen next, and what it changes. Each step is atomic in the real system: one statement, one script, one pipeline
//! to Redis, or one turn of a loop.

use crate::state::{Entry, Link, Row, State, Work};
use crate::{COMMANDS, Rules, WORKERS};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Send,
    Retry(u8),
    Read(u8),
    Number(u8),
    Commit(u8),
    /// Publishes the answer and the event, or settles if settling comes first.
    Publish(u8),
    Settle(u8),
    TakeOver(u8),
    Connect,
    /// The subscription is established.
    Subscribe,
    Replay,
    Confirm,
    CompareLast,
    // Faults.
    Lapse(u8),
    StealLease(u8),
    CrashWorker(u8),
    LoseRedis,
    Disconnect,
    Duplicate,
}

impl Step {
    /// Returns true if it need not happen.
    pub fn is_fault(self) -> bool {
        matches!(
            self,
            Step::Lapse(_)
                | Step::StealLease(_)
                | Step::CrashWorker(_)
                | Step::LoseRedis
                | Step::Disconnect
                | Step::Duplicate
                | Step::Retry(_)
        )
    }
}

pub fn enabled(rules: &Rules, state: &State, steps: &mut Vec<Step>) {
    let mut when = |condition: bool, step: Step| {
        if condition {
            steps.push(step);
        }
    };
    when(usize::from(state.sent) < COMMANDS, Step::Send);
    for command in 0..state.sent {
        let waits = !state.acknowledged[usize::from(command)];
        when(waits && state.left.retries > 0, Step::Retry(command));
    }
    for place in 0..WORKERS as u8 {
        let worker = &state.workers[usize::from(place)];
        match worker.work {
            Work::Idle => {
                when(!state.owner_lives(), Step::TakeOver(place));
                when(
                    state.owner_lives() && state.owner != Some(place) && state.left.takeovers > 0,
                    Step::StealLease(place),
                );
                when(worker.lease.is_some() && state.stream.iter().any(|entry| !entry.is_read), Step::Read(place));
            }
            Work::Read(_) => {
                when(rules.numbers_when_storing, Step::Commit(place));
                when(!rules.numbers_when_storing, Step::Number(place));
                when(state.left.lapses > 0 && worker.lease == Some(state.epoch), Step::Lapse(place));
            }
            Work::Numbered(..) => when(true, Step::Commit(place)),
            Work::Committed(..) => {
                when(rules.settles_last, Step::Publish(place));
                when(!rules.settles_last, Step::Settle(place));
            }
            Work::Half(..) => {
                when(rules.settles_last, Step::Settle(place));
                when(!rules.settles_last, Step::Publish(place));
            }
        }
        when(state.left.worker_crashes > 0 && worker.lease.is_some(), Step::CrashWorker(place));
    }
    match &state.link {
        Link::Offline => when(true, Step::Connect),
        Link::Deaf { .. } => when(true, Step::Subscribe),
        Link::Holding(_) => when(true, Step::Replay),
        Link::Live => {
            when(state.delivered > state.cursor, Step::Confirm);
            when(rules.compares_last && state.delivered < state.last_seq, Step::CompareLast);
        }
    }
    when(state.left.redis_losses > 0, Step::LoseRedis);
    when(state.left.disconnects > 0 && state.link != Link::Offline, Step::Disconnect);
    when(state.left.duplicates > 0 && !state.stream.is_empty(), Step::Duplicate);
}

pub fn take(rules: &Rules, state: &mut State, step: Step) {
    match step {
        Step::Send => {
            state.append(state.sent, 0);
            state.sent += 1;
        }
        Step::Retry(command) => {
            state.left.retries -= 1;
            state.attempts[usize::from(command)] += 1;
            state.append(command, state.attempts[usize::from(command)]);
        }
        Step::TakeOver(place) => take_lease(state, place),
        Step::StealLease(place) => {
            state.left.takeovers -= 1;
            take_lease(state, place);
        }
        Step::Read(place) => read(rules, state, place),
        Step::Number(place) => {
            if let Work::Read(entry) = state.workers[usize::from(place)].work {
                state.last_seq += 1;
                state.workers[usize::from(place)].work = Work::Numbered(entry, state.last_seq);
            }
        }
        Step::Commit(place) => commit(rules, state, place),
        Step::Publish(place) => publish(rules, state, place),
        Step::Settle(place) => settle(state, place),
        Step::Connect => {
            state.delivered = state.cursor;
            state.link =
                if rules.subscribes_first { Link::Holding(Vec::new()) } else { Link::Deaf { catches_up: false } };
            if !rules.subscribes_first {
                replay(rules, state);
            }
        }
        Step::Subscribe => {
            let catches_up = state.link == Link::Deaf { catches_up: true };
            state.link = if catches_up { Link::Holding(Vec::new()) } else { Link::Live };
        }
        Step::Replay => {
            if let Link::Holding(held) = std::mem::replace(&mut state.link, Link::Live) {
                replay(rules, state);
                held.into_iter().for_each(|seq| hear(rules, state, seq));
            }
        }
        Step::Confirm => state.cursor = state.delivered,
        Step::CompareLast => state.link = Link::Holding(Vec::new()),
        Step::Lapse(place) => {
            state.left.lapses -= 1;
            if let Work::Read(left) = state.workers[usize::from(place)].work
                && rules.rereads
            {
                unread(state, left);
            }
            state.workers[usize::from(place)].work = Work::Idle;
        }
        Step::CrashWorker(place) => {
            state.left.worker_crashes -= 1;
            state.workers[usize::from(place)].lease = None;
            state.workers[usize::from(place)].work = Work::Idle;
        }
        Step::LoseRedis => {
            state.left.redis_losses -= 1;
            state.stream.clear();
            if state.link != Link::Offline {
                state.link = Link::Deaf { catches_up: rules.catches_up };
            }
        }
        Step::Disconnect => {
            state.left.disconnects -= 1;
            state.link = Link::Offline;
        }
        Step::Duplicate => {
            state.left.duplicates -= 1;
            if let Some(Entry { command, attempt, .. }) = state.stream.first().copied() {
                state.append(command, attempt);
            }
        }
    }
}

/// The epoch rises, and the new owner's consumer group begins at the start of the stream.
fn take_lease(state: &mut State, place: u8) {
    state.epoch += 1;
    state.owner = Some(place);
    state.workers[usize::from(place)].lease = Some(state.epoch);
    state.stream.iter_mut().for_each(|entry| entry.is_read = false);
}

/// Reads the first entry that the group has not read. A former owner's group is gone, so its read fails.
fn read(rules: &Rules, state: &mut State, place: u8) {
    let worker = &mut state.workers[usize::from(place)];
    if rules.fences && worker.lease != Some(state.epoch) {
        worker.lease = None;
        return;
    }
    if let Some(entry) = state.stream.iter_mut().find(|entry| !entry.is_read) {
        entry.is_read = true;
        worker.work = Work::Read(*entry);
        state.acknowledged[usize::from(entry.command)] |= !rules.answers_after_commit;
    }
}

fn unread(state: &mut State, left: Entry) {
    state.stream.iter_mut().filter(|entry| entry.id == left.id).for_each(|entry| entry.is_read = false);
}

/// Runs one transaction: the fence, the check for a known message, its number, its row.
fn commit(rules: &Rules, state: &mut State, place: u8) {
    let worker = state.workers[usize::from(place)];
    let (entry, number) = match worker.work {
        Work::Read(entry) => (entry, None),
        Work::Numbered(entry, seq) => (entry, Some(seq)),
        Work::Idle | Work::Committed(..) | Work::Half(..) => return,
    };
    let holds = state.owner == Some(place) && worker.lease == Some(state.epoch);
    if rules.fences && !holds {
        state.workers[usize::from(place)].lease = None;
        state.workers[usize::from(place)].work = Work::Idle;
        return;
    }
    let known = state.stored.iter().find(|row| row.command == entry.command).filter(|_| rules.recognises);
    let seq = match known {
        Some(row) => row.seq,
        None => {
            let seq = number.unwrap_or(state.last_seq + 1);
            state.last_seq = state.last_seq.max(seq);
            state.stored.push(Row { seq, command: entry.command, attempt: entry.attempt });
            state.committed_without_lease |= !holds;
            seq
        }
    };
    state.workers[usize::from(place)].work = Work::Committed(entry, seq);
}

/// Publishes the answer to the sender and the event to the recipient. A repetition under another message id is only
/// answered.
fn publish(rules: &Rules, state: &mut State, place: u8) {
    let work = state.workers[usize::from(place)].work;
    let (Work::Committed(entry, seq) | Work::Half(entry, seq)) = work else { return };
    state.acknowledged[usize::from(entry.command)] = true;
    if state.stored.iter().any(|row| row.seq == seq && row.attempt == entry.attempt) {
        hear(rules, state, seq);
    }
    let half_done = matches!(work, Work::Committed(..));
    state.workers[usize::from(place)].work = if half_done { Work::Half(entry, seq) } else { Work::Idle };
}

/// Deletes the entry, whichever worker read it.
fn settle(state: &mut State, place: u8) {
    let work = state.workers[usize::from(place)].work;
    let (Work::Committed(entry, seq) | Work::Half(entry, seq)) = work else { return };
    state.stream.retain(|known| known.id != entry.id);
    let half_done = matches!(work, Work::Committed(..));
    state.workers[usize::from(place)].work = if half_done { Work::Half(entry, seq) } else { Work::Idle };
}

/// A live event reaches the gateway, if it is subscribed.
fn hear(rules: &Rules, state: &mut State, seq: u8) {
    match &mut state.link {
        Link::Offline | Link::Deaf { .. } => {}
        Link::Holding(held) => held.push(seq),
        Link::Live if rules.notices_jumps && seq > state.delivered + 1 => state.link = Link::Holding(vec![seq]),
        Link::Live => state.see(seq),
    }
}

fn replay(rules: &Rules, state: &mut State) {
    if rules.replays {
        let missed: Vec<u8> = state.stored.iter().map(|row| row.seq).filter(|seq| *seq > state.cursor).collect();
        missed.into_iter().for_each(|seq| state.see(seq));
    }
}
