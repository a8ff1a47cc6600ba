//! Redis cuts the subscription, is away, or comes back empty.

use std::collections::HashSet;
use std::time::Duration;

use devstack::{Redis, Scratch, testing};
use serde_json::json;
use shared::redis::presence::PresenceScripts;
use shared::stream::{InternalReply, ReplayPage};

use crate::delivery::seqs;
use crate::fake_worker::{message, message_event, replayed};
use crate::harness::{BRIEFLY, Harness, SOON};

/// Starting and stopping block.
fn start_redis() -> (Scratch, Redis) {
    tokio::task::block_in_place(|| {
        let scratch = Scratch::new("gateway-test").unwrap();
        let redis = testing::start_redis(&scratch).unwrap();
        (scratch, redis)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_catches_up_before_live_events_go_on() {
    let (_scratch, redis) = start_redis();
    let mut harness = Harness::start_on(&redis.url(), &[]).await;
    let mut client = harness.login(1).await;
    harness.worker.internal("resume").await;
    harness.worker.rote.lock().leave = Some("resume");
    tokio::task::block_in_place(|| redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"])).unwrap();
    let (request, _) = harness.worker.internal("resume").await;
    // Live, but held back until the replay is written.
    harness.worker.event(1, message(2, 1, 2), message_event(2)).await;
    client.expect_none("new_message", |_| true, BRIEFLY).await.unwrap();
    let page = ReplayPage { events: vec![replayed(message(2, 1, 1), &message_event(1))], next: None };
    let reply = InternalReply::Resumed { auth_success: b"{}".to_vec(), replay: page };
    harness.worker.reply(&request, &reply).await;
    assert_eq!(seqs(&mut client, 2).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sessions_catch_up_after_an_interruption() {
    // More sessions than begin to catch up at once.
    const SESSIONS: i64 = 120;
    let (_scratch, redis) = start_redis();
    let mut harness = Harness::start_on(&redis.url(), &[]).await;
    let mut clients = Vec::new();
    for user in 1..=SESSIONS {
        clients.push(harness.login(user).await);
        harness.worker.internal("resume").await;
    }
    harness.worker.rote.lock().leave = Some("resume");
    tokio::task::block_in_place(|| redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"])).unwrap();
    // Some ask twice: their first request was made before all subscriptions stood.
    let mut answered = HashSet::new();
    while answered.len() < clients.len() {
        let (request, _) = harness.worker.internal("resume").await;
        answered.insert(request.user);
        let missed = replayed(message(999, request.user.0, 1), &message_event(request.user.0));
        let replay = ReplayPage { events: vec![missed], next: None };
        harness.worker.reply(&request, &InternalReply::Resumed { auth_success: b"{}".to_vec(), replay }).await;
    }
    for (user, client) in (1..).zip(&mut clients) {
        assert_eq!(seqs(client, 1).await, [user]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_all_redis_data_closes_no_connection() {
    let (_scratch, mut redis) = start_redis();
    let mut harness = Harness::start_on(&redis.url(), &[]).await;
    let mut client = harness.login(1).await;
    tokio::task::block_in_place(|| redis.kill()).unwrap();
    let away = async { while harness.get("/ready").await.0 == 200 {} };
    tokio::time::timeout(SOON, away).await.expect("not ready without Redis");
    let refused = client.request(json!({"type": "get_user_groups"})).await.unwrap();
    assert_eq!(refused["code"], "SERVICE_UNAVAILABLE");
    assert!(refused["retryAfter"].is_u64());

    harness.worker.rote.lock().replay = [vec![replayed(message(2, 1, 1), &message_event(1))]].into();
    tokio::task::block_in_place(|| redis.restart_empty()).unwrap();
    harness.until_ready().await;
    // The subscriptions stand again, for old and new connections.
    assert_eq!(seqs(&mut client, 1).await, [1]);
    harness.worker.event(1, message(2, 1, 2), message_event(2)).await;
    assert_eq!(seqs(&mut client, 1).await, [2]);
    client.send(json!({"type": "get_user_groups"})).await.unwrap();
    let (envelope, _) = harness.worker.command().await;
    let presence = PresenceScripts::new(harness.worker.keys.clone());
    let registered = async {
        while presence.count_of(&harness.worker.redis, envelope.reply_to.gateway).await.unwrap() != 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, registered).await.expect("the session is registered again");
    client.close().await;
    let closed =
        async { while presence.count_of(&harness.worker.redis, envelope.reply_to.gateway).await.unwrap() != 0 {} };
    tokio::time::timeout(SOON, closed).await.expect("the session is taken away");
}
