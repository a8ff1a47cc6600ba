//! Publishes, and deletes the settled entries, in one write to the socket; on a cluster, where the two go to different
//! servers, one after the other. The client writes a command by itself unless another waits behind it, and treats a
//! whole pipeline as one command, so here a pipeline always has a command behind it. Without pipelines, each command
//! would be a separate future of thousands of bytes that is moved and kept until the answer.
//!
//! On a cluster whose gateways all listen to shards, a publication goes only to the node that has its channel's slot
//! (SPUBLISH). The nodes are written to at the same time, so publications keep their order only within a channel.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fred::clients::Pipeline;
use fred::prelude::*;
use fred::types::config::Options;
use futures_util::future::{try_join, try_join_all};

use super::keys::{Channel, Keys};
use super::redirect::{MAX_REDIRECTIONS, is_redirection, keyed};
use super::topology::{Topology, one_node};

/// The number of commands in progress at a time.
const MAX_MESSAGES: usize = 1_000;
/// Until the nodes agree on who has a slot that has just moved.
const MOVED_PAUSE: Duration = Duration::from_millis(10);

/// One message for one channel.
#[derive(Clone, Debug)]
pub struct ChannelMessage {
    pub channel: String,
    pub bytes: Bytes,
    /// Published only after all before it, even if their channels are on other nodes.
    pub waits: bool,
}

impl ChannelMessage {
    pub fn new(channel: String, bytes: impl Into<Bytes>) -> Self {
        ChannelMessage { channel, bytes: bytes.into(), waits: false }
    }
}

/// Knows how gateways listen, and publishes accordingly.
#[derive(Debug)]
pub struct Publisher {
    keys: Keys,
    is_sharded: AtomicBool,
}

impl Publisher {
    /// Publishes through all nodes until [`Self::follow`] finds that no gateway needs it.
    pub fn new(keys: Keys) -> Self {
        Publisher { keys, is_sharded: AtomicBool::new(false) }
    }

    /// True if publications go only to the nodes that have their channels.
    pub fn is_sharded(&self) -> bool {
        self.is_sharded.load(Ordering::Relaxed)
    }

    /// Looks which gateways with a heartbeat since `alive_since` listen to shards. Those of release 0.1 do not.
    pub async fn follow(&self, client: &Client, alive_since: f64) -> Result<(), Error> {
        if Topology::of(client) == Topology::Single {
            return Ok(());
        }
        // In this order: a gateway is listed as one that listens to shards before it is listed as alive.
        let alive: Vec<String> = keyed!(client, self.keys.heartbeats("gateway"), |sender, key| async move {
            sender.zrangebyscore(key, alive_since, f64::INFINITY, false, None).await
        })
        .await?;
        let listening: HashSet<String> = keyed!(client, self.keys.heartbeats("sharded"), |sender, key| async move {
            sender.zrange(key, 0, -1, None, false, None, false).await
        })
        .await?;
        let is_sharded = !alive.is_empty() && alive.iter().all(|gateway| listening.contains(gateway));
        if self.is_sharded.swap(is_sharded, Ordering::Relaxed) != is_sharded {
            let to = if is_sharded {
                "the nodes of their channels"
            } else {
                "all nodes, because of a gateway of release 0.1"
            };
            tracing::info!(to, "publications of this process go elsewhere now");
        }
        Ok(())
    }

    /// Publishes one message; returns the number of connections that Redis sent it to. Without shards, a node of a
    /// cluster counts only its own connections.
    pub async fn tell(&self, client: &Client, message: ChannelMessage) -> Result<u32, Error> {
        let is_sharded = self.is_sharded() && self.keys.is_sharded(&message.channel);
        let mut redirections = Redirections::default();
        loop {
            let (channel, bytes) = (message.channel.as_str(), message.bytes.clone());
            let told = match is_sharded {
                true => client.spublish(channel, bytes).await,
                false => client.publish(channel, bytes).await,
            };
            match told {
                Ok(listening) => return Ok(listening),
                Err(error) => redirections.follow(error).await?,
            }
        }
    }

    /// Publishes in order.
    pub async fn publish(&self, client: &Client, messages: &[ChannelMessage]) -> Result<(), Error> {
        self.settle(client, messages, &BTreeMap::new(), None).await
    }

