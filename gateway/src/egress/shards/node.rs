//! The connection to one node: takes publications from it and hands them to `deliver`.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::prelude::Server;
use fred::util::redis_keyslot;
use shared::redis::shard::{Moved, Received, ShardConnection, ShardOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, MissedTickBehavior};

use super::Listener;
use crate::egress::deliver::Deliverer;
use crate::gateway::Gateway;

/// How often a node is asked if it still has the slots.
const CHECK_PERIOD: Duration = Duration::from_secs(1);
/// The number of orders written at once.
const BATCH: usize = 512;

pub enum Order {
    /// `again` if the subscription was lost.
    Subscribe {
        channel: Arc<str>,
        order: u64,
        again: bool,
    },
    Unsubscribe(Arc<str>),
}

pub enum Report {
    Followed {
        channel: Arc<str>,
        order: u64,
    },
    /// The node does not have the slot, and may have said which one has.
    Moved {
        channel: Arc<str>,
        order: u64,
        to: Option<Moved>,
    },
    /// The channel cannot be followed at the moment.
    Refused {
        channel: Arc<str>,
        order: u64,
    },
    /// The connection to the node has ended, or could not be opened (`served` is false). `moved` names the node that has its
    /// slots if it has become a replica.
    Ended {
        node: u64,
        served: bool,
        moved: Option<Moved>,
    },
}

/// A command that the node has not answered yet.
enum Asked {
    Subscribe {
        channel: Arc<str>,
        order: u64,
        again: bool,
    },
    Unsubscribe(Arc<str>),
    /// If it has this channel's slot.
    Check(Option<Arc<str>>),
}

pub struct Node {
    number: u64,
    server: Server,
    deliverer: Deliverer,
    listener: Arc<dyn Listener>,
    reports: UnboundedSender<Report>,
    /// Each with its order.
    followed: HashMap<Arc<str>, u64>,
    asked: VecDeque<Asked>,
    checked_at: Option<Instant>,
    /// Where its slots are, once it has become a replica.
    moved: Option<Moved>,
}

impl Node {
    pub fn new(
        number: u64,
        server: Server,
        gateway: &Arc<Gateway>,
        listener: &Arc<dyn Listener>,
        reports: &UnboundedSender<Report>,
    ) -> Self {
        Node {
            number,
            server,
            deliverer: Deliverer::of_shard(gateway.clone()),
            listener: listener.clone(),
            reports: reports.clone(),
            followed: HashMap::new(),
            asked: VecDeque::new(),
            checked_at: None,
            moved: None,
        }
    }

    /// Serves until the connection is lost, or is not needed any more.
    pub async fn run(mut self, options: ShardOptions, orders: UnboundedReceiver<Order>) -> Result<(), Infallible> {
        let connected = ShardConnection::connect(&options, &self.server).await;
        let served = connected.is_ok();
        let ended = match connected {
            Ok(connection) => self.serve(connection, orders, options.command_timeout).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::warn!(server = %self.server, %error, channels = self.followed.len(), "a shard's connection is lost");
        }
        if !self.followed.is_empty() {
            self.listener.lost(self.followed.len());
        }
        let moved = self.moved.take();
        self.report(Report::Ended { node: self.number, served, moved });
        Ok(())
    }

    fn report(&self, report: Report) {
        let _ = self.reports.send(report);
    }

    async fn serve(
        &mut self,
        mut connection: ShardConnection,
        mut orders: UnboundedReceiver<Order>,
        patience: Duration,
    ) -> io::Result<()> {
        let mut checks = tokio::time::interval_at(Instant::now() + CHECK_PERIOD, CHECK_PERIOD);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ordered = Vec::new();
        loop {
            tokio::select! {
                taken = orders.recv_many(&mut ordered, BATCH) => {
                    if taken == 0 {
                        return Ok(());
                    }
                    ordered.drain(..).for_each(|order| self.order(&mut connection, order));
                }
                exchanged = connection.exchange() => {
                    exchanged?;
                    self.take(&mut connection)?;
                }
                _ = checks.tick() => {
                    if self.followed.is_empty() && self.asked.is_empty() && orders.is_empty() {
                        return Ok(());
                    }
                    self.check(&mut connection, patience)?;
                }
            }
        }
    }

    fn order(&mut self, connection: &mut ShardConnection, order: Order) {
        match order {
            Order::Subscribe { channel, order, again } => {
                connection.send(&["SSUBSCRIBE", &channel]);
                self.asked.push_back(Asked::Subscribe { channel, order, again });
            }
            Order::Unsubscribe(channel) => {
                self.followed.remove(&channel);
                connection.send(&["SUNSUBSCRIBE", &channel]);
                self.asked.push_back(Asked::Unsubscribe(channel));
            }
        }
    }

    /// A node that has become a replica, or lost sight of the others, may keep its subscriptions and say nothing; it does not
    /// answer for a key in the same slot. One that is gone does not answer at all.
    fn check(&mut self, connection: &mut ShardConnection, patience: Duration) -> io::Result<()> {
        match self.checked_at {
            Some(at) if at.elapsed() > patience => return Err(io::ErrorKind::TimedOut.into()),
            Some(_) => return Ok(()),
            None => self.checked_at = Some(Instant::now()),
        }
        let channel = self.followed.keys().next().cloned();
        match &channel {
            Some(channel) => connection.send(&["EXISTS", channel]),
            None => connection.send(&["PING"]),
        }
        self.asked.push_back(Asked::Check(channel));
        Ok(())
    }

