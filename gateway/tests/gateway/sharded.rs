//! Redis is a cluster, and each node carries only the publications on the channels in its slots.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use devstack::{Cluster, testing};
use fred::prelude::*;
use fred::util::redis_keyslot;
use serde_json::json;
use shared::clock::Timestamp;
use shared::ids::{ConversationId, GatewayId, GroupId, MessageId, UserId};
use shared::lifecycle::Lifecycle;
use shared::publication::{EventHeader, Header, Receipt};
use shared::redis::client::{EVENTS_CAPACITY, RedisOptions};
use shared::redis::publisher::ChannelMessage;
use shared::redis::topology::one_node;
use shared::stream::{Envelope, InternalReply, ReplayPage};
use uuid::Uuid;

use crate::delivery::seqs;
use crate::fake_worker::{FakeWorker, message, message_event, replayed};
use crate::harness::{BRIEFLY, Harness, SOON};

struct Stage {
    harness: Harness,
    // Dropped last.
    cluster: Cluster,
}

impl Stage {
    /// Starts, and waits until the worker publishes to shards.
    async fn start() -> Self {
        let cluster = tokio::task::block_in_place(|| testing::start_cluster().unwrap());
        let harness = Harness::start_on(&cluster.url(), &[]).await;
        let stage = Stage { harness, cluster };
        stage.until("the worker publishes to shards", || async { stage.harness.worker.publisher.is_sharded() }).await;
        stage
    }

    async fn until<F: Future<Output = bool>>(&self, what: &str, is_so: impl Fn() -> F) {
        let waiting = async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"));
    }

    fn channel(&self, user: i64) -> String {
        self.harness.worker.keys.user_channel(UserId(user))
    }

    fn slot(&self, user: i64) -> u16 {
        redis_keyslot(self.channel(user).as_bytes())
    }

    /// The first users whose channels are at this primary.
    fn users_at(&self, primary: usize) -> impl Iterator<Item = i64> {
        (1..).filter(move |user| Cluster::first_owner(self.slot(*user)) == primary)
    }

    fn move_slot(&self, slot: u16, from: usize, to: usize) {
        let slots = BTreeSet::from([slot.to_string()]);
        tokio::task::block_in_place(|| {
            self.cluster.half_move(&slots, from, to).unwrap();
            self.cluster.finish_move(&slots, from, to).unwrap();
        });
    }

    fn listeners(&self, primary: usize, channel: &str) -> String {
        let asked = ["PUBSUB", "SHARDNUMSUB", channel];
        let counted = tokio::task::block_in_place(|| self.cluster.nodes[primary].command(&asked).unwrap());
        counted.lines().last().unwrap().to_owned()
    }

    /// Message `seq` of user 0 to another one.
    async fn send(&self, to: i64, seq: i64) {
        self.harness.worker.event(to, message(0, to, seq), message_event(seq)).await;
    }

