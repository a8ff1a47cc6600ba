//! `message_delivered`: tells the senders of direct messages how far these have reached their recipients. It is not
//! durable, so the gateway that wrote the messages publishes it itself; what accumulates within a moment is sent
//! together.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use fred::prelude::Error;
use shared::events;
use shared::events::direct::MessageDelivered;
use shared::ids::{ConversationId, UserId};
use shared::publication::{EventHeader, Header, Receipt};
use shared::redis::publisher::ChannelMessage;
use tokio::sync::mpsc;

use crate::connection::deliveries::Delivery;
use crate::core::Core;

/// Soon enough for senders; a busy conversation costs one publication per pause.
const PAUSE: Duration = Duration::from_millis(50);
const BATCH: usize = 4_096;

/// Notifies senders until the process stops.
pub async fn run(core: Arc<Core>, mut queue: mpsc::Receiver<Delivery>) -> Result<(), Infallible> {
    let stopped = core.lifecycle.stopped();
    let mut batch = Vec::new();
    loop {
        let taken = tokio::select! {
            taken = queue.recv_many(&mut batch, BATCH) => taken,
            () = stopped.cancelled() => 0,
        };
        if taken == 0 {
            return Ok(());
        }
        if let Err(error) = publish(&core, newest(batch.drain(..))).await {
            tracing::debug!(%error, "senders were not notified of deliveries");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The newest of each recipient in each conversation, which covers all before it.
fn newest(deliveries: impl Iterator<Item = Delivery>) -> Vec<Delivery> {
    let mut newest: HashMap<(ConversationId, UserId), Delivery> = HashMap::new();
    for delivery in deliveries {
        let known = newest.entry((delivery.conversation, delivery.recipient)).or_insert(delivery);
        if delivery.seq > known.seq {
            *known = delivery;
        }
    }
    newest.into_values().collect()
}

async fn publish(core: &Core, deliveries: Vec<Delivery>) -> Result<(), Error> {
    let header = Header::Event(EventHeader::new(Receipt::None));
    let message = |delivery: Delivery| {
        let event = MessageDelivered {
            message_id: delivery.message,
            conversation_id: delivery.conversation,
            seq: delivery.seq,
            delivered_to: delivery.recipient,
        };
        let channel = core.keys.user_channel(delivery.sender);
        let message = core.wire.publication(&channel, &header, &events::broadcast(&event));
        ChannelMessage::new(channel, message)
    };
    let messages: Vec<ChannelMessage> = deliveries.into_iter().map(message).collect();
    core.publisher.publish(&core.redis, &messages).await
}

#[cfg(test)]
mod tests {
    use shared::ids::MessageId;
    use uuid::Uuid;

    use super::*;
    use crate::connection::deliveries::Deliveries;

    #[test]
    fn the_newest_receipt_covers_all_before_and_skips_own_ones() {
        let (deliveries, mut queue) = Deliveries::new();
        let conversation = ConversationId::direct(UserId(1), UserId(2));
        let receipt = |seq, sender| Receipt::Message { conversation, seq, sender, message: MessageId(Uuid::nil()) };
        for (seq, sender, recipient) in [(1, 1, 2), (3, 1, 2), (2, 1, 2), (4, 1, 1), (5, 2, 1)] {
            deliveries.note(&receipt(seq, UserId(sender)), UserId(recipient));
        }
        deliveries.note(&Receipt::Durable { event: Uuid::nil() }, UserId(2));
        let mut noted = Vec::new();
        while let Ok(delivery) = queue.try_recv() {
            noted.push(delivery);
        }
        let mut told: Vec<(i64, UserId)> = newest(noted.into_iter()).iter().map(|a| (a.seq, a.sender)).collect();
        told.sort();
        assert_eq!(told, [(3, UserId(1)), (5, UserId(2))]);
    }
}
