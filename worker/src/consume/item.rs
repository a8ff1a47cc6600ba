//! The unfinished commands of a batch, and whose turn it is. Commands with the same route hint keep their order.

use std::collections::HashSet;
use std::time::Duration;

use shared::commands::Subject;
use shared::redis::lanes::RawEntry;
use shared::stream::Envelope;
use tokio::time::Instant;

use crate::audiences::Audiences;
use crate::before_send::{BeforeSend, Decision, Review};
use crate::commands::Pending;
use crate::mentions;
use crate::sends::Send;
use crate::store::leases::Lease;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How many held-up commands are tried in one wave.
const MAX_ALONE: usize = 8;

pub struct Item {
    pub lease: Lease,
    pub stream: String,
    pub raw: RawEntry,
    pub subject: Subject,
    pub tries: u32,
    pub work: Work,
    /// What the product's backend has not answered yet: nothing in its conversation overtakes it.
    pub review: Option<Review>,
    /// Until when it is not tried again, and for how long it waited for that.
    held_up: Option<(Instant, Duration)>,
}

pub enum Work {
    Send(Box<Send>),
    Other(Box<Pending>),
}

impl Item {
    pub fn new(lease: Lease, stream: String, raw: RawEntry, subject: Subject, work: Work) -> Self {
        Item { lease, stream, raw, subject, tries: 0, work, review: None, held_up: None }
    }

    pub fn envelope(&self) -> &Envelope {
        match &self.work {
            Work::Send(send) => &send.envelope,
            Work::Other(other) => &other.envelope,
        }
    }

    /// Called if it failed for a reason that need not concern others, such as a locked row. From now on it is tried
    /// alone and at intervals, and only commands with the same route hint wait behind it.
    pub fn hold_up(&mut self) {
        let pause = self.held_up.map_or(FIRST_PAUSE, |(_, pause)| (pause * 2).min(MAX_PAUSE));
        self.held_up = Some((Instant::now() + pause, pause));
    }

    pub fn is_held_up(&self) -> bool {
        self.held_up.is_some()
    }

    /// Takes over what the hook before send has decided, if it has.
    pub fn hear(&mut self, hook: &BeforeSend) {
        let Some(decision) = self.review.as_mut().and_then(|review| review.poll(hook)) else { return };
        self.review = None;
        match &mut self.work {
            Work::Send(send) => match decision {
                Decision::Allow => {}
                Decision::Reject(rejection) => send.refusal = Some(Box::new(rejection)),
                Decision::Change { content, metadata } => send.change(content, metadata),
            },
            Work::Other(other) => match decision {
                Decision::Allow => {}
                Decision::Reject(rejection) => other.refusal = Some(rejection),
                Decision::Change { content, metadata } => other.command.change(content, metadata),
            },
        }
    }
}

/// Refuses messages of users who have reached as many members of large groups as they may, before they cost anything.
pub fn refuse_surplus(items: &mut [Item], audiences: &Audiences) {
    for item in items {
        let Work::Send(send) = &mut item.work else { continue };
        if send.conversation.group().is_some() && send.refusal.is_none() {
            send.refusal = audiences.rejection(send.envelope.user, 0).map(Box::new);
        }
    }
}

/// When the first of the held-up commands may be tried again. Those that wait for the hook are not among them.
pub fn next_try(items: &[Item]) -> Option<Instant> {
    items.iter().filter_map(|item| item.held_up.map(|(until, _)| until)).min()
}

/// True if all of them are held up or wait for the hook, or wait behind one that does.
pub fn are_held_up(items: &[Item]) -> bool {
    let mut closed: HashSet<u16> = HashSet::new();
    items.iter().all(|item| {
        let hint = item.subject.route_hint();
        if item.is_held_up() || item.review.is_some() {
            closed.insert(hint);
        }
        closed.contains(&hint)
    })
}

/// True if the message may have to be stored for each member of a group by itself.
fn calls_everyone(send: &Send) -> bool {
    send.refusal.is_none() && send.conversation.group().is_some() && mentions::may_be_of_everyone(&send.content)
}

/// The commands applied in one wave.
#[derive(Default)]
pub struct Plan {
    /// Messages that are stored together.
    pub sends: Vec<Item>,
    pub others: Vec<Item>,
    /// Held-up commands that are tried again.
    pub alone: Vec<Item>,
    /// Commands that have to wait, in order: those behind a command of another kind or a held-up one with the same
    /// route hint, repetitions within the wave, and all but one message of a conversation to everyone in it.
    pub rest: Vec<Item>,
}

impl Plan {
    pub fn of(items: Vec<Item>) -> Self {
        let now = Instant::now();
        let mut plan = Plan::default();
        let mut sending: HashSet<u16> = HashSet::new();
        let mut closed: HashSet<u16> = HashSet::new();
        let mut ids = HashSet::new();
        let mut repetitions: HashSet<(shared::ids::UserId, String)> = HashSet::new();
        let mut calling: HashSet<u16> = HashSet::new();
        for item in items {
            let hint = item.subject.route_hint();
            if closed.contains(&hint) {
                plan.rest.push(item);
                continue;
            }
            if item.review.is_some() {
                closed.insert(hint);
                plan.rest.push(item);
                continue;
            }
            if let Some((until, _)) = item.held_up {
                closed.insert(hint);
                let is_due = until <= now && plan.alone.len() < MAX_ALONE && !sending.contains(&hint);
                if is_due { &mut plan.alone } else { &mut plan.rest }.push(item);
                continue;
            }
            match &item.work {
                Work::Send(send) => {
                    let key = send.repetition_key().map(|(user, id)| (user, id.to_owned()));
                    let repeated = key.is_some_and(|key| !repetitions.insert(key)) || !ids.insert(send.envelope.id);
                    if repeated || calls_everyone(send) && !calling.insert(hint) {
                        closed.insert(hint);
                        plan.rest.push(item);
                    } else {
                        sending.insert(hint);
                        plan.sends.push(item);
                    }
                }
                Work::Other(_) => {
                    closed.insert(hint);
                    if sending.contains(&hint) {
                        plan.rest.push(item);
                    } else {
                        plan.others.push(item);
                    }
                }
            }
        }
        plan
    }
}
