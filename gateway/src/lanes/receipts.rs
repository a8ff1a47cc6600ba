//! What reached clients, on its way to the workers: gathered per connection, passed on in batches. Losing some only makes
//! events come once more, so that every bound here drops.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use shared::clock::Timestamp;
use shared::ids::{ConversationId, UserId};
use shared::publication::Receipt;
use shared::stream::{Internal, Receipts};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::gateway::Gateway;
use crate::lanes::admit::Admitted;

/// Users in one entry, and what they received.
const BATCH_USERS: usize = 256;
const BATCH_RECEIPTS: usize = 8_192;
const QUEUE_USERS: usize = 16_384;
/// What one connection gathers before it is passed on out of turn.
const MAX_GATHERED: usize = 256;
/// What a client may confirm until it is passed on in its turn.
const MAX_CONFIRMED: usize = 1_024;
/// An entry that is not applied within this time would not be worth it: the next ones say the same and more.
const SETTLE_DEADLINE: Duration = Duration::from_secs(60);

/// What one connection received since the last time it was passed on.
#[derive(Debug, Default)]
pub struct Received {
    conversations: Vec<(ConversationId, i64)>,
    events: Vec<Uuid>,
    /// Messages written to a client that confirms what it receives, the oldest first.
    unconfirmed: VecDeque<Receipt>,
}

impl Received {
    /// Notes that an event was written to a socket of `user`; true when it is time to pass on.
    pub fn note(&mut self, receipt: &Receipt, user: UserId) -> bool {
        match *receipt {
            // One's own messages are no news.
            Receipt::Message { sender, .. } if sender == user => {}
            Receipt::Message { conversation, seq, .. } => self.advance(conversation, seq),
            Receipt::Durable { event } => self.events.push(event),
            Receipt::None => {}
        }
        self.len() >= MAX_GATHERED
    }

    /// Notes what a client says it has received. The client decides how much that is, so what is too much is dropped.
    pub fn add_confirmed(&mut self, conversations: &[(ConversationId, i64)], events: Vec<Uuid>) {
        for (conversation, seq) in conversations {
            if self.len() < MAX_CONFIRMED {
                self.advance(*conversation, *seq);
            }
        }
        let room = MAX_CONFIRMED.saturating_sub(self.len());
        self.events.extend(events.into_iter().take(room));
    }

    /// Notes a message that the client has not confirmed; of too many the oldest is forgotten.
    pub fn note_unconfirmed(&mut self, receipt: &Receipt) {
        if matches!(receipt, Receipt::Message { .. }) {
            if self.unconfirmed.len() >= MAX_GATHERED {
                self.unconfirmed.pop_front();
            }
            self.unconfirmed.push_back(*receipt);
        }
    }

    /// The client confirms a conversation up to this number: gives the newest message of it that was written.
    pub fn confirm(&mut self, confirmed: ConversationId, up_to: i64) -> Option<Receipt> {
        let is_confirmed = |receipt: &Receipt| match receipt {
            Receipt::Message { conversation, seq, .. } => *conversation == confirmed && *seq <= up_to,
            _ => false,
        };
        let newest = self.unconfirmed.iter().rev().copied().find(|receipt| is_confirmed(receipt));
        self.unconfirmed.retain(|receipt| !is_confirmed(receipt));
        newest
    }

    fn advance(&mut self, conversation: ConversationId, seq: i64) {
        // The newest are at the end, and most receipts are for one of them.
        match self.conversations.iter_mut().rev().find(|(known, _)| *known == conversation) {
            Some((_, highest)) => *highest = (*highest).max(seq),
            None => self.conversations.push((conversation, seq)),
        }
    }

    fn len(&self) -> usize {
        self.conversations.len() + self.events.len()
    }

    /// Hands over what was gathered; `None` when that is nothing.
    pub fn take(&mut self, user: UserId) -> Option<Receipts> {
        if self.len() == 0 {
            return None;
        }
        let (conversations, events) = (std::mem::take(&mut self.conversations), std::mem::take(&mut self.events));
        Some(Receipts { user, conversations, events })
    }
}

/// Where connections put what they gathered.
#[derive(Clone)]
pub struct ReceiptQueue {
    sender: mpsc::Sender<Receipts>,
}

impl ReceiptQueue {
    pub fn new() -> (Self, mpsc::Receiver<Receipts>) {
        let (sender, receiver) = mpsc::channel(QUEUE_USERS);
        (ReceiptQueue { sender }, receiver)
    }

    /// False when the queue is full and the receipts are dropped.
    pub fn push(&self, receipts: Receipts) -> bool {
        self.sender.try_send(receipts).is_ok()
    }
}

