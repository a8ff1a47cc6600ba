//! The state: the stores, the workers, the recipient, and how many faults may still happen.

use crate::{COMMANDS, WORKERS};

/// How often each fault may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// A worker loses its lease to another one, although it lives: it was paused.
    pub takeovers: u8,
    /// A worker finds its lease expired in the middle of a batch, and renews it.
    pub lapses: u8,
    pub worker_crashes: u8,
    /// Redis loses everything, and all connections to it.
    pub redis_losses: u8,
    /// The recipient's connection ends: the gateway crashed, or the network.
    pub disconnects: u8,
    /// An entry is added to the stream twice.
    pub duplicates: u8,
    /// A sender repeats what was not acknowledged to it.
    pub retries: u8,
}

/// A command in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The entry's id in Redis.
    pub id: u8,
    /// Its `clientMessageId`.
    pub command: u8,
    /// Together with the command, its message id.
    pub attempt: u8,
    /// The present consumer group has got it.
    pub is_read: bool,
}

/// A stored message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    pub seq: u8,
    pub command: u8,
    pub attempt: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    Idle,
    Read(Entry),
    /// Only if the number is assigned separately from storing.
    Numbered(Entry, u8),
    /// Stored as this number, not yet published.
    Committed(Entry, u8),
    /// Published, still in the stream; or, if settling comes first, the other way round.
    Half(Entry, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Worker {
    /// The epoch of the lease that it believes it holds.
    pub lease: Option<u8>,
    pub work: Work,
}

/// The recipient's connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    Offline,
    /// Connected, but not subscribed: the subscription was interrupted, or comes after the replay.
    Deaf {
        /// Missed events are replayed once the subscription is established.
        catches_up: bool,
    },
    /// Subscribed; live events are held back until the replay is written.
    Holding(Vec<u8>),
    Live,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    // Senders.
    pub sent: u8,
    pub attempts: [u8; COMMANDS],
    pub acknowledged: [bool; COMMANDS],
    // Redis.
    pub stream: Vec<Entry>,
    pub appended: u8,
    // Postgres.
    pub owner: Option<u8>,
    pub epoch: u8,
    pub last_seq: u8,
    pub stored: Vec<Row>,
    /// Up to which number the recipient confirmed.
    pub cursor: u8,
    pub workers: [Worker; WORKERS],
    // The recipient.
    pub link: Link,
    /// The last number delivered on this connection.
    pub delivered: u8,
    /// The numbers in the order of first arrival, over all connections.
    pub seen: Vec<u8>,
    pub left: Budget,
    pub committed_without_lease: bool,
}

impl State {
    pub fn new(budget: Budget) -> Self {
        State {
            sent: 0,
            attempts: [0; COMMANDS],
            acknowledged: [false; COMMANDS],
            stream: Vec::new(),
            appended: 0,
            owner: None,
            epoch: 0,
            last_seq: 0,
            stored: Vec::new(),
            cursor: 0,
            workers: [Worker { lease: None, work: Work::Idle }; WORKERS],
            link: Link::Offline,
            delivered: 0,
            seen: Vec::new(),
            left: budget,
            committed_without_lease: false,
        }
    }

    pub fn append(&mut self, command: u8, attempt: u8) {
        self.appended += 1;
        self.stream.push(Entry { id: self.appended, command, attempt, is_read: false });
    }

    /// Returns true if the owner according to Postgres knows that it is the owner.
    pub fn owner_lives(&self) -> bool {
        self.owner.is_some_and(|owner| self.workers[usize::from(owner)].lease == Some(self.epoch))
    }

    /// The message reaches the recipient, who recognises repetitions.
    pub fn see(&mut self, seq: u8) {
        self.delivered = self.delivered.max(seq);
        if !self.seen.contains(&seq) {
            self.seen.push(seq);
        }
    }
}
