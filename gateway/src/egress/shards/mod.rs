//! Sharded subscriptions, on a Redis Cluster whose servers know them (version 7): each channel is followed at the node
//! that has its slot, over one connection per node (`node`). When a channel's subscription is lost, because the
//! connection is or because the slot has moved, it is followed anew wherever the slot is then, and its [`Listener`] is
//! told before anything else arrives on it.

mod node;
mod support;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use fred::prelude::*;
use fred::types::cluster::ClusterRouting;
use fred::util::redis_keyslot;
use shared::redis::shard::{Moved, ShardOptions};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;

use crate::egress::subscriptions::NotSubscribed;
use crate::gateway::Gateway;
use node::{Node, Order, Report};

pub use support::find_out;

/// The number of wishes, and of nodes' reports, handled at once.
const BATCH: usize = 512;
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// While a slot moves, nodes may redirect to each other. After this many redirections a channel waits for a moment.
const MAX_REDIRECTIONS: u32 = 3;

/// Is told about interruptions. It is called by the nodes' tasks and must not wait.
pub trait Listener: Send + Sync {
    /// This many channels are no longer followed; what is published on them is lost.
    fn lost(&self, channels: usize);

    /// A lost channel is followed again. What was published meanwhile did not arrive, and nothing has arrived since.
    fn regained(&self, channel: &str);
}

/// A handle that all parts share. The queue needs no bound: what is wanted is bounded by the connections.
#[derive(Clone)]
pub struct Shards {
    wishes: UnboundedSender<Wish>,
    patience: Duration,
}

enum Wish {
    /// The sender is dropped once all the channels are followed.
    Subscribe {
        channels: Vec<String>,
        done: mpsc::Sender<Infallible>,
    },
    Unsubscribe {
        channels: Vec<String>,
    },
}

impl Shards {
    /// Starts the task that follows channels, until the process stops.
    pub fn start(gateway: Arc<Gateway>, options: ShardOptions, listener: Arc<dyn Listener>) -> Self {
        let (wishes, wanted) = mpsc::unbounded_channel();
        let shards = Shards { wishes, patience: options.command_timeout };
        let (reports, reported) = mpsc::unbounded_channel();
        let hub = Hub {
            options,
            listener,
            reports,
            channels: HashMap::new(),
            nodes: HashMap::new(),
            routes: None,
            moved: HashMap::new(),
            successors: HashMap::new(),
            later: Vec::new(),
            retry_at: Instant::now(),
            orders: 0,
            gateway,
        };
        let lifecycle = hub.gateway.lifecycle.clone();
        lifecycle.spawn_until_stopped("shards", hub.run(wanted, reported));
        shards
    }

    /// Follows channels, and waits until all of them are. After an error they are followed as soon as possible.
    pub async fn subscribe(&self, channels: &[String]) -> Result<(), NotSubscribed> {
        let (done, mut all) = mpsc::channel(1);
        let wish = Wish::Subscribe { channels: channels.to_vec(), done };
        self.wishes.send(wish).map_err(|_| NotSubscribed)?;
        match tokio::time::timeout(self.patience, all.recv()).await {
            Ok(None) => Ok(()),
            Ok(Some(never)) => match never {},
            Err(_) => Err(NotSubscribed),
        }
    }

    pub fn unsubscribe(&self, channels: &[String]) {
        let _ = self.wishes.send(Wish::Unsubscribe { channels: channels.to_vec() });
    }
}

/// Knows which channel is followed where.
struct Hub {
    gateway: Arc<Gateway>,
    options: ShardOptions,
    listener: Arc<dyn Listener>,
    reports: UnboundedSender<Report>,
    channels: HashMap<Arc<str>, Subscription>,
    /// The task of each node that is in use, with its number.
    nodes: HashMap<Server, (u64, UnboundedSender<Order>)>,
    routes: Option<ClusterRouting>,
    /// Slots that have moved since `routes` was read.
    moved: HashMap<u16, Server>,
    /// Which node took over from one that has become a replica; the client may not notice that for long.
    successors: HashMap<Server, Server>,
    /// Channels that are followed nowhere and are tried again at `retry_at`.
    later: Vec<Arc<str>>,
    retry_at: Instant,
    /// Given so far; each order, and each node's task, has its number.
    orders: u64,
}

#[derive(Default)]
struct Subscription {
    /// The last order, and the task it went to.
    order: u64,
    node: Option<(u64, Server)>,
    is_followed: bool,
    /// It was followed before, so what is published now is lost.
    is_lost: bool,
    redirections: u32,
    /// Dropped once it is followed.
    waiting: Vec<mpsc::Sender<Infallible>>,
}

