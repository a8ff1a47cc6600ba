//! A Redis Cluster: three primaries, each with a replica that takes its place when it dies; for measurements, any number of
//! primaries alone.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::{Durability, Redis, Scratch, ports, secrets, wait};

const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;
/// A node without a sign of life for this long counts as dead.
pub const NODE_TIMEOUT: Duration = Duration::from_secs(2);
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// A takeover that was asked for and has not succeeded by then was given up (`CLUSTER_MF_TIMEOUT` of Redis).
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Cluster {
    /// The primaries, then the replica of each.
    pub nodes: Vec<Redis>,
    primaries: usize,
    password: String,
    // Ends the nodes' processes when they are dropped.
    _scratches: Vec<Scratch>,
}

impl Cluster {
    /// Starts all nodes and waits until each knows all others and could take over.
    pub fn start(program: &Path) -> Result<Self> {
        Self::of(program, PRIMARIES, 2 * PRIMARIES)
    }

    /// Starts this many primaries, which nobody could replace.
    pub fn start_without_replicas(program: &Path, primaries: usize) -> Result<Self> {
        Self::of(program, primaries, primaries)
    }

    fn of(program: &Path, primaries: usize, nodes: usize) -> Result<Self> {
        let password = secrets::password()?;
        let mut cluster = Self { nodes: Vec::new(), primaries, password, _scratches: Vec::new() };
        for ports in ports::free(2 * nodes)?.chunks_exact(2) {
            let scratch = Scratch::new("cluster")?;
            let node = Redis::open(program, scratch.dir(), ports[0], &cluster.password, Durability::Fast)?;
            cluster.nodes.push(node.in_cluster(ports[1], NODE_TIMEOUT));
            cluster._scratches.push(scratch);
        }
        for (node, epoch) in cluster.nodes.iter_mut().zip(1..) {
            node.start()?;
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &u32::to_string(&epoch)])?;
        }
        cluster.introduce()?;
        Ok(cluster)
    }

    /// Makes the nodes a cluster.
    fn introduce(&self) -> Result<()> {
        let (first, others) = self.nodes.split_first().context("no nodes")?;
        for other in others {
            let bus_port = other.bus_port().context("a node of a cluster")?;
            first.command(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string(), &bus_port.to_string()])?;
        }
        let (primaries, replicas) = self.nodes.split_at(self.primaries);
        for (place, primary) in primaries.iter().enumerate() {
            let (from, to) = (SLOTS * place / self.primaries, SLOTS * (place + 1) / self.primaries - 1);
            primary.command(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()])?;
        }
        self.until_all("CLUSTER INFO", &["cluster_state:ok", &format!("cluster_known_nodes:{}", self.nodes.len())])?;
        for (primary, replica) in primaries.iter().zip(replicas) {
            let id = primary.command(&["CLUSTER", "MYID"])?;
            wait::until("a replica knows its primary", START_TIMEOUT, || {
                Ok(replica.command(&["CLUSTER", "REPLICATE", &id]).is_ok().then_some(()))
            })?;
        }
        for replica in replicas {
            until_in_step(replica)?;
        }
        self.until_complete()
    }

    fn until_complete(&self) -> Result<()> {
        let size = format!("cluster_size:{}", self.primaries);
        self.until_all("CLUSTER INFO", &["cluster_state:ok", &size, "cluster_slots_ok:16384"])
    }

    /// Waits until every node reports all of this.
    fn until_all(&self, command: &str, expected: &[&str]) -> Result<()> {
        let words: Vec<&str> = command.split(' ').collect();
        for node in &self.nodes {
            wait::until(&format!("{expected:?} at port {}", node.port()), START_TIMEOUT, || {
                let said = node.command(&words)?;
                Ok(expected.iter().all(|expected| said.contains(expected)).then_some(()))
            })?;
        }
        Ok(())
    }

    /// Starts a node that was killed, and waits until it is a replica in step with whichever took its place.
    pub fn rejoin(&mut self, node: usize) -> Result<()> {
        let node = self.nodes.get_mut(node).context("no such node")?;
        node.start()?;
        until_in_step(node)
    }

    /// Makes a replica the primary of its slots; the primary becomes a replica, and both go on serving connections.
    pub fn take_over(&self, replica: usize) -> Result<()> {
        let node = self.nodes.get(replica).context("no such node")?;
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            node.command(&["CLUSTER", "FAILOVER"])?;
            let is_primary = || Ok(node.command(&["ROLE"])?.starts_with("master").then_some(()));
            let taken = wait::until("a replica takes over", FAILOVER_TIMEOUT, is_primary);
            // The nodes sometimes give it up without a word.
            if taken.is_ok() || Instant::now() > deadline {
                return taken;
            }
        }
    }

    /// Moves every slot that has keys or channels from one primary to another, as `redis-cli --cluster reshard` does; returns
    /// how many. For at least `between`, each slot has lost its keys at the one and does not belong to the other yet.
    pub fn move_slots(&self, from: usize, to: usize, between: Duration) -> Result<usize> {
        let (source, target) = (self.nodes.get(from).context("no source")?, self.nodes.get(to).context("no target")?);
        let mut slots = self.slots(from, "*")?;
        slots.extend(self.channel_slots(from)?);
        for slot in &slots {
            self.move_keys(slot, source, target)?;
            std::thread::sleep(between);
            self.give_slot(slot, source, target)?;
        }
        Ok(slots.len())
    }

    /// The slots with a key at this primary whose name matches the pattern.
    pub fn slots(&self, at: usize, pattern: &str) -> Result<BTreeSet<String>> {
        let node = self.nodes.get(at).context("no such node")?;
        let slot_of = |key: &str| node.command(&["CLUSTER", "KEYSLOT", key]);
        node.command(&["KEYS", pattern])?.lines().map(slot_of).collect()
    }

    /// The slots of the sharded channels that somebody listens to at this primary.
    pub fn channel_slots(&self, at: usize) -> Result<BTreeSet<String>> {
        let node = self.nodes.get(at).context("no such node")?;
        let slot_of = |channel: &str| node.command(&["CLUSTER", "KEYSLOT", channel]);
        node.command(&["PUBSUB", "SHARDCHANNELS"])?.lines().map(slot_of).collect()
    }

    /// The place of the primary that had the slot at the start, among three.
    pub fn first_owner(slot: u16) -> usize {
        (0..PRIMARIES).rev().find(|place| usize::from(slot) >= SLOTS * place / PRIMARIES).unwrap_or(0)
    }

    /// Closes the connections over which a node sends what is published in its slots, and no others; returns how many.
    pub fn close_shard_connections(&self, at: usize) -> Result<usize> {
        let node = self.nodes.get(at).context("no such node")?;
        let listed = node.command(&["CLIENT", "LIST", "TYPE", "pubsub"])?;
        let ids = listed
            .lines()
            .filter(|line| !line.contains(" ssub=0 "))
            .filter_map(|line| line.split(' ').find_map(|field| field.strip_prefix("id=")));
        let ids: Vec<&str> = ids.collect();
        ids.iter().try_for_each(|id| node.command(&["CLIENT", "KILL", "ID", id]).map(drop))?;
        Ok(ids.len())
    }

    /// Moves the keys of these slots, which stay half moved: their keys have left the one, and the slots do not belong
    /// to the other yet.
    pub fn half_move(&self, slots: &BTreeSet<String>, from: usize, to: usize) -> Result<()> {
        slots.iter().try_for_each(|slot| self.move_keys(slot, &self.nodes[from], &self.nodes[to]))
    }

    /// Ends what [`Self::half_move`] began.
    pub fn finish_move(&self, slots: &BTreeSet<String>, from: usize, to: usize) -> Result<()> {
        slots.iter().try_for_each(|slot| self.give_slot(slot, &self.nodes[from], &self.nodes[to]))
    }

    fn move_keys(&self, slot: &str, source: &Redis, target: &Redis) -> Result<()> {
        let (source_id, target_id) = (source.command(&["CLUSTER", "MYID"])?, target.command(&["CLUSTER", "MYID"])?);
        target.command(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &source_id])?;
        source.command(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &target_id])?;
        loop {
            let keys = source.command(&["CLUSTER", "GETKEYSINSLOT", slot, "1"])?;
            if keys.is_empty() {
                return Ok(());
            }
            let port = target.port().to_string();
            let migrate = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "AUTH", &self.password, "KEYS", &keys];
            source.command(&migrate)?;
        }
    }

    fn give_slot(&self, slot: &str, source: &Redis, target: &Redis) -> Result<()> {
        let target_id = target.command(&["CLUSTER", "MYID"])?;
        for node in [target, source] {
            node.command(&["CLUSTER", "SETSLOT", slot, "NODE", &target_id])?;
        }
        Ok(())
    }

    /// Returns the password of all nodes.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Returns a URL with all nodes.
    pub fn url(&self) -> String {
        self.url_of("redis", self.nodes.iter().map(Redis::port))
    }

    /// Makes the nodes talk to each other over TLS, and name these ports to clients that do; returns a URL with all nodes.
    /// Each node has to listen to its port already, with a certificate that the others trust.
    pub fn use_tls(&self, ports: &[u16]) -> Result<String> {
        for (node, tls_port) in self.nodes.iter().zip(ports) {
            let (port, tls_port) = (node.port().to_string(), tls_port.to_string());
            let announced = ["cluster-announce-tls-port", &tls_port, "cluster-announce-port", &port];
            let words = ["CONFIG", "SET", "tls-cluster", "yes", "tls-replication", "yes"].into_iter().chain(announced);
            node.command(&words.collect::<Vec<_>>())?;
        }
        self.until_complete()?;
        self.nodes.iter().skip(self.primaries).try_for_each(until_in_step)?;
        Ok(self.url_of("rediss", ports.iter().copied()))
    }

    fn url_of(&self, scheme: &str, ports: impl Iterator<Item = u16>) -> String {
        let mut nodes = ports.map(|port| format!("127.0.0.1:{port}"));
        let first = nodes.next().unwrap_or_default();
        let others: Vec<String> = nodes.map(|node| format!("node={node}")).collect();
        let others = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
        format!("{scheme}-cluster://default:{}@{first}{others}", self.password)
    }
}

fn until_in_step(replica: &Redis) -> Result<()> {
    wait::until(&format!("a replica in step at port {}", replica.port()), START_TIMEOUT, || {
        let info = replica.command(&["INFO", "replication"]);
        Ok(info.is_ok_and(|info| info.contains("master_link_status:up")).then_some(()))
    })
}