    /// Answers a session that catches up with these messages.
    async fn replay(&self, request: &Envelope, seqs: &[i64]) {
        let event = |seq: &i64| replayed(message(0, request.user.0, *seq), &message_event(*seq));
        let replay = ReplayPage { events: seqs.iter().map(event).collect(), next: None };
        let reply = InternalReply::Resumed { auth_success: b"{}".to_vec(), replay };
        self.harness.worker.reply(request, &reply).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_catches_up_before_live_events_of_a_moved_slot() {
    let mut stage = Stage::start().await;
    let [user, other] = [0, 1].map(|n| stage.users_at(0).nth(n).unwrap());
    let mut client = stage.harness.login(user).await;
    let mut bystander = stage.harness.login(other).await;
    for _ in 0..2 {
        stage.harness.worker.internal("resume").await;
    }
    stage.send(user, 1).await;
    assert_eq!(seqs(&mut client, 1).await, [1]);
    stage.harness.worker.rote.lock().leave = Some("resume");
    for (from, to, seq) in [(0, 1, 2), (1, 2, 4), (2, 0, 6)] {
        stage.move_slot(stage.slot(user), from, to);
        let (request, _) = stage.harness.worker.internal("resume").await;
        assert_eq!(request.user, UserId(user));
        assert_eq!(stage.listeners(to, &stage.channel(user)), "1");
        // Live, but held back until the replay is written.
        stage.send(user, seq + 1).await;
        client.expect_none("new_message", |_| true, BRIEFLY).await.unwrap();
        stage.replay(&request, &[seq]).await;
        assert_eq!(seqs(&mut client, 2).await, [seq, seq + 1]);
        // Nothing of the other slots was interrupted.
        stage.send(other, seq).await;
        assert_eq!(seqs(&mut bystander, 1).await, [seq]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_sessions_of_a_lost_shard_catch_up() {
    let mut stage = Stage::start().await;
    let users: Vec<i64> = [0, 0, 1, 2].iter().enumerate().map(|(n, at)| stage.users_at(*at).nth(n).unwrap()).collect();
    let mut clients = Vec::new();
    for user in &users {
        clients.push(stage.harness.login(*user).await);
        stage.harness.worker.internal("resume").await;
    }
    stage.harness.worker.rote.lock().leave = Some("resume");
    let closed = tokio::task::block_in_place(|| stage.cluster.close_shard_connections(0)).unwrap();
    assert!(closed > 0);
    let mut behind = BTreeSet::new();
    for _ in 0..2 {
        let (request, _) = stage.harness.worker.internal("resume").await;
        stage.replay(&request, &[1]).await;
        behind.insert(request.user.0);
    }
    assert_eq!(behind, BTreeSet::from([users[0], users[1]]));
    for client in &mut clients[..2] {
        assert_eq!(seqs(client, 1).await, [1]);
    }
    // What arrives at the others is not held back, so they do not catch up.
    for (user, client) in users.iter().zip(&mut clients).skip(2) {
        stage.send(*user, 7).await;
        assert_eq!(seqs(client, 1).await, [7]);
    }
}

/// A node answers each command of a connection in turn: also the one with which a channel is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_left_and_the_others_of_its_shard_are_not() {
    let mut stage = Stage::start().await;
    let [stays, leaves, comes] = [0, 1, 2].map(|n| stage.users_at(0).nth(n).unwrap());
    let mut staying = stage.harness.login(stays).await;
    let mut leaving = stage.harness.login(leaves).await;
    leaving.close().await;
    let channel = stage.channel(leaves);
    stage.until("the channel is left", || async { stage.listeners(0, &channel) == "0" }).await;
    let _coming = stage.harness.login(comes).await;
    for _ in 0..3 {
        stage.harness.worker.internal("resume").await;
    }
    let again = tokio::time::timeout(BRIEFLY, stage.harness.worker.internal("resume")).await;
    assert!(again.is_err(), "nobody has to catch up: {again:?}");
    stage.send(stays, 1).await;
    assert_eq!(seqs(&mut staying, 1).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_becomes_a_replica_is_left() {
    let mut stage = Stage::start().await;
    let user = stage.users_at(0).next().unwrap();
    let mut client = stage.harness.login(user).await;
    stage.harness.worker.internal("resume").await;
    tokio::task::block_in_place(|| stage.cluster.take_over(3)).unwrap();
    let channel = stage.channel(user);
    stage.until("the new primary is followed", || async { stage.listeners(3, &channel) == "1" }).await;
    stage.send(user, 1).await;
    assert_eq!(seqs(&mut client, 1).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_go_to_all_nodes_while_an_old_gateway_lives() {
    let stage = Stage::start().await;
    let worker = &stage.harness.worker;
    let user = stage.users_at(1).next().unwrap();
    let mut client = stage.harness.login(user).await;
    let list = async |at: i64| {
        let beat = (at as f64, "of release 0.1");
        let _: i64 =
            worker.redis.zadd(worker.keys.heartbeats("gateway"), None, None, false, false, beat).await.unwrap();
        let since = (Timestamp::now().0 - 5_000) as f64;
        worker.publisher.follow(&worker.redis, since).await.unwrap();
        worker.publisher.is_sharded()
    };
    worker.rote.lock().dead = true;
    assert!(!list(Timestamp::now().0).await);
    // Such as one of a worker of release 0.1.
    let channel = stage.channel(user);
    let header = Header::Event(EventHeader::new(message(0, user, 1)));
    let event = worker.wire.publication(&channel, &header, message_event(1).to_string().as_bytes());
    let _: i64 = worker.redis.publish(channel, Bytes::from(event)).await.unwrap();
    assert_eq!(seqs(&mut client, 1).await, [1]);
    assert!(list(Timestamp::now().0 - 10_000).await, "it is dead");
    stage.send(user, 2).await;
    assert_eq!(seqs(&mut client, 1).await, [2]);
}

/// Workers look for gateways once a second. Until then, a login at an old gateway would be in vain.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_gateway_gets_its_answers_before_workers_know_it() {
    let stage = Stage::start().await;
    let worker = &stage.harness.worker;
    let [old, answers] = {
        let id = GatewayId(Uuid::from_u128(1));
        [worker.keys.gateway_channel(id), worker.keys.answer_channel(id)]
    };
    let options = RedisOptions { url: stage.cluster.url(), tls_ca: None, command_timeout: SOON };
    let plain = options.subscriber(EVENTS_CAPACITY, &Lifecycle::new(Duration::ZERO)).unwrap();
    let mut heard = plain.message_rx();
    plain.wait_for_connect().await.unwrap();
    plain.subscribe(vec![old.clone(), answers.clone()]).await.unwrap();
    // The subscriptions are confirmed by then.
    let () = plain.with_options(&one_node(&plain)).ping(None).await.unwrap();
    let nobodys = stage.channel(5);
    let messages = [&nobodys, &old, &nobodys, &answers, &old].map(|channel| {
        let bytes = Bytes::copy_from_slice(channel.as_bytes());
        ChannelMessage::new(channel.clone(), bytes)
    });
    assert!(worker.publisher.is_sharded());
    for batch in [&messages[..], &messages[1..2]] {
        worker.publisher.publish(&worker.redis, batch).await.unwrap();
    }
    for expected in [&old, &answers, &old, &old] {
        let message = tokio::time::timeout(SOON, heard.recv()).await.unwrap().unwrap();
        assert_eq!(&*message.channel, expected.as_str());
    }
}

/// The group's channel is on one node, and the user's on another.
#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_group_gets_all_before_and_nothing_after() {
    let mut stage = Stage::start().await;
    let group = GroupId(Uuid::from_u128(7));
    let [leaves, stays, comes_back] = [1, 2, 3];
    stage.harness.worker.rote.lock().groups = vec![group];
    let mut clients = Vec::new();
    for user in [leaves, stays, comes_back] {
        clients.push(stage.harness.login(user).await);
        stage.harness.worker.internal("resume").await;
    }
    let channel = stage.harness.worker.keys.group_channel(group);
    let say = async |worker: &FakeWorker, seq: i64| {
        let receipt = Receipt::Message {
            conversation: ConversationId::Group(group),
            seq,
            sender: UserId(9),
            message: MessageId(Uuid::from_u128(seq as u128)),
        };
        let header = Header::Event(EventHeader::new(receipt));
        worker.publish_to(channel.clone(), &header, &json!({"type": "new_message", "seq": seq})).await;
    };
    let worker = &stage.harness.worker;
    say(worker, 1).await;
    // That this user has come back is known before the end of the earlier membership.
    worker.publish_bytes(worker.keys.user_channel(UserId(comes_back)), &Header::Joined { group }, &[]).await;
    stage.send(comes_back, 5).await;
    let mut known = seqs(&mut clients[2], 2).await;
    known.sort();
    assert_eq!(known, [1, 5]);
    let gone = Header::Gone { users: vec![UserId(leaves), UserId(comes_back)] };
    worker.publish_bytes(channel.clone(), &gone, &[]).await;
    say(worker, 2).await;
    assert_eq!(seqs(&mut clients[0], 1).await, [1]);
    assert_eq!(seqs(&mut clients[1], 2).await, [1, 2]);
    clients[0].expect_none("new_message", |_| true, BRIEFLY).await.unwrap();
    // On a slow machine, others may have caught up before.
    while stage.harness.worker.internal("resume").await.0.user != UserId(comes_back) {}
    // The group's channel is followed again by the time of this request. A real worker's replay has the second message.
    say(&stage.harness.worker, 3).await;
    assert_eq!(seqs(&mut clients[2], 1).await, [3]);
}
