//! Records what reached clients: delivery cursors of conversations, and durable events. Applying it again, or in
//! another order, changes nothing, so it needs no ordered lane.

use crate::store::session::PgSession;
use shared::ids::{Epoch, EventId, UserId};
use shared::stream::Internal;

use super::Request;
use crate::error::Failure;
use crate::store::{events, members, shared_events};

/// How many shared events are recorded in one statement, which locks members' rows while it reads the events before each of
/// them.
const EVENTS_TOGETHER: usize = 64;

/// Receipts from another epoch of the database say nothing about this one.
pub async fn record(db: &mut PgSession, epoch: Epoch, requests: &[Request]) -> Result<(), Failure> {
    let (mut users, mut conversations, mut seqs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut event_users, mut event_ids) = (Vec::new(), Vec::new());
    for request in requests {
        let receipts = match &request.internal {
            Internal::RecordReceipts { receipts } => receipts,
            Internal::RecordReceiptsIn { epoch: received_in, receipts } if *received_in == epoch => receipts,
            _ => continue,
        };
        for receipt in receipts {
            for (conversation, seq) in &receipt.conversations {
                users.push(receipt.user);
                conversations.push(*conversation);
                seqs.push(*seq);
            }
            for event in &receipt.events {
                event_users.push(receipt.user);
                event_ids.push(EventId(*event));
            }
        }
    }
    if !users.is_empty() {
        members::update_delivered(db, &users, &conversations, &seqs).await?;
    }
    if !event_users.is_empty() {
        // In order, they form few ranges.
        let mut received: Vec<(UserId, EventId)> = event_users.into_iter().zip(event_ids).collect();
        received.sort_unstable();
        let (event_users, event_ids): (Vec<UserId>, Vec<EventId>) = received.into_iter().unzip();
        for (users, ids) in event_users.chunks(EVENTS_TOGETHER).zip(event_ids.chunks(EVENTS_TOGETHER)) {
            shared_events::update_delivered(db, users, ids).await?;
        }
        events::update_delivered(db, &event_users, &event_ids).await?;
    }
    Ok(())
}
