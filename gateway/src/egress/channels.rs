//! The channels this process is subscribed to, counted, so that each is subscribed to once for all who need it. One
//! task keeps the counts and talks to Redis; callers wait for its confirmation, many of them for the same one.
//!
//! On a cluster with sharded channels it also listens to the others: a worker or gateway of release 0.1 publishes to
//! those, and so do all while a gateway of release 0.1 is alive.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fred::clients::SubscriberClient;
use fred::prelude::*;
use shared::redis::keys::Keys;
use shared::redis::topology::one_node;
use tokio::sync::{mpsc, oneshot};

use crate::core::Core;
use crate::egress::shards::Shards;
use crate::egress::subscriptions::{Change, NotSubscribed};

/// The number of requests taken at once, and of channels in one SUBSCRIBE.
const BATCH: usize = 512;
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How to listen to channels.
#[derive(Clone)]
pub struct Subscriber {
    pub client: SubscriberClient,
    pub keys: Keys,
    /// Absent if there are no sharded channels.
    pub shards: Option<Shards>,
}

impl Subscriber {
    /// Subscribes and waits for the confirmation.
    pub async fn subscribe(&self, channels: &[String]) -> Result<(), NotSubscribed> {
        if channels.is_empty() {
            return Ok(());
        }
        let to_all = async {
            subscribe(&self.client, channels).await.map_err(|error| {
                tracing::warn!(%error, channels = channels.len(), "could not subscribe");
                NotSubscribed
            })
        };
        let Some(shards) = &self.shards else { return to_all.await };
        let sharded: Vec<String> = self.sharded(channels);
        let to_shards = async {
            shards.subscribe(&sharded).await.inspect_err(|_| {
                tracing::warn!(channels = sharded.len(), "the shards of some channels do not answer");
            })
        };
        tokio::try_join!(to_all, to_shards).map(|_| ())
    }

    async fn unsubscribe(&self, channels: &[String]) {
        for chunk in channels.chunks(BATCH) {
            // If it fails, one channel too many is heard, and its publications have no audience.
            if let Err(error) = self.client.unsubscribe(chunk.to_vec()).await {
                tracing::debug!(%error, "could not unsubscribe");
            }
        }
        if let Some(shards) = &self.shards {
            shards.unsubscribe(&self.sharded(channels));
        }
    }

    fn sharded(&self, channels: &[String]) -> Vec<String> {
        channels.iter().filter(|channel| self.keys.is_sharded(channel)).cloned().collect()
    }
}

/// Keeps the counts until the process stops.
pub async fn run(core: Arc<Core>, subscriber: Subscriber, mut changes: mpsc::UnboundedReceiver<Change>) {
    let stopped = core.lifecycle.stopped();
    let mut counts = Counts::default();
    let mut batch = Vec::new();
    loop {
        let taken = tokio::select! {
            taken = changes.recv_many(&mut batch, BATCH) => taken,
            () = stopped.cancelled() => return,
        };
        if taken == 0 {
            return;
        }
        counts.apply(&subscriber, batch.drain(..)).await;
        core.metrics.channels.set(counts.by_channel.len() as f64);
    }
}

#[derive(Default)]
struct Counts {
    by_channel: HashMap<String, Channel>,
}

#[derive(Default)]
struct Channel {
    /// Below zero for a moment if a connection ends while another task still counts it up.
    users: i64,
    /// Redis has confirmed the subscription.
    confirmed: bool,
}

impl Counts {
    async fn apply(&mut self, subscriber: &Subscriber, changes: impl Iterator<Item = Change>) {
        let (mut new, mut gone) = (Vec::new(), Vec::new());
        let (mut waiting, mut resubscribed) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Subscribe { channels, done } => {
                    channels.into_iter().for_each(|channel| self.count(channel, 1, &mut new));
                    waiting.push(done);
                }
                Change::Unsubscribe { channels } => {
                    channels.into_iter().for_each(|channel| self.count(channel, -1, &mut gone));
                }
                Change::Resubscribe { done } => resubscribed.push(done),
            }
        }
        if !resubscribed.is_empty() {
            self.subscribe_all(&subscriber.client).await;
            tell(resubscribed);
        }
        new.retain(|channel| self.by_channel.get(channel).is_some_and(|channel| !channel.confirmed));
        // Otherwise the waiting callers learn it from the dropped sender.
        if subscriber.subscribe(&new).await.is_ok() {
            self.confirm(&new);
            tell(waiting);
        }
        gone.retain(|channel| !self.by_channel.contains_key(channel));
        subscriber.unsubscribe(&gone).await;
    }

    /// Counts up or down, and lists a channel if its subscription may have to change.
    fn count(&mut self, name: String, change: i64, changed: &mut Vec<String>) {
        let channel = self.by_channel.entry(name.clone()).or_default();
        channel.users += change;
        let (users, was_confirmed) = (channel.users, channel.confirmed);
        if users == 0 {
            self.by_channel.remove(&name);
        }
        // One that is not confirmed may be all the same, or become so.
        if (change > 0 && !was_confirmed) || (change < 0 && users == 0) {
            changed.push(name);
        }
    }

    fn confirm(&mut self, names: &[String]) {
        for name in names {
            if let Some(channel) = self.by_channel.get_mut(name) {
                channel.confirmed = true;
            }
        }
    }

    async fn subscribe_all(&mut self, client: &SubscriberClient) {
        let all: Vec<String> = self.by_channel.keys().cloned().collect();
        while let Err(error) = subscribe(client, &all).await {
            tracing::warn!(%error, channels = all.len(), "could not subscribe again");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

/// Callers that gave up waiting do not matter.
fn tell(waiting: Vec<oneshot::Sender<()>>) {
    for done in waiting {
        let _ = done.send(());
    }
}

/// Subscribes and waits for the confirmation: the reply to a PING comes after it on the same connection.
async fn subscribe(client: &SubscriberClient, channels: &[String]) -> Result<(), Error> {
    if channels.is_empty() {
        return Ok(());
    }
    for chunk in channels.chunks(BATCH) {
        client.subscribe(chunk.to_vec()).await?;
    }
    client.with_options(&one_node(client)).ping(None).await
}
