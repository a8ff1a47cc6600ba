//! What every recipient must see: each sender's messages 1, 2, 3 … once and in order, and the conversation's `seq` without
//! a gap. Kept small enough for millions of messages: only what is missing is remembered.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What one recipient saw of one sender.
#[derive(Clone, Debug, Default)]
pub struct Track {
    /// The highest number so far.
    last: u64,
    /// Lower numbers that did not arrive.
    skipped: BTreeSet<u64>,
}

/// What an arrival was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    Next,
    /// Seen before.
    Duplicate,
    /// After one with a higher number.
    Late,
}

impl Track {
    /// Notes an arrival. Numbers that never arrived because the server rejected them are given at the end, see
    /// [`Self::missing`].
    pub fn arrived(&mut self, number: u64) -> Arrival {
        if number > self.last {
            self.skipped.extend(self.last + 1..number);
            self.last = number;
            Arrival::Next
        } else if self.skipped.remove(&number) {
            Arrival::Late
        } else {
            Arrival::Duplicate
        }
    }

    /// Returns how many of the numbers 1 to `sent` neither arrived nor are in `excused`.
    pub fn missing(&self, sent: u64, excused: &BTreeSet<u64>) -> u64 {
        let never = (self.last + 1..=sent).chain(self.skipped.iter().copied());
        never.filter(|number| !excused.contains(number)).count() as u64
    }
}

/// The `seq` of a conversation as one recipient sees it, from the first one that arrives.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeqTrack {
    last: Option<u64>,
}

impl SeqTrack {
    /// Compares it with the expected number; repetitions of an older one are not judged here.
    pub fn arrived(&mut self, seq: u64) -> SeqArrival {
        let arrival = match self.last {
            None => SeqArrival::Next,
            Some(last) if seq == last + 1 => SeqArrival::Next,
            Some(last) if seq <= last => return SeqArrival::Back,
            Some(last) => SeqArrival::Gap(seq - last - 1),
        };
        self.last = Some(seq);
        arrival
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeqArrival {
    Next,
    /// This number of messages was left out.
    Gap(u64),
    /// It is not higher than the last one.
    Back,
}

/// What was found over all recipients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Messages that should have arrived.
    pub expected: u64,
    pub lost: u64,
    pub duplicates: u64,
    /// Arrivals after a later message of the same conversation.
    pub out_of_order: u64,
    /// Numbers of a conversation that a recipient did not see.
    pub seq_gaps: u64,
    /// Sends that got neither an answer nor an error.
    pub unanswered: u64,
    /// Connections that ended before the run did.
    pub closed: u64,
    /// The first few findings, for people.
    pub examples: Vec<String>,
}

const MAX_EXAMPLES: usize = 10;

impl Verdict {
    pub fn is_clean(&self) -> bool {
        let Self { expected: _, examples: _, lost, duplicates, out_of_order, seq_gaps, unanswered, closed } = self;
        [lost, duplicates, out_of_order, seq_gaps, unanswered, closed].iter().all(|count| **count == 0)
    }

    pub fn note(&mut self, arrival: Arrival, what: impl FnOnce() -> String) {
        match arrival {
            Arrival::Next => return,
            Arrival::Duplicate => self.duplicates += 1,
            Arrival::Late => self.out_of_order += 1,
        }
        self.example(|| format!("{arrival:?}: {}", what()));
    }

    pub fn note_seq(&mut self, arrival: SeqArrival, what: impl FnOnce() -> String) {
        match arrival {
            SeqArrival::Next => return,
            SeqArrival::Gap(count) => self.seq_gaps += count,
            SeqArrival::Back => self.out_of_order += 1,
        }
        self.example(|| format!("seq {arrival:?}: {}", what()));
    }

    pub fn example(&mut self, what: impl FnOnce() -> String) {
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(what());
        }
    }

    pub fn merge(&mut self, other: Self) {
        self.expected += other.expected;
        self.lost += other.lost;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.seq_gaps += other.seq_gaps;
        self.unanswered += other.unanswered;
        self.closed += other.closed;
        self.examples.extend(other.examples);
        self.examples.truncate(MAX_EXAMPLES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(numbers: &[u64]) -> (Track, Vec<Arrival>) {
        let mut track = Track::default();
        let arrivals = numbers.iter().map(|number| track.arrived(*number)).collect();
        (track, arrivals)
    }

    #[test]
    fn a_missing_message_is_found() {
        let (track, arrivals) = run(&[1, 2, 4, 5]);
        assert!(arrivals.iter().all(|arrival| *arrival == Arrival::Next));
        assert_eq!(track.missing(5, &BTreeSet::new()), 1);
        assert_eq!(track.missing(7, &BTreeSet::new()), 3, "the end is missing, too");
        assert_eq!(track.missing(5, &BTreeSet::from([3])), 0, "it was refused");
    }

    #[test]
    fn a_doubled_message_is_found() {
        let (track, arrivals) = run(&[1, 2, 2, 3]);
        assert_eq!(arrivals[2], Arrival::Duplicate);
        assert_eq!(track.missing(3, &BTreeSet::new()), 0);
    }

    #[test]
    fn a_swapped_message_is_found() {
        let (track, arrivals) = run(&[1, 3, 2, 4]);
        assert_eq!(arrivals, [Arrival::Next, Arrival::Next, Arrival::Late, Arrival::Next]);
        assert_eq!(track.missing(4, &BTreeSet::new()), 0);
    }

    #[test]
    fn the_verdict_adds_up_and_names_examples() {
        let mut verdict = Verdict::default();
        verdict.note(Arrival::Next, || unreachable!());
        assert!(verdict.is_clean());
        verdict.note(Arrival::Late, || "number 2".into());
        let mut seq = SeqTrack::default();
        for number in [5, 6, 8, 7] {
            verdict.note_seq(seq.arrived(number), || format!("seq {number}"));
        }
        assert_eq!((verdict.out_of_order, verdict.seq_gaps, verdict.examples.len()), (2, 1, 3));
        let mut sum = Verdict { lost: 1, ..Verdict::default() };
        sum.merge(verdict);
        assert!(!sum.is_clean() && sum.examples.len() == 3);
    }
}