/// Passes receipts on until the process stops, and what is left then.
pub async fn run(gateway: Arc<Gateway>, mut queue: mpsc::Receiver<Receipts>) {
    let stopped = gateway.lifecycle.stopped();
    let mut batch = Vec::new();
    loop {
        let taken = tokio::select! {
            taken = queue.recv_many(&mut batch, BATCH_USERS) => taken,
            () = stopped.cancelled() => 0,
        };
        if taken == 0 {
            break;
        }
        for entry in entries(&mut batch) {
            settle(&gateway, entry).await;
        }
    }
    while let Ok(receipts) = queue.try_recv() {
        batch.push(receipts);
    }
    for entry in entries(&mut batch) {
        settle(&gateway, entry).await;
    }
}

/// Takes all, in pieces that are not too large for an entry.
fn entries(batch: &mut Vec<Receipts>) -> Vec<Vec<Receipts>> {
    let mut entries: Vec<Vec<Receipts>> = Vec::new();
    let mut room = 0;
    for receipts in batch.drain(..) {
        let size = size(&receipts);
        match entries.last_mut() {
            Some(entry) if size <= room && entry.len() < BATCH_USERS => {
                room -= size;
                entry.push(receipts);
            }
            _ => {
                room = BATCH_RECEIPTS.saturating_sub(size);
                entries.push(vec![receipts]);
            }
        }
    }
    entries
}

fn size(receipts: &Receipts) -> usize {
    receipts.conversations.len() + receipts.events.len()
}

async fn settle(gateway: &Gateway, receipts: Vec<Receipts>) {
    let count: usize = receipts.iter().map(size).sum();
    let Some(user) = receipts.first().map(|first| first.user) else {
        return;
    };
    let request = Internal::Settle { receipts };
    let deadline = Timestamp::now().plus(SETTLE_DEADLINE);
    let admitted = Admitted::internal(gateway, user, &request, None, deadline);
    let admissions = gateway.admit.run(&gateway.redis, std::slice::from_ref(&admitted.append)).await;
    match admissions.into_iter().collect::<Result<Vec<_>, _>>() {
        Ok(_) => gateway.metrics.receipts.increment(count as u64),
        Err(error) => {
            tracing::debug!(error = %error, count, "receipts were dropped");
            gateway.metrics.receipts_dropped.increment(count as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn only_the_highest_number_of_others_messages_counts() {
        let mut received = Received::default();
        received.note(&message(3, 2), UserId(1));
        received.note(&message(2, 2), UserId(1));
        received.note(&message(9, 1), UserId(1));
        let receipts = received.take(UserId(1)).unwrap();
        assert_eq!(receipts.conversations, [(ConversationId::direct(UserId(1), UserId(2)), 3)]);
        assert!(received.take(UserId(1)).is_none());
    }

    #[test]
    fn what_a_client_may_confirm_is_bounded() {
        let mut received = Received::default();
        let conversations: Vec<_> =
            (2..2_000).map(|user| (ConversationId::direct(UserId(1), UserId(user)), user)).collect();
        received.add_confirmed(&conversations[..1_000], Vec::new());
        received.add_confirmed(&conversations[..1_000], vec![Uuid::nil(); 1_000]);
        received.add_confirmed(&conversations, vec![Uuid::nil()]);
        let receipts = received.take(UserId(1)).unwrap();
        assert_eq!((receipts.conversations.len(), receipts.events.len()), (1_000, MAX_CONFIRMED - 1_000));
        assert_eq!(receipts.conversations, conversations[..1_000]);
    }

    #[test]
    fn many_receipts_are_several_entries() {
        let received = |user: usize, events: usize| Receipts {
            user: UserId(user as i64),
            conversations: Vec::new(),
            events: vec![Uuid::nil(); events],
        };
        let mut batch: Vec<_> = (1..=20).map(|user| received(user, 1_000)).collect();
        batch.push(received(21, BATCH_RECEIPTS + 1));
        batch.extend((22..=300).map(|user| received(user, 1)));
        let entries = entries(&mut batch);
        assert_eq!(entries.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 4, 1, BATCH_USERS, 23]);
        let users = entries.iter().flatten().map(|receipts| receipts.user.0);
        assert!(users.eq(1..=300) && batch.is_empty());
    }

    #[test]
    fn what_one_connection_gathers_is_bounded() {
        let mut received = Received::default();
        let due = (0..MAX_GATHERED).map(|n| Receipt::Durable { event: Uuid::from_u128(n as u128) });
        let due: Vec<bool> = due.map(|receipt| received.note(&receipt, UserId(1))).collect();
        assert_eq!(due.iter().position(|due| *due), Some(MAX_GATHERED - 1));
    }
}
