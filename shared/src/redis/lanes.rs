//! Reading the lanes: taking over partition streams, blocking reads, settling. Postgres decides which worker may do so;
//! here the name of the consumer group is the fence.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use fred::prelude::*;
use fred::types::scripts::Script;
use futures_util::future::try_join_all;

use super::redirect::keyed;
use super::topology::Topology;
use crate::stream::FIELD;

/// One entry as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEntry {
    /// The position of its stream among the requested ones.
    pub stream: usize,
    /// Redis's id of the entry.
    pub id: String,
    pub entry: Bytes,
}

/// The answer of XREADGROUP: streams with entries with fields; nothing after a timeout.
type Reply = Option<Vec<(String, Vec<(String, Vec<(String, Bytes)>)>)>>;

/// Readers of partition streams.
#[derive(Clone)]
pub struct Lanes {
    take: Script,
}

impl Default for Lanes {
    fn default() -> Self {
        Lanes { take: Script::from_lua(include_str!("scripts/take_partitions.lua")) }
    }
}

impl Lanes {
    /// Makes `group` the only consumer group of the streams, which share a slot, from their beginning.
    pub async fn take(&self, client: &Client, streams: &[String], group: &str) -> Result<(), Error> {
        let _: i64 = super::run_script(&self.take, client, streams.to_vec(), vec![group.into()]).await?;
        Ok(())
    }
}

/// What waits in one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub entries: u64,
    /// The age of the first entry; zero if there is none.
    pub age: Duration,
}

/// `backlog.lua`: checks many streams in one command, or in one per slot.
#[derive(Clone)]
pub struct Backlogs(Script);

impl Default for Backlogs {
    fn default() -> Self {
        Backlogs(Script::from_lua(include_str!("scripts/backlog.lua")))
    }
}

impl Backlogs {
    /// The backlog of each stream, in their order.
    pub async fn of(&self, client: &Client, streams: &[String]) -> Result<Vec<Backlog>, Error> {
        let mut backlogs = vec![Backlog { entries: 0, age: Duration::ZERO }; streams.len()];
        let groups = Topology::of(client).together(streams.iter().map(String::as_str));
        let looks = groups.into_iter().map(|places| async {
            let keys = places.iter().map(|place| streams[*place].clone()).collect();
            let numbers: Vec<u64> = super::run_script(&self.0, client, keys, Vec::new()).await?;
            Ok::<_, Error>((places, numbers))
        });
        for (places, numbers) in try_join_all(looks).await? {
            for (place, pair) in places.into_iter().zip(numbers.chunks_exact(2)) {
                backlogs[place] = Backlog { entries: pair[0], age: Duration::from_millis(pair[1]) };
            }
        }
        Ok(backlogs)
    }
}

/// Reads the group's new entries in the streams, which share a slot, waiting up to `block` for the first one. Entries
/// are not kept as pending: they stay in the stream until settled, and a new owner reads them all again.
pub async fn read(
    client: &Client,
    streams: &[String],
    group: &str,
    count: u64,
    block: Duration,
) -> Result<Vec<RawEntry>, Error> {
    let ids = vec![">"; streams.len()];
    let block_ms = (block.as_millis() as u64).max(1);
    let Some(key) = streams.first() else { return Ok(Vec::new()) };
    let reply: Reply = keyed!(client, key, |sender, _| {
        let (group, streams, ids) = (group.to_owned(), streams.to_vec(), ids.clone());
        async move { sender.xreadgroup(group, "owner", Some(count), Some(block_ms), true, streams, ids).await }
    })
    .await?;
    Ok(entries(streams, reply))
}

/// Reads the group's new entries of a lane with many readers; entries are pending for `consumer` until acknowledged.
pub async fn read_shared(
    client: &Client,
    stream: &str,
    group: &str,
    consumer: &str,
    count: u64,
    block: Duration,
) -> Result<Vec<RawEntry>, Error> {
    let block_ms = (block.as_millis() as u64).max(1);
    let reply: Reply = keyed!(client, stream, |sender, stream| {
        let (group, consumer) = (group.to_owned(), consumer.to_owned());
        async move { sender.xreadgroup(group, consumer, Some(count), Some(block_ms), false, stream, ">").await }
    })
    .await?;
    Ok(entries(&[stream.to_owned()], reply))
}

/// Takes over entries that another reader left pending for at least `idle`.
pub async fn claim_abandoned(
    client: &Client,
    stream: &str,
    group: &str,
    consumer: &str,
    idle: Duration,
    count: u64,
) -> Result<Vec<RawEntry>, Error> {
    type Claimed = Vec<(String, HashMap<String, Bytes>)>;
    let idle_ms = idle.as_millis() as u64;
    let reply: Value = keyed!(client, stream, |sender, stream| {
        let (group, consumer) = (group.to_owned(), consumer.to_owned());
        async move { sender.xautoclaim(stream, group, consumer, idle_ms, "0-0", Some(count), false).await }
    })
    .await?;
    let (_, claimed): (String, Claimed) = reply.into_xautoclaim_values()?;
    let claimed = claimed.into_iter().map(|(id, fields)| (id, fields.into_iter().collect())).collect();
    Ok(entries(&[stream.to_owned()], Some(vec![(stream.to_owned(), claimed)])))
}

/// Marks a reader's pending entries as just read, so that no other reader claims them.
pub async fn keep(client: &Client, stream: &str, group: &str, consumer: &str, ids: &[String]) -> Result<(), Error> {
    let _: Value = keyed!(client, stream, |sender, stream| {
        let (group, consumer, ids) = (group.to_owned(), consumer.to_owned(), ids.to_vec());
        async move { sender.xclaim(stream, group, consumer, 0, ids, None, None, None, false, true).await }
    })
    .await?;
    Ok(())
}

/// Removes readers of a group, except `own`, that have nothing pending and were silent for `idle`: each worker that
/// ever existed was one.
pub async fn delete_idle_consumers(
    client: &Client,
    stream: &str,
    group: &str,
    own: &str,
    idle: Duration,
) -> Result<(), Error> {
    let consumers: Vec<HashMap<String, Value>> = client.xinfo_consumers(stream, group).await?;
    for consumer in consumers {
        let number = |field: &str| consumer.get(field).and_then(Value::as_u64);
        let name = consumer.get("name").and_then(Value::as_string).unwrap_or_default();
        let is_gone = number("pending") == Some(0) && number("idle") > Some(idle.as_millis() as u64);
        if is_gone && name != own {
            let _: u64 = client.xgroup_delconsumer(stream, group, name).await?;
        }
    }
    Ok(())
}

fn entries(streams: &[String], reply: Reply) -> Vec<RawEntry> {
    let mut raw = Vec::new();
    for (name, entries) in reply.unwrap_or_default() {
        let Some(stream) = streams.iter().position(|stream| *stream == name) else { continue };
        for (id, fields) in entries {
            let entry = fields.into_iter().find(|(field, _)| field == FIELD).map(|(_, entry)| entry);
            raw.push(RawEntry { stream, id, entry: entry.unwrap_or_default() });
        }
    }
    raw
}
