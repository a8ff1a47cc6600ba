//! The subscription to channels that are not sharded: takes publications from Redis and hands them to `deliver`. After an
//! interruption, everything published meanwhile is gone, and all sessions catch up; after that of a shard, those that
//! listen to its channels (`shards`).

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use fred::clients::SubscriberClient;
use fred::prelude::*;
use fred::types::Message;
use shared::ids::Epoch;
use shared::redis::keys::Channel;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{Receiver, error};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::connection::Connection;
use crate::egress::catch_up::{self, catch_up};
use crate::egress::deliver::Deliverer;
use crate::egress::shards::Listener;
use crate::gateway::Gateway;

/// Publications delivered before their sessions are woken, if this many are waiting.
const BATCH: usize = 256;

/// The subscriber ended, which ends the process.
#[derive(Debug, thiserror::Error)]
#[error("the subscription's channel was closed")]
pub struct Closed;

/// Both ends have to exist before the client connects.
pub struct Events {
    pub messages: Receiver<Message>,
    pub reconnects: Receiver<fred::types::config::Server>,
}

impl Events {
    pub fn of(client: &SubscriberClient) -> Self {
        Events { messages: client.message_rx(), reconnects: client.reconnect_rx() }
    }
}

/// Delivers until the process stops.
///
/// # Errors
/// When publications can no longer be received.
pub async fn run(gateway: Arc<Gateway>, mut events: Events) -> Result<(), Closed> {
    let stopped = gateway.lifecycle.stopped();
    let mut deliverer = Deliverer::new(gateway.clone());
    loop {
        let presence_due = deliverer.presence_due();
        tokio::select! {
            biased;
            () = stopped.cancelled() => return Ok(()),
            // First, so that sessions hold back before they get what comes after the gap.
            reconnected = events.reconnects.recv() => match reconnected {
                Ok(_) | Err(RecvError::Lagged(_)) => interrupted(&gateway),
                Err(RecvError::Closed) => return Err(Closed),
            },
            () = at(presence_due) => deliverer.send_presence(),
            message = events.messages.recv() => match message {
                Ok(message) => batch(&gateway, &mut deliverer, message, &mut events.messages)?,
                Err(RecvError::Lagged(lost)) => lagged(&gateway, lost),
                Err(RecvError::Closed) => return Err(Closed),
            },
        }
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}

fn batch(
    gateway: &Arc<Gateway>,
    deliverer: &mut Deliverer,
    first: Message,
    messages: &mut Receiver<Message>,
) -> Result<(), Closed> {
    if let Some(lost) = deliver_batch(deliverer, first, messages)? {
        lagged(gateway, lost);
    }
    Ok(())
}

/// Delivers what has arrived and wakes its sessions. Returns the number of lost publications, if there were any.
///
/// # Errors
/// When publications can no longer be received.
pub fn deliver_batch(
    deliverer: &mut Deliverer,
    first: Message,
    messages: &mut Receiver<Message>,
) -> Result<Option<u64>, Closed> {
    let mut lost = None;
    deliver(deliverer, first);
    for _ in 1..BATCH {
        match messages.try_recv() {
            Ok(message) => deliver(deliverer, message),
            Err(TryRecvError::Empty) => break,
            Err(error::TryRecvError::Lagged(more)) => {
                lost = Some(more);
                // Sessions hold back before they get what comes after the gap.
                break;
            }
            Err(TryRecvError::Closed) => return Err(Closed),
        }
    }
    deliverer.wake();
    Ok(lost)
}

fn deliver(deliverer: &mut Deliverer, message: Message) {
    let bytes: Bytes = match message.value {
        Value::Bytes(bytes) => bytes,
        Value::String(text) => text.into_inner(),
        _ => return,
    };
    deliverer.publication(&message.channel, &bytes);
}

fn lagged(gateway: &Arc<Gateway>, lost: u64) {
    tracing::warn!(lost, "publications were lost because they came faster than they could be delivered");
    interrupted(gateway);
}

/// Publications may have been lost: all sessions hold live events back, and catch up once the subscriptions stand again.
pub fn interrupted(gateway: &Arc<Gateway>) {
    let mut sessions = Vec::new();
    gateway.registry.for_everybody(|connection| {
        connection.interrupt();
        sessions.push(Arc::downgrade(connection));
    });
    if !sessions.is_empty() {
        gateway.metrics.interruptions.increment(1);
        tracing::warn!(sessions = sessions.len(), "the subscription was interrupted: sessions catch up");
    }
    gateway.positions.clear();
    let task = {
        let gateway = gateway.clone();
        async move {
            gateway.subscriptions.resubscribe().await;
            gateway.requests.repeat();
            catch_up(sessions).await
        }
    };
    gateway.lifecycle.spawn_until_stopped("catch-up", task);
}

/// After an interruption of a shard, the sessions that listen to its channels catch up.
pub struct ShardListener {
    gateway: Arc<Gateway>,
    /// The queue needs no bound: it holds sessions that have not begun to catch up, each once.
    behind: mpsc::UnboundedSender<Weak<Connection>>,
}

impl ShardListener {
    /// Also starts the task that lets sessions catch up, at a pace.
    pub fn start(gateway: Arc<Gateway>) -> Arc<Self> {
        let (behind, mut sessions) = mpsc::unbounded_channel();
        let task = async move {
            let mut step = Vec::new();
            while sessions.recv_many(&mut step, catch_up::STEP).await > 0 {
                catch_up::catch_up(std::mem::take(&mut step)).await?;
            }
            Ok::<(), Infallible>(())
        };
        gateway.lifecycle.spawn_until_stopped("catch-up", task);
        Arc::new(ShardListener { gateway, behind })
    }
}

impl Listener for ShardListener {
    fn lost(&self, _channels: usize) {
        self.gateway.metrics.interruptions.increment(1);
    }

    fn regained(&self, channel: &str) {
        match self.gateway.keys.parse_channel(channel) {
            Some(channel @ (Channel::User(_) | Channel::Group(_))) => {
                self.gateway.positions.begin(channel);
                self.gateway.registry.for_channel(channel, |connection| {
                    if connection.interrupt() {
                        let _ = self.behind.send(Arc::downgrade(connection));
                    }
                });
            }
            Some(Channel::Gateway) => self.gateway.requests.repeat(),
            Some(Channel::Presence | Channel::Report) | None => {}
        }
    }
}

/// Follows the database's epoch until the process stops. A new epoch means that the database went back in time: its
/// numbers may be used again for other messages, and receipts for the lost messages say nothing about the new ones. All
/// sessions catch up.
pub async fn follow_epoch(gateway: Arc<Gateway>) -> Result<(), Infallible> {
    let stopped = gateway.lifecycle.stopped();
    let mut epochs = gateway.liveness.epochs();
    let mut known: Option<String> = None;
    loop {
        let epoch = epochs.borrow_and_update().clone();
        if known.is_some() && epoch != known {
            tracing::warn!("the database has a different history now: sessions catch up");
            gateway.registry.for_everybody(|connection| connection.begin_history());
            interrupted(&gateway);
        }
        // Last: a receipt is of this epoch only if its connection has begun it.
        gateway.liveness.enter_epoch(epoch.as_ref().and_then(|epoch| epoch.parse().ok()).map(Epoch));
        known = epoch;
        tokio::select! {
            changed = epochs.changed() => if changed.is_err() { return Ok(()) },
            () = stopped.cancelled() => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{connection, gateway};
    use shared::ids::{ConversationId, UserId};
    use uuid::Uuid;

    #[tokio::test]
    async fn a_new_epoch_lets_all_sessions_catch_up() {
        const ALICE: UserId = UserId(1);
        let (gateway, mut queues) = gateway(&[]);
        let hers = connection(1);
        gateway.registry.insert(&hers);
        gateway.registry.add_user(&hers, ALICE, 9);
        hers.release();
        let (channel, conversation) = (Channel::User(ALICE), ConversationId::direct(ALICE, UserId(2)));
        let following = tokio::spawn(follow_epoch(gateway.clone()));
        let [first, second] = [1, 2].map(|n| Epoch(Uuid::from_u128(n)));
        for (epoch, catches_up) in [(first, false), (first, false), (second, true)] {
            gateway.positions.message(channel, conversation, 5, 0);
            hers.acknowledge(vec![(conversation, 5)], Vec::new());
            gateway.pass_on(&hers);
            hers.acknowledge(vec![(conversation, 6)], Vec::new());
            gateway.liveness.set_epoch(epoch.0.to_string());
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!((hers.is_holding(), gateway.liveness.epoch()), (catches_up, Some(epoch)));
        }
        // What waited since before is of before, and what was not taken yet is of no epoch any more.
        gateway.pass_on(&hers);
        let stamps: Vec<_> = std::iter::from_fn(|| queues.receipts.try_recv().ok()).map(|(epoch, _)| epoch).collect();
        assert_eq!(stamps, [None, Some(first), Some(first)]);
        let arrival = gateway.positions.message(channel, conversation, 5, 0);
        assert_eq!(arrival, crate::egress::positions::SeqCheck::Next, "the number of another message");
        gateway.lifecycle.stopped().cancel();
        following.await.unwrap().unwrap();
    }
}
