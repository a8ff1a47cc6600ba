//! Publishes, and deletes the settled entries, in one write to the socket; on a cluster, where the two go to different
//! servers, one after the other. The client writes a command by itself unless another waits behind it, and treats a
//! whole pipeline as one command, so here a pipeline always has a command behind it. Without pipelines, each command
//! would be a separate future of thousands of bytes that is moved and kept until the answer.

use std::collections::BTreeMap;

use bytes::Bytes;
use fred::prelude::*;
use futures_util::future::{try_join, try_join_all};

use super::redirect::keyed;
use super::topology::{Topology, one_node};

/// One message for one channel.
pub type ChannelMessage = (String, Bytes);

/// The number of commands in progress at a time.
const MAX_MESSAGES: usize = 1_000;

/// Publishes in order.
pub async fn publish(client: &Client, messages: &[ChannelMessage]) -> Result<(), Error> {
    settle(client, messages, &BTreeMap::new(), None).await
}

/// Publishes in order, and then deletes these entries (ids by stream), acknowledging them for `group` if there is one.
/// After an error, any part of it may have happened.
pub async fn settle(
    client: &Client,
    messages: &[ChannelMessage],
    done: &BTreeMap<String, Vec<String>>,
    group: Option<&str>,
) -> Result<(), Error> {
    let last = messages.len().saturating_sub(1) / MAX_MESSAGES * MAX_MESSAGES;
    let (first, last) = messages.split_at(last);
    for messages in first.chunks(MAX_MESSAGES) {
        publish_all(client, messages).await?;
    }
    let publications = publish_all(client, last);
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
    // Acknowledges only what is certainly deleted: pending entries are claimed by some reader, whether they exist or
    // not, but an acknowledged entry that still exists is never read again, and its age would close the lane for good.
    if let Some(group) = group {
        try_join_all(done.iter().map(|(stream, ids)| acknowledge(client, stream, group, ids))).await?;
    }
    Ok(())
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

async fn publish_all(client: &Client, messages: &[ChannelMessage]) -> Result<(), Error> {
    let Some(((channel, message), before)) = messages.split_last() else { return Ok(()) };
    let one_node = one_node(client);
    let pipeline = client.pipeline().with_options(&one_node);
    for (channel, message) in before {
        let () = pipeline.publish(channel.as_str(), message.clone()).await?;
    }
    let before = async {
        match before {
            [] => Ok(Value::Null),
            _ => pipeline.all::<Value>().await,
        }
    };
    let publisher = client.with_options(&one_node);
    let last = publisher.publish::<i64, _, _>(channel.as_str(), message.clone());
    try_join(before, last).await?;
    Ok(())
}
