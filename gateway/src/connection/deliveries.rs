//! Direct messages that were written to their recipients' sockets, queued for `egress::delivered`, which notifies their
//! senders.

use shared::ids::{ConversationId, MessageId, UserId};
use shared::publication::Receipt;
use tokio::sync::mpsc;

const QUEUE: usize = 16_384;

/// A direct message that reached its recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub conversation: ConversationId,
    pub seq: i64,
    pub message: MessageId,
    pub sender: UserId,
    pub recipient: UserId,
}

/// Where connections put the direct messages that arrived.
#[derive(Clone)]
pub struct Deliveries {
    queue: mpsc::Sender<Delivery>,
}

impl Deliveries {
    pub fn new() -> (Self, mpsc::Receiver<Delivery>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        (Deliveries { queue }, receiver)
    }

    /// Records that `recipient` has received an event. Dropped if too many wait: the next delivery covers it.
    pub fn note(&self, receipt: &Receipt, recipient: UserId) {
        if let Receipt::Message { conversation, seq, sender, message } = *receipt
            && sender != recipient
            && matches!(conversation, ConversationId::Direct(..))
        {
            let _ = self.queue.try_send(Delivery { conversation, seq, message, sender, recipient });
        }
    }
}
