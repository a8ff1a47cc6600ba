//! Sends what reached clients to the workers, in batches. A lost receipt only repeats an event, so each bound here
//! simply drops.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::Timestamp;
use shared::ids::Epoch;
use shared::stream::{Internal, Receipts};
use tokio::sync::mpsc;

use crate::connection::Connection;
use crate::core::Core;
use crate::lanes::admit::Admitted;

/// The number of users in one entry, with what they received.
const BATCH_USERS: usize = 256;
const BATCH_RECEIPTS: usize = 8_192;
const QUEUE_USERS: usize = 16_384;
/// An entry that is not applied within this time is not worth applying: later ones cover it.
const RECORD_DEADLINE: Duration = Duration::from_secs(60);

/// What one user has received, in which epoch of the database as far as that is known.
pub type Stamped = (Option<Epoch>, Receipts);

/// Where connections put what they gathered.
#[derive(Clone)]
pub struct ReceiptQueue {
    sender: mpsc::Sender<Stamped>,
}

impl ReceiptQueue {
    pub fn new() -> (Self, mpsc::Receiver<Stamped>) {
        let (sender, receiver) = mpsc::channel(QUEUE_USERS);
        (ReceiptQueue { sender }, receiver)
    }

    /// Takes what the connection gathered. False when the queue is full and that is dropped.
    pub fn take_from(&self, core: &Core, connection: &Connection) -> bool {
        // Before the receipts: those that come after it are of this epoch or a later one, never of an earlier one.
        let epoch = core.liveness.epoch();
        match connection.take_receipts() {
            Some(receipts) => self.sender.try_send((epoch, receipts)).is_ok(),
            None => true,
        }
    }
}

/// Passes receipts on until the process stops, and what is left then.
pub async fn run(core: Arc<Core>, mut queue: mpsc::Receiver<Stamped>) {
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
        for (epoch, entry) in entries(&mut batch) {
            record(&core, epoch, entry).await;
        }
    }
    while let Ok(receipts) = queue.try_recv() {
        batch.push(receipts);
    }
    for (epoch, entry) in entries(&mut batch) {
        record(&core, epoch, entry).await;
    }
}

/// Takes all, in pieces of one epoch that are not too large for an entry.
fn entries(batch: &mut Vec<Stamped>) -> Vec<(Option<Epoch>, Vec<Receipts>)> {
    let mut entries: Vec<(Option<Epoch>, Vec<Receipts>)> = Vec::new();
    let mut room = 0;
    for (epoch, receipts) in batch.drain(..) {
        let size = size(&receipts);
        match entries.last_mut() {
            Some((of, entry)) if *of == epoch && size <= room && entry.len() < BATCH_USERS => {
                room -= size;
                entry.push(receipts);
            }
            _ => {
                room = BATCH_RECEIPTS.saturating_sub(size);
                entries.push((epoch, vec![receipts]));
            }
        }
    }
    entries
}

fn size(receipts: &Receipts) -> usize {
    receipts.conversations.len() + receipts.events.len()
}

/// The request to record what was received in this epoch of the database.
pub fn request(epoch: Option<Epoch>, receipts: Vec<Receipts>) -> Internal {
    match epoch {
        Some(epoch) => Internal::RecordReceiptsIn { epoch, receipts },
        None => Internal::RecordReceipts { receipts },
    }
}

async fn record(core: &Core, epoch: Option<Epoch>, receipts: Vec<Receipts>) {
    let count: usize = receipts.iter().map(size).sum();
    let Some(user) = receipts.first().map(|first| first.user) else {
        return;
    };
    let request = request(epoch, receipts);
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
    use bytes::Bytes;
    use fred::prelude::*;
    use shared::ids::UserId;
    use shared::lifecycle::Lifecycle;
    use shared::redis::client::RedisOptions;
    use shared::stream::{Body, FIELD};
    use uuid::Uuid;

    use super::*;

    /// The database may go back in time while receipts wait here: they say nothing about what was written since.
    #[tokio::test]
    async fn receipts_count_in_the_epoch_in_which_they_were_queued() {
        type Read = Vec<(String, Vec<(String, Vec<(String, Bytes)>)>)>;
        let url = tokio::task::spawn_blocking(devstack::testing::redis_url).await.unwrap().unwrap();
        let (lifecycle, prefix) = (Lifecycle::new(Duration::ZERO), Uuid::new_v4().simple().to_string());
        let options = RedisOptions { url, tls_ca: None, command_timeout: Duration::from_secs(5) };
        let redis = options.client(&lifecycle).unwrap();
        redis.wait_for_connect().await.unwrap();
        let settings = crate::testing::settings(&[("REDIS_PREFIX", &prefix)]);
        let core = Arc::new(Core::new(settings, lifecycle, None, redis).unwrap());
        let [earlier, present] = [1, 2].map(|n| Epoch(Uuid::from_u128(n)));
        let (queue, waiting) = ReceiptQueue::new();
        let received = |epoch| (epoch, Receipts { user: UserId(1), conversations: Vec::new(), events: Vec::new() });
        for epoch in [None, Some(earlier), Some(present)] {
            queue.sender.try_send(received(epoch)).unwrap();
        }
        core.liveness.enter_epoch(Some(present));
        drop(queue);
        run(core.clone(), waiting).await;
        let stream = core.keys.queries();
        let read: Read = core.redis.xread(None, None, stream.as_str(), "0-0").await.unwrap();
        let epoch = |(_, fields): &(String, Vec<(String, Bytes)>)| {
            let (_, entry) = fields.iter().find(|(name, _)| name == FIELD).unwrap();
            match core.wire.open_entry(&stream, entry).unwrap().1 {
                Body::Internal(Internal::RecordReceipts { .. }) => None,
                Body::Internal(Internal::RecordReceiptsIn { epoch, .. }) => Some(epoch),
                other => panic!("{other:?}"),
            }
        };
        let epochs: Vec<Option<Epoch>> = read[0].1.iter().map(epoch).collect();
        assert_eq!(epochs, [None, Some(earlier), Some(present)]);
    }

    #[test]
    fn many_receipts_are_several_entries() {
        let received = |user: usize, events: usize| {
            let epoch = Some(Epoch(Uuid::from_u128(u128::from(user > 290))));
            let events = vec![Uuid::nil(); events];
            (epoch, Receipts { user: UserId(user as i64), conversations: Vec::new(), events })
        };
        let mut batch: Vec<_> = (1..=20).map(|user| received(user, 1_000)).collect();
        batch.push(received(21, BATCH_RECEIPTS + 1));
        batch.extend((22..=300).map(|user| received(user, 1)));
        let entries = entries(&mut batch);
        assert_eq!(entries.iter().map(|(_, entry)| entry.len()).collect::<Vec<_>>(), [8, 8, 4, 1, BATCH_USERS, 13, 10]);
        let users = entries.iter().flat_map(|(_, entry)| entry).map(|receipts| receipts.user.0);
        assert!(users.eq(1..=300) && batch.is_empty());
    }
}
