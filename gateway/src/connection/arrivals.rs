//! Direct messages that were written to their recipients' sockets, queued for `egress::delivered`, which tells their senders.

use shared::ids::{ConversationId, MessageId, UserId};
use shared::publication::Receipt;
use tokio::sync::mpsc;

const QUEUE: usize = 16_384;

/// A direct message that reached its recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub conversation: ConversationId,
    pub seq: i64,
    pub message: MessageId,
    pub sender: UserId,
    pub recipient: UserId,
}

/// Where connections put what arrived.
#[derive(Clone)]
pub struct Arrivals {
    queue: mpsc::Sender<Arrival>,
}

impl Arrivals {
    pub fn new() -> (Self, mpsc::Receiver<Arrival>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        (Arrivals { queue }, receiver)
    }

    /// Notes that `recipient` has received an event. Dropped when too many wait: the next message's says the same and more.
    pub fn note(&self, receipt: &Receipt, recipient: UserId) {
        if let Receipt::Message { conversation, seq, sender, message } = *receipt
            && sender != recipient
            && matches!(conversation, ConversationId::Direct(..))
        {
            let _ = self.queue.try_send(Arrival { conversation, seq, message, sender, recipient });
        }
    }
}
