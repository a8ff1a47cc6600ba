//! Redis as a cluster: users, operators, and primaries that die.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::{Client, event_type};
use devstack::wait::SOON;
use devstack::{Cluster, http, wait};
use e2e::{Deployment, Options, Talk, User};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::RECOVERS_WITHIN;

const RATE_LIMIT: usize = 60;
const RATE_WINDOW_SECONDS: u64 = 60;
/// `COMMAND_TIMEOUT`, the two seconds that a gateway adds to it, and what a slow machine needs.
const ANSWERED_WITHIN: Duration = Duration::from_secs(12);
/// Five to seven seconds on an idle machine: `NODE_TIMEOUT`, the election, and reconnecting.
const BACK_WITHIN: Duration = Duration::from_secs(25);
/// Eight to fourteen: in addition, each client has to find out, and retries the silent node while it is part of the
/// cluster.
const BACK_FROM_SILENCE_WITHIN: Duration = Duration::from_secs(45);
/// How long a slot stays half moved, in addition to the time for its keys.
const SLOT_BETWEEN: Duration = Duration::from_millis(10);
const HALF_MOVED: Duration = Duration::from_millis(150);
const LONG_HALF_MOVED: Duration = Duration::from_secs(4);
/// Enough that each primary has some of their partitions.
const CONVERSATIONS: usize = 8;

fn on_cluster() -> Options {
    Options { cluster: true, ..Options::default() }
}

fn direct(to: &User, content: &str) -> Value {
    json!({"type": "send_message", "recipientId": to.id, "content": content})
}

#[tokio::test(flavor = "multi_thread")]
async fn people_talk_on_a_cluster() -> Result<()> {
    let deployment = Deployment::start("cluster", on_cluster().with("OFFLINE_GRACE_PERIOD", "1s"))?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let id_of_bob = bob.id.to_string();
    let about_bob = |event: &Value| event["user"]["userId"] == id_of_bob;
    let mut a = deployment.login(0, &alice).await?;
    let mut b = deployment.login(1, &bob).await?;
    a.expect("user_online", about_bob, SOON).await?;

    let sent = a.request_ok(direct(&bob, "there")).await?;
    b.expect("new_message", |event| event["messageId"] == sent["messageId"], SOON).await?;
    let sent = b.request_ok(direct(&alice, "and back")).await?;
    a.expect("new_message", |event| event["messageId"] == sent["messageId"], SOON).await?;
    a.send(json!({"type": "typing", "recipientId": bob.id, "isTyping": true})).await?;
    b.expect("user_typing", |_| true, SOON).await?;

    let create = json!({"type": "create_group", "groupName": "A group", "initialMembers": [bob.id]});
    let group = a.request_ok(create).await?["groupId"].clone();
    b.expect("group_created", |event| event["groupId"] == group, SOON).await?;
    for there in [true, false] {
        let (sender, other) = if there { (&mut a, &mut b) } else { (&mut b, &mut a) };
        let send = json!({"type": "send_group_message", "groupId": group, "content": "to all"});
        let sent = sender.request_ok(send).await?;
        other.expect("new_group_message", |event| event["messageId"] == sent["messageId"], SOON).await?;
    }

    // On an idle fleet each command takes milliseconds: there is no polling.
    let mut took = Vec::new();
    for _ in 0..51 {
        let asked = Instant::now();
        a.request_ok(direct(&bob, "quickly")).await?;
        took.push(asked.elapsed());
    }
    took.sort_unstable();
    println!("a direct message is acknowledged after {:?}", took[25]);
    ensure!(took[25] < Duration::from_millis(100), "{took:?}");

    b.close().await;
    a.expect("user_offline", about_bob, SOON).await?;
    let mut missed = Vec::new();
    for number in 0..3 {
        missed.push(a.request_ok(direct(&bob, &format!("missed {number}"))).await?["messageId"].clone());
    }
    let mut b = deployment.login(0, &bob).await?;
    for id in &missed {
        let first = b.expect("new_message", |event| missed.contains(&event["messageId"]), SOON).await?;
        ensure!(first["messageId"] == *id, "out of order: {first}");
    }
    let page = b.request_ok(json!({"type": "get_private_messages", "recipientId": alice.id, "limit": 10})).await?;
    ensure!(page["total"] == 56 && page["messages"][9]["messageId"] == missed[2], "{page}");
    Ok(())
}