    /// Publishes in order, and then deletes these entries (ids by stream), acknowledging them for `group` if there is
    /// one. After an error, any part of it may have happened.
    pub async fn settle(
        &self,
        client: &Client,
        messages: &[ChannelMessage],
        done: &BTreeMap<String, Vec<String>>,
        group: Option<&str>,
    ) -> Result<(), Error> {
        let is_sharded = self.is_sharded();
        let mut steps: Vec<&[ChannelMessage]> = match is_sharded {
            true => messages.chunk_by(|_, next| !next.waits).flat_map(|step| step.chunks(MAX_MESSAGES)).collect(),
            // One node keeps the order.
            false => messages.chunks(MAX_MESSAGES).collect(),
        };
        let last = steps.pop().unwrap_or_default();
        for step in steps {
            self.publish_all(client, step, is_sharded).await?;
        }
        let publications = self.publish_all(client, last, is_sharded);
        let deletions = try_join_all(done.iter().map(|(stream, ids)| delete(client, stream, ids)));
        match Topology::of(client) {
            // Each is handed to the connection when it is first polled, and they are polled in this order.
            Topology::Single => drop(try_join(publications, deletions).await?),
            // Deletes nothing that may still have to be published.
            Topology::Cluster => {
                publications.await?;
                deletions.await?;
            }
        }
        // Acknowledges only what is certainly deleted: pending entries are claimed by some reader, whether they exist
        // or not, but an acknowledged entry that still exists is never read again, and its age would close the lane for
        // good.
        if let Some(group) = group {
            try_join_all(done.iter().map(|(stream, ids)| acknowledge(client, stream, group, ids))).await?;
        }
        Ok(())
    }

    async fn publish_all(&self, client: &Client, messages: &[ChannelMessage], is_sharded: bool) -> Result<(), Error> {
        let mut redirections = Redirections::default();
        let unheard = loop {
            match self.attempt(client, messages, is_sharded).await {
                Ok(unheard) => break unheard,
                Err(error) => redirections.follow(error).await?,
            }
        };
        // They may be for a gateway of release 0.1 that has started since [`Self::follow`] looked. Without its answer, a login
        // there would fail.
        self.attempt(client, &unheard, false).await.map(drop)
    }

    /// Returns the answers that went to shards and reached nobody.
    async fn attempt(
        &self,
        client: &Client,
        messages: &[ChannelMessage],
        is_sharded: bool,
    ) -> Result<Vec<ChannelMessage>, Error> {
        let Some((last, before)) = messages.split_last() else { return Ok(Vec::new()) };
        let one_node = one_node(client);
        let options = |message: &ChannelMessage| match is_sharded && self.keys.is_sharded(&message.channel) {
            true => None,
            false => Some(&one_node),
        };
        let pipeline = client.pipeline();
        for message in before {
            queue(&pipeline, message, options(message)).await?;
        }
        let before = async {
            match before {
                [] => Ok(Value::Array(Vec::new())),
                // The client sends each command to its node, and collects the answers.
                _ => pipeline.all::<Value>().await,
            }
        };
        let last_options = options(last);
        let last = async {
            let (channel, bytes) = (last.channel.as_str(), last.bytes.clone());
            match last_options {
                None => client.spublish::<u32, _, _>(channel, bytes).await,
                Some(one_node) => client.with_options(one_node).publish(channel, bytes).await,
            }
        };
        let (told, last_told) = try_join(before, last).await?;
        if !is_sharded {
            return Ok(Vec::new());
        }
        let told = told.into_array().into_iter().map(|told| told.as_u64()).chain([Some(last_told.into())]);
        let is_unheard = |message: &ChannelMessage, told| {
            told == Some(0) && self.keys.parse_channel(&message.channel) == Some(Channel::Gateway)
        };
        let unheard = messages.iter().zip(told).filter(|(message, told)| is_unheard(message, *told));
        Ok(unheard.map(|(message, _)| message.clone()).collect())
    }
}

/// Adds a message to a pipeline: for the node of its channel, or with these options.
async fn queue(pipeline: &Pipeline<Client>, message: &ChannelMessage, options: Option<&Options>) -> Result<(), Error> {
    let (channel, bytes) = (message.channel.as_str(), message.bytes.clone());
    match options {
        None => pipeline.spublish(channel, bytes).await,
        Some(options) => pipeline.with_options(options).publish(channel, bytes).await,
    }
}

/// Counts how often a node answered that it no longer has a channel's slot.
#[derive(Default)]
struct Redirections(u32);

impl Redirections {
    /// Waits for a moment if the same should be published again, because the client knows the new node now. What other
    /// nodes have accepted is repeated, too.
    async fn follow(&mut self, error: Error) -> Result<(), Error> {
        self.0 += 1;
        if !is_redirection(&error) || self.0 > MAX_REDIRECTIONS {
            return Err(error);
        }
        tokio::time::sleep(MOVED_PAUSE).await;
        Ok(())
    }
}

async fn delete(client: &Client, stream: &str, ids: &[String]) -> Result<i64, Error> {
    keyed!(client, stream, |sender, stream| {
        let ids = ids.to_vec();
        async move { sender.xdel(stream, ids).await }
    })
    .await
}

async fn acknowledge(client: &Client, stream: &str, group: &str, ids: &[String]) -> Result<i64, Error> {
    keyed!(client, stream, |sender, stream| {
        let (group, ids) = (group.to_owned(), ids.to_vec());
        async move { sender.xack(stream, group, ids).await }
    })
    .await
}