    /// Handles everything that has arrived.
    fn take(&mut self, connection: &mut ShardConnection) -> io::Result<()> {
        let mut lost = 0;
        let taken = loop {
            match connection.take() {
                Ok(Some(Received::Publication { channel, payload })) => match std::str::from_utf8(&channel) {
                    Ok(channel) => self.deliverer.publication(channel, &payload),
                    Err(_) => break Err(io::ErrorKind::InvalidData.into()),
                },
                Ok(Some(Received::Subscribed { channel })) => match self.asked.pop_front() {
                    Some(Asked::Subscribe { channel: asked, order, again }) if *asked.as_bytes() == channel => {
                        self.followed(asked, order, again);
                    }
                    _ => break Err(io::ErrorKind::InvalidData.into()),
                },
                Ok(Some(Received::Unsubscribed { channel })) => lost += self.unsubscribed(&channel),
                Ok(Some(Received::Answer)) => {
                    self.checked_at = None;
                    if !matches!(self.asked.pop_front(), Some(Asked::Check(_))) {
                        break Err(io::ErrorKind::InvalidData.into());
                    }
                }
                Ok(Some(Received::Refused { error })) => {
                    if let Err(error) = self.refused(error) {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.deliverer.wake();
        if lost > 0 {
            tracing::info!(server = %self.server, channels = lost, "a shard's slots have moved");
            self.listener.lost(lost);
        }
        taken
    }

    fn followed(&mut self, channel: Arc<str>, order: u64, again: bool) {
        if again {
            self.listener.regained(&channel);
        }
        self.followed.insert(channel.clone(), order);
        self.report(Report::Followed { channel, order });
    }

    /// Either this was asked for, or the slot has moved away; returns the number of lost channels.
    fn unsubscribed(&mut self, channel: &Bytes) -> usize {
        let is_it = |asked: &Arc<str>| *asked.as_bytes() == **channel;
        let asked = self.asked.pop_front_if(|front| matches!(front, Asked::Unsubscribe(asked) if is_it(asked)));
        let name = std::str::from_utf8(channel).unwrap_or_default();
        match (self.followed.remove_entry(name), asked) {
            (Some((channel, order)), None) => {
                self.report(Report::Moved { channel, order, to: None });
                1
            }
            _ => 0,
        }
    }

    /// The error answers the first command, unless that is for another slot. Then the node has ended a subscription by itself
    /// while the command to end it was on its way, and answers that command now.
    fn refused(&mut self, error: String) -> io::Result<()> {
        let moved = Moved::parse(&error);
        let is_of = |channel: &str| moved.as_ref().is_none_or(|moved| moved.slot == redis_keyslot(channel.as_bytes()));
        let is_answered = |front: &mut Asked| match front {
            Asked::Check(None) => moved.is_none(),
            Asked::Subscribe { channel, .. } | Asked::Unsubscribe(channel) | Asked::Check(Some(channel)) => {
                is_of(channel)
            }
        };
        match self.asked.pop_front_if(is_answered) {
            None => Ok(()),
            Some(Asked::Unsubscribe(channel)) => {
                self.followed.remove(&channel);
                Ok(())
            }
            Some(Asked::Subscribe { channel, order, .. }) => {
                match moved {
                    Some(moved) => self.report(Report::Moved { channel, order, to: Some(moved) }),
                    None => {
                        tracing::debug!(error, "a channel cannot be followed");
                        self.report(Report::Refused { channel, order });
                    }
                }
                Ok(())
            }
            Some(Asked::Check(channel)) => {
                self.checked_at = None;
                // Otherwise the slot has moved meanwhile, which the node has said.
                match channel.is_some_and(|channel| !self.followed.contains_key(&channel)) {
                    true => Ok(()),
                    false => {
                        self.moved = moved;
                        Err(io::Error::other(error))
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::testing;

    struct Deaf;

    impl Listener for Deaf {
        fn lost(&self, _channels: usize) {}

        fn regained(&self, _channel: &str) {}
    }

    /// A channel that is left before the node has confirmed it, which cannot end the subscription then.
    #[tokio::test]
    async fn a_channel_that_cannot_be_left_is_not_followed() {
        let (gateway, _queues) = testing::gateway(&[]);
        let listener: Arc<dyn Listener> = Arc::new(Deaf);
        let (reports, _reported) = mpsc::unbounded_channel();
        let mut node = Node::new(1, Server::new("127.0.0.1", 1), &gateway, &listener, &reports);
        let [left, stays]: [Arc<str>; 2] = ["left".into(), "stays".into()];
        node.asked.push_back(Asked::Unsubscribe(left.clone()));
        node.followed(left.clone(), 1, false);
        node.followed(stays.clone(), 2, false);
        node.refused("CLUSTERDOWN The cluster is down".to_owned()).unwrap();
        assert!(node.asked.is_empty());
        // Otherwise it would be looked for at this node, and count as lost in the end.
        assert_eq!(node.followed.keys().collect::<Vec<_>>(), [&stays]);
    }
}
