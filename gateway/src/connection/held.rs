//! Live events held back while what was missed is replayed, and which of them the replay already held.

use std::collections::{HashMap, HashSet, VecDeque};

use shared::ids::{ConversationId, GroupId, UserId};
use shared::publication::Receipt;
use uuid::Uuid;

use crate::connection::outbox::{Mark, Outgoing};

#[derive(Debug, Default)]
pub struct HeldEvents {
    items: VecDeque<Outgoing>,
    bytes: usize,
    /// The last message replayed of each conversation.
    replayed: HashMap<ConversationId, i64>,
    replayed_events: HashSet<Uuid>,
    /// The last message of each conversation that was lost and made up for, one's own included.
    filled: HashMap<ConversationId, i64>,
    /// Groups that the user left meanwhile: an older answer must not bring them back.
    left: Vec<GroupId>,
}

impl HeldEvents {
    /// Holds an event back. False when there is no room for one that must not be lost.
    #[must_use]
    pub fn push(&mut self, item: Outgoing, limit_bytes: usize) -> bool {
        let fits = self.bytes + item.frame.len() <= limit_bytes;
        if fits {
            self.bytes += item.frame.len();
            self.items.push_back(item);
        }
        fits
    }

    /// Lets go of what is held back: a replay will hold it.
    pub fn clear(&mut self) {
        self.items.clear();
        self.bytes = 0;
    }

    /// Notes that an event was replayed.
    pub fn note_replayed(&mut self, receipt: &Receipt) {
        match *receipt {
            Receipt::Message { conversation, seq, .. } => {
                let last = self.replayed.entry(conversation).or_insert(seq);
                *last = (*last).max(seq);
            }
            Receipt::Durable { event } => {
                self.replayed_events.insert(event);
            }
            Receipt::None => {}
        }
    }

    /// Notes that a lost message was made up for.
    pub fn note_filled(&mut self, receipt: &Receipt) {
        if let Receipt::Message { conversation, seq, .. } = *receipt {
            let last = self.filled.entry(conversation).or_insert(seq);
            *last = (*last).max(seq);
        }
    }

    pub fn note_left(&mut self, group: GroupId) {
        self.left.push(group);
    }

    /// A newer answer will say what the user belongs to.
    pub fn forget_left(&mut self) {
        self.left.clear();
    }

    pub fn note_joined(&mut self, group: GroupId) {
        self.left.retain(|left| *left != group);
    }

    pub fn has_left(&self, group: GroupId) -> bool {
        self.left.contains(&group)
    }

    /// The events held back that `user` has not got by the replay, oldest first.
    pub fn release(self, user: UserId) -> impl Iterator<Item = Outgoing> {
        let HeldEvents { items, replayed, replayed_events, filled, .. } = self;
        items.into_iter().filter(move |item| match &item.mark {
            Mark::Receipt(receipt) => match **receipt {
                Receipt::Message { conversation, seq, sender, .. } => {
                    let is_in = |last: Option<&i64>| last.is_some_and(|last| seq <= *last);
                    // One's own messages are never replayed.
                    !is_in(filled.get(&conversation)) && (sender == user || !is_in(replayed.get(&conversation)))
                }
                Receipt::Durable { event } => !replayed_events.contains(&event),
                Receipt::None => true,
            },
            Mark::Ephemeral | Mark::Required | Mark::Answer => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use shared::ids::MessageId;

    fn message(seq: i64, sender: i64) -> Receipt {
        Receipt::Message {
            conversation: ConversationId::direct(UserId(1), UserId(2)),
            seq,
            sender: UserId(sender),
            message: MessageId(Uuid::nil()),
        }
    }

    #[test]
    fn what_the_replay_held_is_dropped_and_the_rest_keeps_its_order() {
        let mut held = HeldEvents::default();
        let event = Uuid::from_u128(7);
        let receipts = [message(4, 2), message(5, 2), Receipt::Durable { event }, message(3, 1), message(6, 2)];
        for (name, receipt) in receipts.into_iter().enumerate() {
            assert!(held.push(Outgoing { frame: Bytes::from(vec![name as u8]), mark: receipt.into() }, 100));
        }
        held.note_replayed(&message(5, 2));
        held.note_replayed(&message(4, 2));
        held.note_replayed(&Receipt::Durable { event });
        let released: Vec<u8> = held.release(UserId(1)).map(|item| item.frame[0]).collect();
        assert_eq!(released, [3, 4]);
    }

    #[test]
    fn what_was_lost_and_made_up_for_is_dropped_ones_own_included() {
        let mut held = HeldEvents::default();
        for (name, receipt) in [message(4, 1), message(5, 2), message(6, 1)].into_iter().enumerate() {
            assert!(held.push(Outgoing { frame: Bytes::from(vec![name as u8]), mark: receipt.into() }, 100));
        }
        held.note_filled(&message(5, 2));
        let released: Vec<u8> = held.release(UserId(1)).map(|item| item.frame[0]).collect();
        assert_eq!(released, [2]);
    }

    #[test]
    fn holding_back_is_bounded() {
        let mut held = HeldEvents::default();
        let item = || Outgoing { frame: Bytes::from_static(&[0; 60]), mark: Mark::Ephemeral };
        assert!(held.push(item(), 100));
        assert!(!held.push(item(), 100));
    }
}
