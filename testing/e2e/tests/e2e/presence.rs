//! Presence, receipts and deploys across the fleet.

use std::time::Duration;

use anyhow::{Result, ensure};
use devstack::fleet::READY_TIMEOUT;
use devstack::wait::SOON;
use e2e::{Deployment, Options};
use serde_json::{Value, json};
use tokio::time::Instant;

fn about(user: i64) -> impl Fn(&Value) -> bool {
    let id = user.to_string();
    move |event| event["user"]["userId"] == id
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_is_seen_on_every_gateway() -> Result<()> {
    let mut deployment = Deployment::start("presence", Options::default().with("OFFLINE_GRACE_PERIOD", "2s"))?;
    let [alice, bob, carol] = deployment.users(["alice", "bob", "carol"])?;
    deployment.sql(&format!(
        "INSERT INTO blocked_relationships (blocker_id, blocked_id) VALUES ({}, {})",
        carol.id, alice.id
    ))?;
    let mut watching = deployment.login(0, &bob).await?;
    let mut blocking = deployment.login(0, &carol).await?;
    let first = deployment.login(1, &alice).await?;
    watching.expect("user_online", about(alice.id), SOON).await?;
    let online = watching.request_ok(json!({"type": "get_online_users"})).await?;
    let mut ids: Vec<&str> =
        online["users"].as_array().into_iter().flatten().filter_map(|u| u["userId"].as_str()).collect();
    ids.sort_unstable();
    let mut expected = [alice.id.to_string(), carol.id.to_string()];
    expected.sort();
    assert_eq!(ids, expected);

    // A second device, then the first goes: still online, and nobody is notified.
    let second = deployment.login(0, &alice).await?;
    first.abort().await;
    // Reconnecting within the grace period, on another gateway, causes no event either.
    second.abort().await;
    let third = deployment.login(1, &alice).await?;
    let quiet = watching.expect_none("user_offline", about(alice.id), Duration::from_secs(3)).await;
    quiet?;
    drop(third);
    watching.expect("user_offline", about(alice.id), SOON).await?;
    blocking.expect_none("user_online", about(alice.id), Duration::from_millis(10)).await?;
    blocking.expect_none("user_offline", about(alice.id), Duration::from_millis(10)).await?;

    // The death of a gateway: its users go offline after the grace period, the others stay.
    let _doomed = deployment.login(1, &alice).await?;
    watching.expect("user_online", about(alice.id), SOON).await?;
    deployment.fleet.gateways[1].kill()?;
    watching.expect("user_offline", about(alice.id), Duration::from_secs(17)).await?;
    watching.expect_none("user_offline", about(carol.id), Duration::from_millis(10)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_learns_what_arrived() -> Result<()> {
    let deployment = Deployment::start("delivered", Options { workers: 1, ..Options::default() })?;
    let [alice, bob, carol] = deployment.users(["alice", "bob", "carol"])?;
    let mut sender = deployment.login(0, &alice).await?;
    let sent = sender.request_ok(json!({"type": "send_message", "recipientId": bob.id, "content": "x"})).await?;
    sender.expect_none("message_delivered", |_| true, Duration::from_millis(300)).await?;
    let _receiver = deployment.login(1, &bob).await?;
    let delivered = sender.expect("message_delivered", |_| true, SOON).await?;
    assert_eq!((&delivered["messageId"], &delivered["seq"]), (&sent["messageId"], &json!(1)));
    assert_eq!(delivered["deliveredTo"], bob.id.to_string());

    // A client that confirms has not received anything until it does.
    let mut confirming = client::Client::connect(&deployment.gateway_url(1)).await?;
    confirming.authenticate_with(json!({"token": carol.token, "acks": true})).await?;
    let sent = sender.request_ok(json!({"type": "send_message", "recipientId": carol.id, "content": "y"})).await?;
    confirming.expect("new_message", |_| true, SOON).await?;
    sender.expect_none("message_delivered", |_| true, Duration::from_millis(300)).await?;
    let conversation = sent["conversationId"].as_str().unwrap_or_default();
    confirming.send(json!({"type": "ack", "conversations": {conversation: 1}})).await?;
    let delivered = sender.expect("message_delivered", |_| true, SOON).await?;
    assert_eq!(delivered["messageId"], sent["messageId"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn users_stay_online_when_their_gateway_drains() -> Result<()> {
    let options = Options::default().with("DRAIN_WINDOW", "1s").with("OFFLINE_GRACE_PERIOD", "5s");
    let mut deployment = Deployment::start("drain", options)?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut watching = deployment.login(0, &bob).await?;
    let mut leaving = deployment.login(1, &alice).await?;
    watching.expect("user_online", about(alice.id), SOON).await?;
    deployment.fleet.gateways[1].terminate()?;
    let close = leaving.wait_closed(SOON).await?;
    assert_eq!(close.code, Some(1012));
    let _moved = deployment.login(0, &alice).await?;
    watching.expect_none("user_offline", about(alice.id), Duration::from_secs(7)).await?;
    deployment.fleet.gateways[1].wait_gone(SOON)?;
    Ok(())
}

/// A gateway dies with three users on it: one is back before the death is noticed, one within the grace period that
/// begins then, and one stays away. The gateway's successor starts meanwhile and ends nobody's session.
#[tokio::test(flavor = "multi_thread")]
async fn returning_within_the_grace_after_a_crash_shows_no_absence() -> Result<()> {
    const GRACE: Duration = Duration::from_secs(4);
    /// A gateway is considered dead after 3 s without a heartbeat and 3 s of observation.
    const GIVEN_UP_WITHIN: Duration = Duration::from_secs(10);
    let mut deployment = Deployment::start("gatewaydied", Options::default().with("OFFLINE_GRACE_PERIOD", "4s"))?;
    let [watcher, quick, late, lost] = deployment.users(["watcher", "quick", "late", "lost"])?;
    let mut watching = deployment.login(0, &watcher).await?;
    let mut doomed = Vec::new();
    for user in [&quick, &late, &lost] {
        doomed.push(deployment.login(1, user).await?);
        watching.expect("user_online", about(user.id), SOON).await?;
    }
    deployment.fleet.gateways[1].kill()?;
    let died = Instant::now();
    let _quick = deployment.login(0, &quick).await?;
    // From here on the grace period runs for the users who are not back.
    while deployment.redis.command(&["ZCARD", "{presence}grace"])?.trim() != "2" {
        ensure!(died.elapsed() < GIVEN_UP_WITHIN, "the dead gateway's sessions do not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let missed = Instant::now();
    let _late = deployment.login(0, &late).await?;
    tokio::task::block_in_place(|| {
        deployment.fleet.gateways[1].start()?;
        deployment.fleet.gateways[1].wait_ready(READY_TIMEOUT)
    })?;
    for user in [&watcher, &quick, &late] {
        let sessions = format!("{{presence}}user_session:{}", user.id);
        assert_eq!(deployment.redis.command(&["SCARD", &sessions])?.trim(), "1", "{}", user.name);
    }
    watching.expect("user_offline", about(lost.id), GRACE + Duration::from_secs(15)).await?;
    assert!(missed.elapsed() > GRACE - Duration::from_millis(500), "gone after {:?}", missed.elapsed());
    assert!(died.elapsed() < GRACE + Duration::from_secs(15), "gone after {:?}", died.elapsed());
    // As long again: users who lost a session at the start of the new gateway would be offline by then.
    for (event, within) in [("user_offline", GRACE), ("user_online", Duration::from_millis(10))] {
        let of_others = |event: &Value| [quick.id, late.id].iter().any(|id| about(*id)(event));
        watching.expect_none(event, of_others, within).await?;
    }
    let online = watching.request_ok(json!({"type": "get_online_users"})).await?;
    let mut there = [&quick, &late].map(|user| user.id.to_string());
    there.sort();
    assert_eq!(ids(&online), there);
    Ok(())
}

fn ids(online: &Value) -> Vec<String> {
    let users = online["users"].as_array().into_iter().flatten();
    let mut ids: Vec<String> = users.filter_map(|user| Some(user["userId"].as_str()?.to_owned())).collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn users_leaving_when_redis_lost_its_data_go_offline() -> Result<()> {
    let mut deployment = Deployment::start("presenceloss", Options::default().with("OFFLINE_GRACE_PERIOD", "10s"))?;
    let [alice, bob, carol] = deployment.users(["alice", "bob", "carol"])?;
    let mut watching = deployment.login(0, &bob).await?;
    let leaving = deployment.login(1, &alice).await?;
    let _staying = deployment.login(1, &carol).await?;
    for user in [&alice, &carol] {
        watching.expect("user_online", about(user.id), SOON).await?;
    }
    leaving.abort().await;
    deployment.redis.restart_empty()?;
    watching.expect("user_offline", about(alice.id), Duration::from_secs(60)).await?;
    let online = watching.request_ok(json!({"type": "get_online_users"})).await?;
    assert_eq!(ids(&online), [carol.id.to_string()]);
    // Users who are connected are registered again before their grace period ends.
    watching.expect_none("user_offline", about(carol.id), Duration::from_secs(10)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_scope_of_contacts_strangers_are_told_nothing() -> Result<()> {
    let options = Options::default().with("OFFLINE_GRACE_PERIOD", "2s").with("PRESENCE_SCOPE", "contacts");
    let deployment = Deployment::start("contacts", options)?;
    let [alice, talking, member, follower, blocked, stranger] =
        deployment.users(["alice", "talking", "member", "follower", "blocked", "stranger"])?;
    deployment.sql(&format!(
        "INSERT INTO user_follows VALUES ({}, {}); INSERT INTO blocked_relationships VALUES ({}, {})",
        follower.id, alice.id, blocked.id, alice.id
    ))?;
    let mut clients = Vec::new();
    for (place, user) in [&talking, &member, &follower, &blocked, &stranger].into_iter().enumerate() {
        clients.push(deployment.login(place % 2, user).await?);
    }
    // Create contacts: a conversation, a group, and a conversation with somebody who blocks her later.
    clients[0].request_ok(json!({"type": "send_message", "recipientId": alice.id, "content": "x"})).await?;
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [alice.id]});
    clients[1].request_ok(create).await?;
    deployment.sql(&format!(
        "INSERT INTO conversation_members (user_id, conversation_id)
         SELECT u, 'conv_{0}_{1}' FROM unnest(ARRAY[{0}, {1}]) AS u",
        alice.id, blocked.id
    ))?;

    let mut own = deployment.login(1, &alice).await?;
    for contact in &mut clients[..3] {
        contact.expect("user_online", about(alice.id), SOON).await?;
    }
    // A query returns everybody except blocked users; the scope applies only to events.
    let online = own.request_ok(json!({"type": "get_online_users"})).await?;
    let mut all = [&talking, &member, &follower, &stranger].map(|user| user.id.to_string());
    all.sort();
    assert_eq!(ids(&online), all);
    let before = deployment.sql(&format!("SELECT last_seen_at FROM user_status WHERE user_id = {}", alice.id))?;
    own.close().await;
    for contact in &mut clients[..3] {
        contact.expect("user_offline", about(alice.id), SOON).await?;
    }
    let seen = format!("SELECT last_seen_at > '{before}' AND NOT online FROM user_status WHERE user_id = {}", alice.id);
    assert_eq!(deployment.sql(&seen)?, "t");
    for other in &mut clients[3..] {
        for event in ["user_online", "user_offline"] {
            other.expect_none(event, about(alice.id), Duration::from_millis(10)).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_comes_and_goes_is_announced_once() -> Result<()> {
    let deployment = Deployment::start("flapping", Options::default().with("OFFLINE_GRACE_PERIOD", "30s"))?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut watching = deployment.login(0, &bob).await?;
    for place in 0..50 {
        let mut client = deployment.login(place % 2, &alice).await?;
        match place % 3 {
            0 => client.abort().await,
            _ => drop(client.close().await),
        }
    }
    watching.expect("user_online", about(alice.id), SOON).await?;
    for event in ["user_online", "user_offline"] {
        watching.expect_none(event, about(alice.id), Duration::from_secs(1)).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_and_unread_counts_are_the_same_on_every_device() -> Result<()> {
    let deployment = Deployment::start("receipts", Options::default())?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut senders = [deployment.login(0, &alice).await?, deployment.login(1, &alice).await?];
    let mut devices = [deployment.login(0, &bob).await?, deployment.login(1, &bob).await?];
    let mut messages = Vec::new();
    for content in ["one", "two", "three"] {
        let send = json!({"type": "send_message", "recipientId": bob.id, "content": content});
        messages.push(senders[0].request_ok(send).await?["messageId"].clone());
    }
    for sender in &mut senders {
        sender.expect("message_delivered", |event| event["seq"] == 3, SOON).await?;
    }
    let unread = async |devices: &mut [client::Client; 2]| -> Result<Vec<i64>> {
        let mut counts = Vec::new();
        for device in devices {
            device.expect("new_message", |event| event["seq"] == 3, Duration::from_millis(1)).await.ok();
            let list = device.request_ok(json!({"type": "get_conversations"})).await?;
            counts.push(list["conversations"][0]["unreadCount"].as_i64().unwrap_or(-1));
        }
        Ok(counts)
    };
    assert_eq!(unread(&mut devices).await?, [3, 3]);
    for (device, message, left) in [(0, 1, 1), (1, 2, 0)] {
        let mark = json!({"type": "mark_message_read", "messageId": messages[message]});
        devices[device].request_ok(mark).await?;
        let reader = bob.id.to_string();
        let is_it = |event: &Value| event["seq"] == message as i64 + 1 && event["readBy"].as_str() == Some(&reader);
        devices[1 - device].expect("message_read", is_it, SOON).await?;
        for sender in &mut senders {
            sender.expect("message_read", is_it, SOON).await?;
        }
        assert_eq!(unread(&mut devices).await?, [left, left]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_confirming_client_did_not_confirm_comes_again() -> Result<()> {
    let deployment = Deployment::start("acks", Options { workers: 1, ..Options::default() })?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut sender = deployment.login(0, &alice).await?;
    let login = async |gateway: usize| -> Result<client::Client> {
        let mut client = client::Client::connect(&deployment.gateway_url(gateway)).await?;
        client.authenticate_with(json!({"token": bob.token, "acks": true})).await?;
        Ok(client)
    };
    let mut receiver = login(0).await?;
    for content in ["one", "two"] {
        sender.request_ok(json!({"type": "send_message", "recipientId": bob.id, "content": content})).await?;
        receiver.expect("new_message", |event| event["content"] == content, SOON).await?;
    }
    let conversation = client::conversation_id(alice.id, bob.id);
    receiver.send(json!({"type": "ack", "conversations": {conversation: 1}})).await?;
    sender.expect("message_delivered", |event| event["seq"] == 1, SOON).await?;
    receiver.close().await;
    let delivered = format!("SELECT delivered_seq FROM conversation_members WHERE user_id = {}", bob.id);
    deployment.until(&delivered, "1").await?;
    let mut again = login(1).await?;
    assert_eq!(again.session()["queuedEvents"], 1);
    again.expect("new_message", |event| event["content"] == "two", SOON).await?;
    Ok(())
}
