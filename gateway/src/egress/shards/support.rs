//! Finds out if the servers know sharded subscriptions (version 7), and allow them.

use std::io;
use std::time::Duration;

use fred::prelude::*;
use shared::redis::shard::{Moved, Received, ShardConnection, ShardOptions};
use shared::redis::topology::Topology;

use crate::core::Core;

const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Waits until all nodes of a cluster have answered; true if channels can be followed at shards.
pub async fn find_out(core: &Core, options: &ShardOptions) -> bool {
    if Topology::of(&core.redis) == Topology::Single {
        return false;
    }
    loop {
        match ask_all(core, options).await {
            Ok(None) => return true,
            Ok(Some(error)) => {
                tracing::warn!(error, "the Redis Cluster has no sharded channels: every node carries all publications");
                return false;
            }
            Err(error) => tracing::debug!(%error, "the nodes of the Redis Cluster do not answer yet"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// Asks each primary; returns the first refusal.
async fn ask_all(core: &Core, options: &ShardOptions) -> io::Result<Option<String>> {
    let routes = core.redis.cached_cluster_state().ok_or(io::ErrorKind::NotConnected)?;
    let nodes = routes.unique_primary_nodes();
    if nodes.is_empty() {
        return Err(io::ErrorKind::NotConnected.into());
    }
    // Nobody listens to it yet.
    let channel = core.keys.gateway_channel(core.id);
    for server in nodes {
        let mut connection = ShardConnection::connect(options, &server).await?;
        for command in [["SPUBLISH", &channel, ""].as_slice(), ["SSUBSCRIBE", &channel].as_slice()] {
            connection.send(command);
            let answer = tokio::time::timeout(options.command_timeout, connection.receive()).await??;
            match answer {
                Received::Refused { error } if is_transient(&error) => return Err(io::Error::other(error)),
                Received::Refused { error } if Moved::parse(&error).is_none() => return Ok(Some(error)),
                _ => {}
            }
        }
    }
    Ok(None)
}

fn is_transient(error: &str) -> bool {
    ["CLUSTERDOWN", "LOADING", "MASTERDOWN", "TRYAGAIN"].iter().any(|prefix| error.starts_with(prefix))
}