impl Hub {
    async fn run(
        mut self,
        mut wanted: UnboundedReceiver<Wish>,
        mut reported: UnboundedReceiver<Report>,
    ) -> Result<(), Infallible> {
        let (mut wishes, mut reports) = (Vec::new(), Vec::new());
        loop {
            tokio::select! {
                taken = wanted.recv_many(&mut wishes, BATCH) => {
                    if taken == 0 {
                        return Ok(());
                    }
                    wishes.drain(..).for_each(|wish| self.wish(wish));
                }
                _ = reported.recv_many(&mut reports, BATCH) => {
                    reports.drain(..).for_each(|report| self.report(report));
                }
                () = tokio::time::sleep_until(self.retry_at), if !self.later.is_empty() => self.retry(),
            }
        }
    }

    fn wish(&mut self, wish: Wish) {
        match wish {
            Wish::Subscribe { channels, done } => {
                for channel in channels {
                    let channel: Arc<str> = channel.into();
                    let is_new = !self.channels.contains_key(&channel);
                    let subscription = self.channels.entry(channel.clone()).or_default();
                    if !subscription.is_followed {
                        subscription.waiting.push(done.clone());
                    }
                    if is_new {
                        self.place(channel);
                    }
                }
            }
            Wish::Unsubscribe { channels } => {
                for channel in channels {
                    let Some((channel, subscription)) = self.channels.remove_entry(channel.as_str()) else { continue };
                    if let Some((number, server)) = subscription.node
                        && let Some((present, orders)) = self.nodes.get(&server)
                        && *present == number
                    {
                        let _ = orders.send(Order::Unsubscribe(channel));
                    }
                }
            }
        }
    }

    /// Orders a channel from the node that has its slot, as far as is known here.
    fn place(&mut self, channel: Arc<str>) {
        let Some(server) = self.owner(&channel) else { return self.put_off(channel) };
        let (number, orders) = match self.nodes.get(&server) {
            Some(node) => node.clone(),
            None => self.start_node(&server),
        };
        let Some(subscription) = self.channels.get_mut(&channel) else { return };
        self.orders += 1;
        subscription.order = self.orders;
        subscription.node = Some((number, server));
        // If the node's task has ended, its report is on the way, and the channel is placed again.
        let _ = orders.send(Order::Subscribe { channel, order: self.orders, again: subscription.is_lost });
    }

    fn owner(&mut self, channel: &str) -> Option<Server> {
        let slot = redis_keyslot(channel.as_bytes());
        if self.routes.is_none() {
            self.routes = self.gateway.redis.cached_cluster_state();
        }
        let server = self.moved.get(&slot).or_else(|| self.routes.as_ref()?.get_server(slot))?;
        Some(self.successors.get(server).unwrap_or(server).clone())
    }

    fn start_node(&mut self, server: &Server) -> (u64, UnboundedSender<Order>) {
        self.orders += 1;
        let (orders, ordered) = mpsc::unbounded_channel();
        let node = Node::new(self.orders, server.clone(), &self.gateway, &self.listener, &self.reports);
        self.gateway.lifecycle.spawn_until_stopped("shard", node.run(self.options.clone(), ordered));
        self.nodes.insert(server.clone(), (self.orders, orders.clone()));
        (self.orders, orders)
    }

    fn put_off(&mut self, channel: Arc<str>) {
        if self.later.is_empty() {
            self.retry_at = Instant::now() + RETRY_PAUSE;
        }
        self.later.push(channel);
    }

    fn retry(&mut self) {
        self.routes = None;
        for channel in std::mem::take(&mut self.later) {
            if self.channels.get(&channel).is_some_and(|subscription| !subscription.is_followed) {
                self.place(channel);
            }
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Followed { channel, order } => {
                if let Some(subscription) = self.of_order(&channel, order) {
                    let node = subscription.node.take();
                    *subscription = Subscription { order, node, is_followed: true, ..Subscription::default() };
                }
            }
            Report::Moved { channel, order, to } => self.moved(channel, order, to),
            Report::Refused { channel, order } => {
                if self.of_order(&channel, order).is_some() {
                    self.put_off(channel);
                }
            }
            Report::Ended { node, served, moved } => self.ended(node, served, moved),
        }
    }

    /// The channel's subscription, if this is its last order.
    fn of_order(&mut self, channel: &str, order: u64) -> Option<&mut Subscription> {
        self.channels.get_mut(channel).filter(|subscription| subscription.order == order)
    }

    /// The node does not have the channel's slot (any more); it may have said which one has.
    fn moved(&mut self, channel: Arc<str>, order: u64, moved: Option<Moved>) {
        let Some(subscription) = self.of_order(&channel, order) else { return };
        subscription.is_lost |= subscription.is_followed;
        subscription.is_followed = false;
        subscription.redirections += 1;
        let is_lasting = subscription.redirections > MAX_REDIRECTIONS;
        let asked = subscription.node.clone();
        if let (Some(moved), Some((_, asked))) = (moved, asked) {
            let slot = moved.slot;
            let server = self.named(moved, &asked);
            self.successors.remove(&server);
            self.moved.insert(slot, server);
        }
        match is_lasting {
            true => self.put_off(channel),
            false => self.place(channel),
        }
    }

