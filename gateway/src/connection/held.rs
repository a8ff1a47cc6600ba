//! Live events held back during a replay, and which of them the replay already contained.

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
    /// The last lost message of each conversation that was filled in, including the user's own.
    filled: HashMap<ConversationId, i64>,
    /// Groups that the user left meanwhile; an older answer must not add them back.
    left: Vec<GroupId>,
}

impl HeldEvents {
    /// Holds an event back. False if there is no room for an event that must not be lost.
    #[must_use]
    pub fn push(&mut self, item: Outgoing, limit_bytes: usize) -> bool {
        let fits = self.bytes + item.bytes.len() <= limit_bytes;
        if fits {
            self.bytes += item.bytes.len();
            self.items.push_back(item);
        }
        fits
    }

    /// Drops what is held back; a replay will contain it.
    pub fn clear(&mut self) {
        self.items.clear();
        self.bytes = 0;
    }

    /// Records that an event was replayed.
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

    /// Records that a lost message was filled in.
    pub fn note_filled(&mut self, receipt: &Receipt) {
        if let Receipt::Message { conversation, seq, .. } = *receipt {
            let last = self.filled.entry(conversation).or_insert(seq);
            *last = (*last).max(seq);
        }
    }

    pub fn note_left(&mut self, group: GroupId) {
        self.left.push(group);
    }

    /// Forgets the groups left, since a newer answer will list the user's groups.
    pub fn forget_left(&mut self) {
        self.left.clear();
    }

    pub fn note_joined(&mut self, group: GroupId) {
        self.left.retain(|left| *left != group);
    }

    pub fn has_left(&self, group: GroupId) -> bool {
        self.left.contains(&group)
    }

    /// The held events that `user` did not get from the replay, oldest first.
    pub fn release(self, user: UserId) -> impl Iterator<Item = Outgoing> {
        let HeldEvents { items, replayed, replayed_events, filled, .. } = self;
        items.into_iter().filter(move |item| match &item.mark {
            Mark::Receipt(receipt) => match *receipt {
                Receipt::Message { conversation, seq, sender, .. } => {
                    let is_in = |last: Option<&i64>| last.is_some_and(|last| seq <= *last);
                    // A user's own messages are never replayed.
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
    use crate::connection::outbox::Frame;
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
            assert!(held.push(Frame::new(Bytes::from(vec![name as u8]), receipt), 100));
        }
        held.note_replayed(&message(5, 2));
        held.note_replayed(&message(4, 2));
        held.note_replayed(&Receipt::Durable { event });
        let released: Vec<u8> = held.release(UserId(1)).map(|item| item.bytes[0]).collect();
        assert_eq!(released, [3, 4]);
    }

    #[test]
    fn filled_messages_are_dropped_including_own_ones() {
        let mut held = HeldEvents::default();
        for (name, receipt) in [message(4, 1), message(5, 2), message(6, 1)].into_iter().enumerate() {
            assert!(held.push(Frame::new(Bytes::from(vec![name as u8]), receipt), 100));
        }
        held.note_filled(&message(5, 2));
        let released: Vec<u8> = held.release(UserId(1)).map(|item| item.bytes[0]).collect();
        assert_eq!(released, [2]);
    }

    #[test]
    fn holding_back_is_bounded() {
        let mut held = HeldEvents::default();
        let item = || Frame::new(Bytes::from_static(&[0; 60]), Mark::Ephemeral);
        assert!(held.push(item(), 100));
        assert!(!held.push(item(), 100));
    }
}
