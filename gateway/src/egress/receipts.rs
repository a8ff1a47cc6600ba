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
use crate::ingress::admit::Admitted;

/// Users in one entry.
const BATCH_USERS: usize = 256;
const QUEUE_USERS: usize = 16_384;
/// What one connection gathers before it is passed on out of turn.
const MAX_GATHERED: usize = 256;
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
        self.conversations.len() + self.events.len() >= MAX_GATHERED
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

    pub fn advance(&mut self, conversation: ConversationId, seq: i64) {
        // The newest are at the end, and most receipts are for one of them.
        match self.conversations.iter_mut().rev().find(|(known, _)| *known == conversation) {
            Some((_, highest)) => *highest = (*highest).max(seq),
            None => self.conversations.push((conversation, seq)),
        }
    }

    pub fn add_events(&mut self, events: Vec<Uuid>) {
        self.events.extend(events);
    }

    pub fn is_empty(&self) -> bool {
        self.conversations.is_empty() && self.events.is_empty()
    }

    /// Hands over what was gathered; `None` when that is nothing.
    pub fn take(&mut self, user: UserId) -> Option<Receipts> {
        if self.is_empty() {
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
        settle(&gateway, std::mem::take(&mut batch)).await;
    }
    while let Ok(receipts) = queue.try_recv() {
        batch.push(receipts);
    }
    if !batch.is_empty() {
        settle(&gateway, batch).await;
    }
}

async fn settle(gateway: &Gateway, receipts: Vec<Receipts>) {
    let count: usize = receipts.iter().map(|user| user.conversations.len() + user.events.len()).sum();
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
    fn what_one_connection_gathers_is_bounded() {
        let mut received = Received::default();
        let due = (0..MAX_GATHERED).map(|n| Receipt::Durable { event: Uuid::from_u128(n as u128) });
        let due: Vec<bool> = due.map(|receipt| received.note(&receipt, UserId(1))).collect();
        assert_eq!(due.iter().position(|due| *due), Some(MAX_GATHERED - 1));
    }
}
