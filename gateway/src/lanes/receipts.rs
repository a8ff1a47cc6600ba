//! Sends what reached clients to the workers, in batches. A lost receipt only repeats an event, so each bound here
//! simply drops.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::Timestamp;
use shared::stream::{Internal, Receipts};
use tokio::sync::mpsc;

use crate::core::Core;
use crate::lanes::admit::Admitted;

/// The number of users in one entry, with what they received.
const BATCH_USERS: usize = 256;
const BATCH_RECEIPTS: usize = 8_192;
const QUEUE_USERS: usize = 16_384;
/// An entry that is not applied within this time is not worth applying: later ones cover it.
const RECORD_DEADLINE: Duration = Duration::from_secs(60);

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

    /// False if the queue is full and the receipts are dropped.
    pub fn push(&self, receipts: Receipts) -> bool {
        self.sender.try_send(receipts).is_ok()
    }
}

/// Passes receipts on until the process stops, and then what is left.
pub async fn run(core: Arc<Core>, mut queue: mpsc::Receiver<Receipts>) {
    let stopped = core.lifecycle.stopped();
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
            record(&core, entry).await;
        }
    }
    while let Ok(receipts) = queue.try_recv() {
        batch.push(receipts);
    }
    for entry in entries(&mut batch) {
        record(&core, entry).await;
    }
}

/// Takes everything, split into pieces that are small enough for an entry.
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

/// The request to record what was received in the database's present epoch.
pub fn request(core: &Core, receipts: Vec<Receipts>) -> Internal {
    match core.liveness.epoch() {
        Some(epoch) => Internal::RecordReceiptsIn { epoch, receipts },
        None => Internal::RecordReceipts { receipts },
    }
}

async fn record(core: &Core, receipts: Vec<Receipts>) {
    let count: usize = receipts.iter().map(size).sum();
    let Some(user) = receipts.first().map(|first| first.user) else {
        return;
    };
    let request = request(core, receipts);
    let deadline = Timestamp::now().plus(RECORD_DEADLINE);
    let admitted = Admitted::internal(core, None, user, &request, None, deadline);
    let admissions = core.admit.run(&core.redis, std::slice::from_ref(&admitted.append)).await;
    match admissions.into_iter().collect::<Result<Vec<_>, _>>() {
        Ok(_) => core.metrics.receipts.increment(count as u64),
        Err(error) => {
            tracing::debug!(%error, count, "receipts were dropped");
            core.metrics.receipts_dropped.increment(count as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::UserId;
    use uuid::Uuid;

    use super::*;

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
}
