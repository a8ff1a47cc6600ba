//! A model of the rules that the guarantees rest on: leases and fencing, applying once, publishing, settling, replay. One
//! conversation, two workers, one recipient; every interleaving of their steps and of a bounded number of faults is
//! checked. A worker that is paused needs no action of its own: its steps may come at any time later.
//!
//! [`Rules`] can be switched off one by one; the tests show that each is needed.

mod state;
mod steps;

pub use state::{Budget, Entry, Link, Row, State, Work, Worker};
pub use steps::Step;

use stateright::{Model, Property};

/// The number of messages sent.
pub const COMMANDS: usize = 2;
pub const WORKERS: usize = 2;

/// The rules of the design; [`Rules::design`] enables all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A transaction compares owner and epoch of the lease (`store/leases.rs`).
    pub fences: bool,
    /// A message is recognised by its id and its `clientMessageId` (`store/sends`).
    pub recognises: bool,
    /// The statement that stores a message assigns its number (`store/sends`).
    pub numbers_when_storing: bool,
    /// The answer leaves after the commit (`consume/settle.rs`).
    pub answers_after_commit: bool,
    /// The entry is deleted after its event was published (`consume/settle.rs`).
    pub settles_last: bool,
    /// Entries that a batch left in the stream are read again (`consume/pipeline.rs`).
    pub rereads: bool,
    /// Messages past the cursor are replayed on connecting (`sessions/replay.rs`).
    pub replays: bool,
    /// Live events are held back, starting before the replay is chosen (`egress/held.rs`).
    pub subscribes_first: bool,
    /// An interrupted subscription is followed by a replay (`egress/subscriber.rs`).
    pub catches_up: bool,
    /// A gap in the numbers causes a replay before the next message is delivered.
    pub notices_jumps: bool,
    /// The last number stored is compared with the last one delivered at intervals.
    pub compares_last: bool,
}

impl Rules {
    pub const fn design() -> Self {
        Rules {
            fences: true,
            recognises: true,
            numbers_when_storing: true,
            answers_after_commit: true,
            settles_last: true,
            rereads: true,
            replays: true,
            subscribes_first: true,
            catches_up: true,
            notices_jumps: true,
            compares_last: true,
        }
    }
}

/// The rules under a number of faults.
#[derive(Clone, Copy, Debug)]
pub struct Chat {
    pub rules: Rules,
    pub budget: Budget,
}

pub const ONCE: &str = "nothing is applied twice";
pub const GAPLESS: &str = "numbers have no gaps";
pub const ORDERED_STORED: &str = "what was sent in order is stored in order";
pub const DURABLE: &str = "what is acknowledged is stored";
pub const FENCED: &str = "nobody commits without the lease";
pub const ORDERED_SEEN: &str = "messages arrive in the order of their numbers";
pub const SETTLED: &str = "nothing stays in the stream for good";
pub const DELIVERED: &str = "in the end everything stored has arrived";
pub const ALL_ARRIVES: &str = "all messages are stored, acknowledged and seen";

impl Model for Chat {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.budget)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        steps::enabled(&self.rules, state, actions);
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        steps::take(&self.rules, &mut next, step);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONCE, |_, state: &State| {
                (0..COMMANDS as u8).all(|c| state.stored.iter().filter(|row| row.command == c).count() <= 1)
            }),
            Property::always(GAPLESS, |_, state: &State| {
                state.stored.iter().enumerate().all(|(place, row)| usize::from(row.seq) == place + 1)
            }),
            Property::always(ORDERED_STORED, |_, state: &State| {
                let first_tries: Vec<u8> =
                    state.stored.iter().filter(|row| row.attempt == 0).map(|row| row.command).collect();
                first_tries.is_sorted()
            }),
            Property::always(DURABLE, |_, state: &State| {
                (0..COMMANDS as u8)
                    .all(|c| !state.acknowledged[c as usize] || state.stored.iter().any(|row| row.command == c))
            }),
            Property::always(FENCED, |_, state: &State| !state.committed_without_lease),
            Property::always(ORDERED_SEEN, |_, state: &State| state.seen.is_sorted()),
            Property::always(SETTLED, |chat: &Chat, state: &State| state.stream.is_empty() || !chat.is_over(state)),
            Property::always(DELIVERED, |chat: &Chat, state: &State| {
                state.seen.len() == state.stored.len() || !chat.is_over(state)
            }),
            Property::sometimes(ALL_ARRIVES, |_, state: &State| {
                state.acknowledged.iter().all(|acknowledged| *acknowledged)
                    && state.stored.len() == COMMANDS
                    && state.seen.len() == COMMANDS
            }),
        ]
    }
}

impl Chat {
    /// Returns true if nothing more will happen.
    fn is_over(&self, state: &State) -> bool {
        let mut steps = Vec::new();
        self.actions(state, &mut steps);
        steps.iter().all(|step| step.is_fault())
    }
}