/// Also where a node names the one that has a channel's slot now.
#[tokio::test(flavor = "multi_thread")]
async fn people_talk_on_a_cluster_over_tls() -> Result<()> {
    let deployment = Deployment::start("clustertls", Options { tls: true, gateways: 1, workers: 1, ..on_cluster() })?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let (mut a, mut b) = (deployment.login(0, &alice).await?, deployment.login(0, &bob).await?);
    let sent = a.request_ok(direct(&bob, "before")).await?;
    b.expect("new_message", |event| event["messageId"] == sent["messageId"], SOON).await?;
    let cluster = deployment.cluster.as_ref().context("a cluster")?;
    let mut followed = Vec::new();
    for (at, node) in cluster.nodes.iter().enumerate().take(3) {
        let listening = node.command(&["CLIENT", "LIST", "TYPE", "pubsub"])?;
        let unencrypted = format!(" laddr=127.0.0.1:{} ", node.port());
        ensure!(!listening.contains(&unencrypted), "{listening}");
        let (channels, with_keys) = (cluster.channel_slots(at)?, cluster.slots(at, "*")?);
        followed.push(channels.difference(&with_keys).cloned().collect::<BTreeSet<_>>());
    }
    ensure!(followed.iter().map(BTreeSet::len).sum::<usize>() > 0, "no channel is followed at its shard");
    for (from, slots) in followed.iter().enumerate() {
        let to = (from + 1) % 3;
        cluster.half_move(slots, from, to)?;
        cluster.finish_move(slots, from, to)?;
    }
    for (from, slots) in followed.iter().enumerate() {
        let to = (from + 1) % 3;
        wait::until("the moved channels are followed", SOON, || {
            Ok(slots.is_subset(&cluster.channel_slots(to)?).then_some(()))
        })?;
    }
    let sent = a.request_ok(direct(&bob, "after")).await?;
    b.expect("new_message", |event| event["messageId"] == sent["messageId"], SOON).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_limit_is_that_of_the_fleet_on_a_cluster() -> Result<()> {
    let deployment =
        Deployment::start("clusterlimit", on_cluster().with("MESSAGE_RATE_LIMIT", &RATE_LIMIT.to_string()))?;
    let users = deployment.users(["alice", "bob", "carol"])?;
    let began = Instant::now();
    let mut clients = [deployment.login(0, &users[0]).await?, deployment.login(1, &users[0]).await?];
    let mut sent = 0;
    let refusal = loop {
        // To different partitions, through both gateways.
        let answer = clients[sent % 2].request(direct(&users[1 + sent % 2], "x")).await?;
        if event_type(&answer) == "error" {
            break answer;
        }
        sent += 1;
        ensure!(sent <= RATE_LIMIT, "{sent} messages");
    };
    ensure!(sent == RATE_LIMIT && refusal["code"] == "RATE_LIMIT_EXCEEDED", "after {sent}: {refusal}");
    let retry_after = refusal["retryAfter"].as_u64().context("retryAfter")?;
    // Redis counts whole seconds.
    let soonest = RATE_WINDOW_SECONDS.saturating_sub(began.elapsed().as_secs() + 1);
    ensure!((soonest..=RATE_WINDOW_SECONDS).contains(&retry_after), "{refusal} {:?} after the start", began.elapsed());
    let other = clients[1].request(direct(&users[1], "x")).await?;
    ensure!(other["code"] == "RATE_LIMIT_EXCEEDED", "{other}");
    // Other commands are not limited, and neither are other users.
    clients[0].request_ok(json!({"type": "get_conversations"})).await?;
    deployment.login(0, &users[1]).await?.request_ok(direct(&users[0], "x")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_and_change_a_fleet_on_a_cluster() -> Result<()> {
    let mut deployment = Deployment::start("clusteroperators", on_cluster().with("DRAIN_WINDOW", "500ms"))?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut a = deployment.login(0, &alice).await?;
    let mut b = deployment.login(1, &bob).await?;
    let status: Value = serde_json::from_str(&deployment.chatctl(&["status", "--json"])?)?;
    let fleet = &status["fleet"];
    let count = |list: &str| fleet[list].as_array().map_or(0, Vec::len);
    ensure!((count("gateways"), count("workers")) == (2, 2) && fleet["onlineUsers"] == 2, "{status}");
    ensure!(fleet["waiting"]["ordered"]["commands"] == 0 && fleet["deadLetters"] == 0, "{status}");
    ensure!(deployment.chatctl(&["sessions"])?.lines().count() == 2);

    let sent = a.request_ok(direct(&bob, "x")).await?;
    deployment.sql(super::BREAK_REACTIONS)?;
    let failed = a.request(json!({"type": "add_reaction", "messageId": sent["messageId"], "reaction": "lion"})).await?;
    ensure!(failed["code"] == "INTERNAL_ERROR", "{failed}");
    ensure!(deployment.chatctl(&["dlq", "list"])?.contains("add_reaction"));
    deployment.sql(super::MEND_REACTIONS)?;
    ensure!(deployment.chatctl(&["dlq", "replay", "--all"])? == "1 replayed\n");
    b.expect("reaction_added", |event| event["reaction"] == "lion", RECOVERS_WITHIN).await?;
    ensure!(deployment.chatctl(&["dlq", "list"])?.is_empty());

    ensure!(deployment.chatctl(&["kick", &alice.name])? == "1 closed\n");
    ensure!(a.wait_closed(RECOVERS_WITHIN).await?.code == Some(1008));
    let health: Value =
        serde_json::from_str(&http::get(&format!("{}/health", deployment.fleet.gateways[1].url()))?.body)?;
    let gateway = health["gatewayId"].as_str().context("gatewayId")?;
    ensure!(deployment.chatctl(&["drain", gateway])? == "ended\n");
    ensure!(b.wait_closed(RECOVERS_WITHIN).await?.code == Some(1012));
    deployment.fleet.gateways[1].wait_gone(RECOVERS_WITHIN)?;
    ensure!(deployment.chatctl(&["drain", gateway]).is_err(), "it is gone");
    Ok(())
}

/// Operators are redirected as the servers are, wherever the keys of a slot are.
#[tokio::test(flavor = "multi_thread")]
async fn operators_see_and_change_a_fleet_whose_slots_are_half_moved() -> Result<()> {
    let mut deployment = Deployment::start("clusteroperatorshalf", on_cluster())?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut a = deployment.login(0, &alice).await?;
    let mut b = deployment.login(1, &bob).await?;
    let sent = a.request_ok(direct(&bob, "x")).await?;
    deployment.sql(super::BREAK_REACTIONS)?;
    let failed = a.request(json!({"type": "add_reaction", "messageId": sent["messageId"], "reaction": "lion"})).await?;
    ensure!(failed["code"] == "INTERNAL_ERROR", "{failed}");
    deployment.sql(super::MEND_REACTIONS)?;
    // Each slot's keys go to the next primary; all are found before any is moved there.
    let slots = [0, 1, 2].map(|primary| cluster(&mut deployment).and_then(|cluster| cluster.slots(primary, "*")));
    for (primary, slots) in slots.into_iter().enumerate() {
        cluster(&mut deployment)?.half_move(&slots?, primary, (primary + 1) % 3)?;
    }
    let status: Value = serde_json::from_str(&deployment.chatctl(&["status", "--json"])?)?;
    let fleet = &status["fleet"];
    let count = |list: &str| fleet[list].as_array().map_or(0, Vec::len);
    ensure!((count("gateways"), count("workers")) == (2, 2) && fleet["onlineUsers"] == 2, "{status}");
    ensure!(fleet["deadLetters"] == 1 && fleet["gateways"][0]["sessions"] == 1, "{status}");
    ensure!(deployment.chatctl(&["sessions"])?.lines().count() == 2);
    let listed = deployment.chatctl(&["dlq", "list"])?;
    let (id, _) = listed.split_once('\t').context("a dead letter")?;
    ensure!(deployment.chatctl(&["dlq", "show", id])?.contains("add_reaction"));
    ensure!(deployment.chatctl(&["dlq", "replay", "--all"])? == "1 replayed\n");
    b.expect("reaction_added", |event| event["reaction"] == "lion", RECOVERS_WITHIN).await?;
    ensure!(deployment.chatctl(&["dlq", "list"])?.is_empty());
    Ok(())
}

/// People who write to each other over both gateways, and two whose connections must live through everything.
struct Scene {
    deployment: Deployment,
    talks: Vec<Talk>,
    people: [(User, Client); 2],
}

impl Scene {
    async fn start(label: &str) -> Result<Scene> {
        let options = on_cluster().with("LEASE_TTL", "2s").with("COMMAND_TIMEOUT", "5s");
        let deployment = Deployment::start(label, options)?;
        let mut talks = Vec::new();
        for pair in 0..CONVERSATIONS {
            let [alice, bob] = deployment.users(["alice", "bob"])?;
            let urls = [0, 1].map(|gateway| vec![deployment.gateway_url((pair + gateway) % 2)]);
            let [from, to] = urls;
            talks.push(Talk::start(alice, bob, from, to));
        }
        let [carol, dave] = deployment.users(["carol", "dave"])?;
        let (of_carol, of_dave) = (deployment.login(0, &carol).await?, deployment.login(1, &dave).await?);
        let scene = Scene { deployment, talks, people: [(carol, of_carol), (dave, of_dave)] };
        scene.progress(20).await.context("before any fault")?;
        Ok(scene)
    }

    async fn progress(&self, more: usize) -> Result<()> {
        for talk in &self.talks {
            talk.progress(more).await?;
        }
        Ok(())
    }

    /// Both write to each other until both are served; until then commands are rejected as the protocol says, and in
    /// time.
    async fn until_served(&mut self) -> Result<usize> {
        let deadline = Instant::now() + RECOVERS_WITHIN;
        let mut refused = 0;
        loop {
            let [(carol, of_carol), (dave, of_dave)] = &mut self.people;
            let (there, back) = (direct(dave, "still there?"), direct(carol, "still there?"));
            let asked = tokio::try_join!(
                of_carol.request_within(there, ANSWERED_WITHIN),
                of_dave.request_within(back, ANSWERED_WITHIN),
            );
            let (there, back) = asked.context("an answer on an open connection")?;
            let mut served = 0;
            for answer in [there, back] {
                if event_type(&answer) == "message_sent" {
                    served += 1;
                    continue;
                }
                let waits = answer["retryAfter"].as_u64().is_some_and(|seconds| seconds > 0);
                ensure!(answer["code"] == "SERVICE_UNAVAILABLE" && waits, "not refused as the protocol says: {answer}");
                refused += 1;
            }
            if served == 2 {
                return Ok(refused);
            }
            ensure!(Instant::now() < deadline, "not served in time");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until everybody is served again, live, by all nodes.
    async fn back(&mut self, what: &str, since: Instant, within: Duration) -> Result<()> {
        let refused = self.until_served().await.with_context(|| what.to_owned())?;
        self.progress(5).await.with_context(|| what.to_owned())?;
        let [(carol, of_carol), (dave, of_dave)] = &mut self.people;
        let mut live = until_live(of_carol, dave, of_dave).await;
        if live.is_ok() {
            live = until_live(of_dave, carol, of_carol).await;
        }
        live.with_context(|| format!("{what}:{}", self.warnings()))?;
        let elapsed = since.elapsed();
        println!("{what}: back after {elapsed:?}; {refused} commands were refused");
        ensure!(elapsed < within, "{what}: {elapsed:?}");
        self.progress(30).await.with_context(|| what.to_owned())
    }

    /// The last warnings of each server.
    fn warnings(&mut self) -> String {
        const LINES: usize = 25;
        let mut text = String::new();
        for server in self.deployment.fleet.servers() {
            let log = std::fs::read_to_string(server.log_path()).unwrap_or_default();
            let warnings: Vec<&str> = log.lines().filter(|line| !line.contains("\"INFO\"")).collect();
            text += &format!("\n{}:\n{}", server.name(), warnings[warnings.len().saturating_sub(LINES)..].join("\n"));
        }
        text
    }

    fn nobody_connected_anew(&mut self) -> Result<()> {
        for server in self.deployment.fleet.servers() {
            let log = std::fs::read_to_string(server.log_path())?;
            let gave_up = log.lines().find(|line| line.contains("gave up: reconnecting"));
            ensure!(gave_up.is_none(), "{}: {gave_up:?}", server.name());
        }
        Ok(())
    }

    /// Nothing acknowledged was lost, doubled or out of order, and nobody's connection was closed.
    async fn finish(self) -> Result<()> {
        for (user, client) in &self.people {
            ensure!(client.close_info().is_none(), "{}: {:?}", user.name, client.close_info());
        }
        for talk in self.talks {
            talk.finish(&self.deployment).await?;
        }
        Ok(())
    }
}

/// Waits until an event that is not stored, and so is only sent live, reaches the other gateway.
async fn until_live(from: &Client, to: &User, receiver: &mut Client) -> Result<()> {
    let deadline = Instant::now() + RECOVERS_WITHIN;
    receiver.drain();
    loop {
        from.send(json!({"type": "typing", "recipientId": to.id, "isTyping": true})).await?;
        if receiver.expect("user_typing", |_| true, Duration::from_millis(300)).await.is_ok() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "nothing comes live to {}", to.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn primaries_that_die_lose_nothing_and_close_nobody() -> Result<()> {
    let mut scene = Scene::start("clusterfailover").await?;
    for primary in 0..3 {
        let what = format!("primary {} dies", primary + 1);
        cluster(&mut scene.deployment)?.nodes[primary].kill()?;
        scene.back(&what, Instant::now(), BACK_WITHIN).await?;
        // The next one may die only when this one's successor has a replica again.
        cluster(&mut scene.deployment)?.rejoin(primary)?;
        scene.progress(20).await.context("after it came back as a replica")?;
    }
    scene.finish().await
}

/// The primaries fall silent: no connection is closed, as when a machine loses power.
#[tokio::test(flavor = "multi_thread")]
async fn primaries_that_fall_silent_lose_nothing_and_close_nobody() -> Result<()> {
    let mut scene = Scene::start("clustersilence").await?;
    for primary in 0..3 {
        let what = format!("primary {} falls silent", primary + 1);
        cluster(&mut scene.deployment)?.nodes[primary].pause()?;
        scene.back(&what, Instant::now(), BACK_FROM_SILENCE_WITHIN).await?;
        cluster(&mut scene.deployment)?.nodes[primary].resume()?;
        cluster(&mut scene.deployment)?.rejoin(primary)?;
        scene.progress(20).await.context("after it came back as a replica")?;
    }
    scene.finish().await
}

/// Slots move from each primary to the next, as when a cluster grows, while people write.
#[tokio::test(flavor = "multi_thread")]
async fn slots_that_move_lose_nothing_and_close_nobody() -> Result<()> {
    let mut scene = Scene::start("clusterslots").await?;
    for primary in 0..3 {
        let began = Instant::now();
        let moved = cluster(&mut scene.deployment)?.move_slots(primary, (primary + 1) % 3, SLOT_BETWEEN)?;
        let what = format!("{moved} slots moved from primary {} in {:?}", primary + 1, began.elapsed());
        scene.back(&what, Instant::now(), BACK_WITHIN).await?;
    }
    scene.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn shard_connections_that_are_closed_lose_nothing() -> Result<()> {
    let mut scene = Scene::start("clusterclosed").await?;
    for round in 0..6 {
        let closed = cluster(&mut scene.deployment)?.close_shard_connections(round % 3)?;
        ensure!(closed > 0, "nobody listens at primary {}", round % 3 + 1);
        scene.back(&format!("{closed} connections were closed"), Instant::now(), BACK_WITHIN).await?;
    }
    scene.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_carries_its_share_of_publications() -> Result<()> {
    let mut scene = Scene::start("clustershare").await?;
    let deadline = Instant::now() + RECOVERS_WITHIN;
    loop {
        let before = publications(&mut scene.deployment)?;
        scene.progress(50).await?;
        let after = publications(&mut scene.deployment)?;
        let [sharded, plain] = [0, 1].map(|kind| [0, 1, 2].map(|node: usize| after[node][kind] - before[node][kind]));
        let total: u64 = sharded.iter().sum();
        // Those about users who come and go, and reports, go to all nodes.
        if plain.iter().sum::<u64>() * 20 < total {
            println!("{sharded:?} of {total} publications at each node, and {plain:?} to all nodes");
            ensure!(total >= 2 * 50 * CONVERSATIONS as u64, "a message is for two users: {sharded:?}");
            ensure!(sharded.iter().all(|share| share * 10 > total), "not spread: {sharded:?} of {total}");
            return scene.finish().await;
        }
        ensure!(Instant::now() < deadline, "{plain:?} publications went to all nodes, {sharded:?} to one");
    }
}

/// How often each primary was told to publish to a shard, and to all nodes.
fn publications(deployment: &mut Deployment) -> Result<Vec<[u64; 2]>> {
    let calls = |statistics: &str, command: &str| {
        let line = statistics.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0)
    };
    let nodes = cluster(deployment)?.nodes[..3].iter().map(|node| {
        let statistics = node.command(&["INFO", "commandstats"])?;
        Ok(["spublish", "publish"].map(|command| calls(&statistics, command)))
    });
    nodes.collect()
}

/// The channels of a group and of its members are on different nodes, which keep no order between them.
#[tokio::test(flavor = "multi_thread")]
async fn members_get_all_until_they_leave_and_nothing_after() -> Result<()> {
    const GROUPS: usize = 12;
    let deployment = Deployment::start("clustergroups", on_cluster().with("GROUP_CREATE_LIMIT", "1000"))?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut a = deployment.login(0, &alice).await?;
    let mut b = deployment.login(1, &bob).await?;
    for number in 0..GROUPS {
        let create = json!({"type": "create_group", "groupName": "A group", "initialMembers": [bob.id]});
        let group = a.request_ok(create).await?["groupId"].clone();
        let say = |content: &str| json!({"type": "send_group_message", "groupId": group, "content": content});
        let in_group = |event: &Value| event["groupId"] == group;
        a.request_ok(say("before")).await?;
        if number % 2 == 0 {
            a.request_ok(json!({"type": "remove_group_member", "groupId": group, "userId": bob.id})).await?;
            a.request_ok(say("after")).await?;
        } else {
            a.request_ok(json!({"type": "delete_group", "groupId": group})).await?;
        }
        let last = if number % 2 == 0 { "member_removed" } else { "group_deleted" };
        b.expect("new_group_message", in_group, SOON).await?;
        b.expect(last, in_group, SOON).await?;
        b.expect_none("new_group_message", in_group, Duration::from_millis(100)).await?;
    }
    Ok(())
}

/// A slot with many keys is half moved for a while, and commands for it are redirected: connections must not be given
/// up because of that.
#[tokio::test(flavor = "multi_thread")]
async fn half_moved_slots_make_nobody_reconnect() -> Result<()> {
    let mut scene = Scene::start("clusterhalf").await?;
    let moved = cluster(&mut scene.deployment)?.move_slots(0, 1, HALF_MOVED)?;
    scene.back(&format!("{moved} slots moved slowly"), Instant::now(), BACK_WITHIN).await?;
    scene.nobody_connected_anew()?;
    scene.finish().await
}

/// Conversations in such slots continue at once, wherever their keys are.
#[tokio::test(flavor = "multi_thread")]
async fn conversations_go_on_while_their_slots_are_half_moved() -> Result<()> {
    let mut scene = Scene::start("clusterheld").await?;
    let slots = cluster(&mut scene.deployment)?.slots(0, "*:commands:*")?;
    ensure!(!slots.is_empty(), "no stream is at the first primary");
    cluster(&mut scene.deployment)?.half_move(&slots, 0, 1)?;
    let began = Instant::now();
    // Everybody's messages, including those whose streams are in these slots.
    scene.progress(5).await.context("just moved")?;
    while began.elapsed() < LONG_HALF_MOVED {
        scene.progress(10).await.context("half moved")?;
    }
    println!("{} slots were half moved for {:?}", slots.len(), began.elapsed());
    ensure!(began.elapsed() < BACK_WITHIN, "{:?}", began.elapsed());
    scene.nobody_connected_anew()?;
    cluster(&mut scene.deployment)?.finish_move(&slots, 0, 1)?;
    scene.back("the slots have moved", Instant::now(), BACK_WITHIN).await?;
    scene.nobody_connected_anew()?;
    scene.finish().await
}

/// Presence is stored in one slot, and some of its keys do not exist: while it is half moved, nothing can be registered
/// there.
#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_while_the_slot_of_presence_is_half_moved() -> Result<()> {
    let mut deployment = Deployment::start("clusterpresence", on_cluster())?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut a = deployment.login(0, &alice).await?;
    let nodes = cluster(&mut deployment)?;
    let (mut primary, mut slots) = (0, nodes.slots(0, "*{presence}*")?);
    while slots.is_empty() {
        primary += 1;
        slots = nodes.slots(primary, "*{presence}*")?;
    }
    nodes.half_move(&slots, primary, (primary + 1) % 3)?;
    let mut b = deployment.login(1, &bob).await.context("while the slot is half moved")?;
    let sent = b.request_ok(direct(&alice, "there")).await?;
    a.expect("new_message", |event| event["messageId"] == sent["messageId"], SOON).await?;
    cluster(&mut deployment)?.finish_move(&slots, primary, (primary + 1) % 3)?;
    let id_of_bob = bob.id.to_string();
    a.expect("user_online", |event| event["user"]["userId"] == id_of_bob, RECOVERS_WITHIN).await?;
    Ok(())
}

fn cluster(deployment: &mut Deployment) -> Result<&mut Cluster> {
    deployment.cluster.as_mut().context("a cluster")
}