    /// The node that this one has named.
    fn named(&self, moved: Moved, by: &Server) -> Server {
        let host = if moved.host.is_empty() { by.host.to_string() } else { moved.host };
        let known = self.routes.as_ref().map(ClusterRouting::unique_primary_nodes).unwrap_or_default();
        let known = known.into_iter().find(|server| *server.host == *host && server.port == moved.port);
        known.unwrap_or_else(|| Server::new(host, moved.port))
    }

    /// The connection to the node is lost, or it has named another one as the one that has its slots. What was ordered from
    /// it is ordered anew, wherever it is now.
    fn ended(&mut self, node: u64, served: bool, moved: Option<Moved>) {
        let ended: Vec<Server> =
            self.nodes.extract_if(|_, (number, _)| *number == node).map(|(server, _)| server).collect();
        for server in ended {
            self.moved.retain(|_, moved| *moved != server);
            match &moved {
                // It accepts subscriptions as before, so it must not be asked again.
                Some(moved) => {
                    let successor = self.named(moved.clone(), &server);
                    self.successors.remove(&successor);
                    self.successors.insert(server, successor);
                }
                None => self.successors.retain(|_, successor| *successor != server),
            }
        }
        self.routes = None;
        let mut lost = Vec::new();
        for (channel, subscription) in &mut self.channels {
            if subscription.node.take_if(|(number, _)| *number == node).is_some() {
                subscription.is_lost |= subscription.is_followed;
                subscription.is_followed = false;
                lost.push(channel.clone());
            }
        }
        for channel in lost {
            match served {
                true => self.place(channel),
                // It may not be back yet.
                false => self.put_off(channel),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const CHANNEL: &str = "channel";
    const OLD: u64 = 1;
    const NEW: u64 = 2;

    struct Deaf;

    impl Listener for Deaf {
        fn lost(&self, _channels: usize) {}

        fn regained(&self, _channel: &str) {}
    }

    fn server(node: u64) -> Server {
        Server::new("127.0.0.1", node as u16)
    }

    /// What a node says that names another one.
    fn named(node: u64) -> Moved {
        Moved { slot: redis_keyslot(CHANNEL.as_bytes()), host: String::new(), port: server(node).port }
    }

    /// A hub that uses both nodes, and whose client believes for good that the old one has all slots.
    struct Stage {
        hub: Hub,
        _queues: crate::gateway::Queues,
    }

    impl Stage {
        fn new() -> Self {
            let (gateway, queues) = testing::gateway(&[]);
            let options = shared::redis::client::RedisOptions {
                url: "redis-cluster://127.0.0.1:1".to_owned(),
                tls_ca: None,
                command_timeout: Duration::from_secs(1),
            };
            let node = |number: u64| (server(number), (number, mpsc::unbounded_channel().0));
            let hub = Hub {
                gateway,
                options: options.shards().unwrap(),
                listener: Arc::new(Deaf),
                reports: mpsc::unbounded_channel().0,
                channels: HashMap::new(),
                nodes: HashMap::from([node(OLD), node(NEW)]),
                routes: None,
                moved: HashMap::new(),
                successors: HashMap::new(),
                later: Vec::new(),
                retry_at: Instant::now(),
                orders: NEW,
            };
            Stage { hub, _queues: queues }
        }

        /// Where the channel would be followed.
        fn owner(&mut self) -> Server {
            let old = server(OLD);
            let primary = Value::Array(vec![
                Value::from(old.host.to_string()),
                Value::from(i64::from(old.port)),
                Value::from("id"),
            ]);
            let all = Value::Array(vec![Value::from(0), Value::from(16_383), primary]);
            let routes = ClusterRouting::from_cluster_slots(Value::Array(vec![all]), "127.0.0.1").unwrap();
            self.hub.routes = Some(routes);
            self.hub.owner(CHANNEL).unwrap()
        }
    }

    #[tokio::test]
    async fn the_successor_is_asked_until_it_is_gone() {
        let mut stage = Stage::new();
        assert_eq!(stage.owner(), server(OLD));
        stage.hub.ended(OLD, true, Some(named(NEW)));
        assert_eq!(stage.owner(), server(NEW));
        stage.hub.ended(NEW, true, None);
        assert_eq!(stage.owner(), server(OLD), "the client may know better by now");
    }

    #[tokio::test]
    async fn a_node_that_takes_its_slots_back_is_asked_again() {
        let mut stage = Stage::new();
        stage.hub.ended(OLD, true, Some(named(NEW)));
        stage.hub.ended(NEW, true, Some(named(OLD)));
        assert_eq!(stage.owner(), server(OLD));
    }

    #[tokio::test]
    async fn a_node_that_another_one_names_is_asked_again() {
        let mut stage = Stage::new();
        stage.hub.ended(OLD, true, Some(named(NEW)));
        let subscription = Subscription { order: 9, node: Some((NEW, server(NEW))), ..Subscription::default() };
        stage.hub.channels.insert(CHANNEL.into(), subscription);
        stage.hub.moved(CHANNEL.into(), 9, Some(named(OLD)));
        assert_eq!(stage.owner(), server(OLD));
    }
}
