//! The one subscription connection of this process: takes publications from Redis and hands them to `deliver`. When it was
//! interrupted, whatever was published meanwhile is gone, and all sessions catch up.

use std::sync::Arc;

use bytes::Bytes;
use fred::clients::SubscriberClient;
use fred::prelude::*;
use fred::types::Message;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{Receiver, error};

use crate::egress::catch_up::catch_up;
use crate::egress::deliver::Deliverer;
use crate::gateway::Gateway;

/// Publications delivered before their sessions are woken, when so many are waiting.
const BATCH: usize = 256;

/// Why the subscriber ended, which ends the process.
#[derive(Debug, thiserror::Error)]
#[error("the subscription's channel was closed")]
pub struct Closed;

/// Both ends have to exist before the client connects.
pub struct Events {
    messages: Receiver<Message>,
    reconnects: Receiver<fred::types::config::Server>,
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
        tokio::select! {
            biased;
            () = stopped.cancelled() => return Ok(()),
            // First, so that sessions hold back before they get what comes after the gap.
            reconnected = events.reconnects.recv() => match reconnected {
                Ok(_) | Err(RecvError::Lagged(_)) => interrupted(&gateway),
                Err(RecvError::Closed) => return Err(Closed),
            },
            message = events.messages.recv() => match message {
                Ok(message) => batch(&gateway, &mut deliverer, message, &mut events.messages)?,
                Err(RecvError::Lagged(lost)) => lagged(&gateway, lost),
                Err(RecvError::Closed) => return Err(Closed),
            },
        }
    }
}

fn batch(
    gateway: &Arc<Gateway>,
    deliverer: &mut Deliverer,
    first: Message,
    messages: &mut Receiver<Message>,
) -> Result<(), Closed> {
    deliver(deliverer, first);
    for _ in 1..BATCH {
        match messages.try_recv() {
            Ok(message) => deliver(deliverer, message),
            Err(TryRecvError::Empty) => break,
            Err(error::TryRecvError::Lagged(lost)) => lagged(gateway, lost),
            Err(TryRecvError::Closed) => return Err(Closed),
        }
    }
    deliverer.wake();
    Ok(())
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
            catch_up(sessions).await
        }
    };
    gateway.lifecycle.spawn_until_stopped("catch-up", task);
}
