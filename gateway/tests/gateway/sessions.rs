//! Opening, renewing and ending sessions.

use std::time::Duration;

use bytes::Bytes;
use client::token::TokenBuilder;
use client::{Client, Error};
use fred::prelude::*;
use serde_json::json;
use shared::auth::LEEWAY_SECONDS;
use shared::clock::Timestamp;
use shared::ids::{ConnectionId, ConversationId, Epoch, UserId};
use shared::lifecycle::Lifecycle;
use shared::publication::Header;
use shared::redis::client::{EVENTS_CAPACITY, RedisOptions};
use shared::redis::presence::{PresenceScripts, UserSession};
use shared::stream::{Internal, Receipts};
use uuid::Uuid;

use crate::fake_worker::{message, message_event, replayed};
use crate::harness::{BRIEFLY, Harness, JWT_SECRET, SOON, redis_url, token};

#[tokio::test(flavor = "multi_thread")]
async fn the_server_greets_and_answers_signs_of_life() {
    let harness = Harness::start(&[]).await;
    let mut client = Client::connect(&harness.url).await.unwrap();
    let greeting = client.greeting().clone();
    assert!(greeting["clientId"].is_string() && greeting["requiresAuth"] == true && greeting["timestamp"].is_string());
    let pong = client.request(json!({"type": "ping"})).await.unwrap();
    assert!(pong["type"] == "pong" && pong["timestamp"].is_i64());
    let test = client.request(json!({"type": "test"})).await.unwrap();
    assert!(test["type"] == "test_response" && test["timestamp"].is_i64());
}

#[tokio::test(flavor = "multi_thread")]
async fn non_commands_get_their_error_before_and_after_login() {
    let harness = Harness::start(&[]).await;
    let mut stranger = Client::connect(&harness.url).await.unwrap();
    let mut member = harness.login(1).await;
    for client in [&mut stranger, &mut member] {
        for (text, code) in [
            ("{", "INVALID_JSON"),
            ("[]", "VALIDATION_ERROR"),
            (r#"{"type":7}"#, "VALIDATION_ERROR"),
            (r#"{"type":"ping","requestId":[]}"#, "VALIDATION_ERROR"),
            (r#"{"type":"nonsense","requestId":5}"#, "UNKNOWN_TYPE"),
        ] {
            client.send_text(text).await.unwrap();
            let error = client.expect("error", |_| true, SOON).await.unwrap();
            assert_eq!(error["code"], code, "{text}");
        }
        client.send_binary([1, 2, 3]).await.unwrap();
        let error = client.expect("error", |_| true, SOON).await.unwrap();
        assert_eq!(error["code"], "VALIDATION_ERROR");
    }
    let error = stranger.request(json!({"type": "send_message"})).await.unwrap();
    assert_eq!((&error["code"], &error["requiresAuth"]), (&json!("AUTH_REQUIRED"), &json!(true)));
    let error = member.request(json!({"type": "send_message", "content": "x"})).await.unwrap();
    assert_eq!((&error["code"], &error["field"]), (&json!("VALIDATION_ERROR"), &json!("recipientId")));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_tokens_get_their_codes_and_the_fifth_closes() {
    let harness = Harness::start(&[]).await;
    let mut client = Client::connect(&harness.url).await.unwrap();
    let expired = TokenBuilder::new(1, Duration::from_secs(60)).expires_in_seconds(-60).sign(JWT_SECRET).unwrap();
    for (fields, code) in [
        (json!({}), "TOKEN_MISSING"),
        (json!({"token": "nonsense"}), "TOKEN_INVALID"),
        (json!({"token": 5}), "TOKEN_INVALID"),
        (json!({"token": expired}), "TOKEN_EXPIRED"),
        (json!({"token": ""}), "TOKEN_MISSING"),
    ] {
        match client.authenticate_with(fields).await {
            Err(Error::Rejected(event)) => {
                assert_eq!((&event["type"], &event["code"]), (&json!("auth_error"), &json!(code)));
            }
            other => panic!("{other:?}"),
        }
    }
    let close = client.wait_closed(SOON).await.unwrap();
    assert_eq!(close.code, Some(1008));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_token_leaves_nothing_behind_and_another_may_follow() {
    let harness = Harness::start(&[]).await;
    harness.worker.rote.lock().refuse = Some("TOKEN_REVOKED");
    let mut client = Client::connect(&harness.url).await.unwrap();
    let refused = client.authenticate(&token(1)).await.unwrap_err();
    assert_eq!(refused.code(), Some("TOKEN_REVOKED"));
    let channel = harness.worker.keys.user_channel(UserId(1));
    until_unsubscribed(&harness, &channel).await;
    harness.worker.rote.lock().refuse = None;
    client.authenticate(&token(2)).await.unwrap();
    assert_eq!(client.user_id(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn login_without_workers_is_unavailable_and_not_counted() {
    let harness = Harness::start(&[]).await;
    harness.worker.rote.lock().silent = true;
    let mut client = Client::connect(&harness.url).await.unwrap();
    let refused = client.authenticate(&token(1)).await.unwrap_err();
    assert_eq!(refused.code(), Some("SERVICE_UNAVAILABLE"));
    assert!(refused.retry_after().is_some());
    harness.worker.rote.lock().silent = false;
    client.authenticate(&token(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_renewed_for_its_user_and_for_nobody_else() {
    let mut harness = Harness::start(&[]).await;
    let mut client = harness.login(1).await;
    harness.worker.internal("resume").await;
    let renewed = client.authenticate(&token(1)).await.unwrap();
    assert_eq!(renewed["renewed"], true);
    let (_, request) = harness.worker.internal("resume").await;
    assert!(matches!(request, Internal::Resume { renewal: true, .. }));
    let refused = client.authenticate(&token(2)).await.unwrap_err();
    assert_eq!(refused.code(), Some("VALIDATION_ERROR"));
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_unauthenticated_connections_are_closed() {
    let harness = Harness::start(&[("AUTH_TIMEOUT", "1s"), ("CONNECTION_TIMEOUT", "1500ms")]).await;
    let mut stranger = Client::connect(&harness.url).await.unwrap();
    let mut quiet = harness.login(1).await;
    let close = stranger.wait_closed(SOON).await.unwrap();
    assert_eq!((close.code, close.reason.as_str()), (Some(1008), "Authentication timeout"));
    let close = quiet.wait_closed(SOON).await.unwrap();
    assert_eq!((close.code, close.reason.as_str()), (Some(1000), "Connection timeout"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_ends_its_session() {
    let harness = Harness::start(&[]).await;
    // Long enough to log in, also on a busy machine.
    let mut lasts_seconds = 1;
    let (mut client, ends_at) = loop {
        let ends_at = Timestamp::now().plus(Duration::from_secs(lasts_seconds));
        let expires_in = lasts_seconds as i64 - LEEWAY_SECONDS;
        let token = TokenBuilder::new(1, Duration::from_secs(60)).expires_in_seconds(expires_in).sign(JWT_SECRET);
        match Client::login(&harness.url, &token.unwrap()).await {
            Ok(client) => break (client, ends_at),
            Err(error) => assert!(lasts_seconds < 60, "{error}"),
        }
        lasts_seconds *= 2;
    };
    let close = client.wait_closed(SOON + Duration::from_secs(lasts_seconds)).await.unwrap();
    assert_eq!((close.code, close.reason.as_str()), (Some(1008), "Token expired"));
    // Tokens count in whole seconds.
    assert!(Timestamp::now().0 >= ends_at.0 - 1_000, "too early");
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_keep_a_quiet_connection_alive_and_a_dead_one_is_closed() {
    let harness = Harness::start(&[("PING_INTERVAL", "500ms"), ("KEEP_ALIVE_TIMEOUT", "2s")]).await;
    let mut alive = harness.login(1).await;
    // A raw connection does not answer pings.
    let mut dead = harness.connect().open_raw().await.unwrap();
    let mut pings = 0;
    let code = loop {
        let frame = client::raw::read_frame(&mut dead).await.unwrap().expect("a close frame first");
        match frame.opcode() {
            8 => break frame.close_code(),
            9 => pings += 1,
            _ => {}
        }
    };
    assert_eq!(code, Some(1001));
    assert!(pings >= 2, "{pings}");
    assert!(alive.request(json!({"type": "ping"})).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_connection_replaces_the_older_if_so_configured() {
    let harness = Harness::start(&[("SINGLE_CONNECTION_PER_USER", "true")]).await;
    let mut older = harness.login(1).await;
    let mut newer = harness.login(1).await;
    older.expect("session_conflict", |_| true, SOON).await.unwrap();
    assert_eq!(older.wait_closed(SOON).await.unwrap().code, Some(1000));
    assert!(newer.request(json!({"type": "ping"})).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_while_the_replay_is_being_written() {
    let mut harness = Harness::start(&[]).await;
    harness.worker.rote.lock().replay =
        [vec![replayed(message(2, 1, 1), &message_event(1))], vec![replayed(message(2, 1, 2), &message_event(2))]]
            .into();
    harness.worker.rote.lock().leave = Some("replay");
    let mut client = harness.login(1).await;
    client.expect("new_message", |event| event["seq"] == 1, SOON).await.unwrap();
    harness.worker.internal("replay").await;
    assert!(client.request(json!({"type": "ping"})).await.is_ok());
    client.send(json!({"type": "get_user_groups"})).await.unwrap();
    harness.worker.command().await;
    client.expect_none("new_message", |_| true, BRIEFLY).await.unwrap();
}

/// As after a failover of Redis that lost as many openings as ends.
#[tokio::test(flavor = "multi_thread")]
async fn the_registry_is_put_right_even_if_its_number_is_right() {
    let mut harness = Harness::start(&[]).await;
    let mut client = harness.login(1).await;
    let (envelope, _) = harness.worker.internal("resume").await;
    let gateway = envelope.reply_to.gateway;
    let presence = PresenceScripts::new(harness.worker.keys.clone());
    let registered = async || presence.sessions_of(&harness.worker.redis, gateway).await.unwrap();
    let until_alone = async |user: i64| {
        let right = async {
            while !matches!(registered().await[..], [session] if session.user == UserId(user)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, right).await.expect("the registry is right");
    };
    until_alone(1).await;
    let real = registered().await;
    let ended = UserSession { user: UserId(2), connection: ConnectionId(99) };
    presence.open(&harness.worker.redis, gateway, &[ended]).await.unwrap();
    presence.close(&harness.worker.redis, gateway, &real, Duration::from_secs(60)).await.unwrap();
    until_alone(1).await;
    // A connection is open, but the session that a worker registered for it did not open.
    let mut stranger = Client::connect(&harness.url).await.unwrap();
    let unopened = UserSession { user: UserId(3), connection: ConnectionId(real[0].connection.0 + 1) };
    presence.open(&harness.worker.redis, gateway, &[unopened]).await.unwrap();
    until_alone(1).await;
    assert!(stranger.request(json!({"type": "ping"})).await.is_ok());
    assert!(client.request(json!({"type": "ping"})).await.is_ok());
}

/// A worker may register a session for a request of before at any time. It lists a gateway that is not listed, so that
/// the session ends, but cannot know of one that ends a moment later.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_ends_leaves_its_sessions_to_be_found() {
    let mut harness = Harness::start(&[]).await;
    let client = harness.login(1).await;
    let gateway = harness.worker.internal("resume").await.0.reply_to.gateway;
    let (redis, keys) = (harness.worker.redis.clone(), harness.worker.keys.clone());
    drop(client);
    harness.terminate().await;
    harness.ended().await.unwrap();
    let beat: Option<f64> = redis.zscore(keys.heartbeats("gateway"), gateway.to_string()).await.unwrap();
    let beat = beat.expect("workers look at it");
    assert!(beat < (Timestamp::now().0 - 5_000) as f64, "and nobody else takes it for alive");
}

/// Another gateway may not have noticed a restore yet: its numbers stand for other messages.
#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_another_gateway_count_in_their_epoch_only() {
    let mut harness = Harness::start(&[]).await;
    let (redis, keys) = (harness.worker.redis.clone(), harness.worker.keys.clone());
    let [epoch, earlier] = [1, 2].map(|n| Epoch(Uuid::from_u128(n)));
    let () = redis.set(keys.store_epoch(), epoch.0.simple().to_string(), None, None, false).await.unwrap();
    let _known = harness.login(1).await;
    for seq in 1.. {
        harness.worker.event(1, message(2, 1, seq), message_event(seq)).await;
        let (_, recorded) = harness.worker.internal("settle").await;
        if matches!(recorded, Internal::RecordReceiptsIn { epoch: of, .. } if of == epoch) {
            break;
        }
    }
    // The test plays the other gateway.
    let options = RedisOptions { url: redis_url().to_owned(), tls_ca: None, command_timeout: SOON };
    let subscriber = options.subscriber(EVENTS_CAPACITY, &Lifecycle::new(Duration::ZERO)).unwrap();
    let mut messages = subscriber.message_rx();
    let channel = keys.user_channel(UserId(3));
    subscriber.subscribe(channel.as_str()).await.unwrap();
    let conversation = ConversationId::direct(UserId(2), UserId(3));
    for (of, counts) in [(earlier, false), (epoch, true)] {
        let url = harness.url.clone();
        let opening = tokio::spawn(async move { Client::login(&url, &token(3)).await.unwrap() });
        let (by, request) = loop {
            let bytes = Bytes::from(messages.recv().await.unwrap().value.into_bytes().unwrap().to_vec());
            let (header, _) = harness.worker.wire.open_publication(&channel, &bytes).unwrap();
            if let Header::ReceiptsWanted { by, request } = header {
                break (by, request);
            }
        };
        let receipts = vec![Receipts { user: UserId(3), conversations: vec![(conversation, 9)], events: Vec::new() }];
        let payload = postcard::to_stdvec(&(&receipts, Some(of))).unwrap();
        harness.worker.publish_bytes(keys.gateway_channel(by), &Header::ReceiptsGiven { request }, &payload).await;
        let mut client = opening.await.unwrap();
        let (_, resumed) = harness.worker.internal("resume").await;
        let recorded = Internal::RecordReceiptsIn { epoch, receipts };
        let has_counted = matches!(&resumed, Internal::ResumeAfter { receipts, .. } if **receipts == recorded);
        assert_eq!(has_counted, counts, "{resumed:?}");
        client.close().await;
    }
}

pub async fn until_unsubscribed(harness: &Harness, channel: &str) {
    let gone = async {
        while harness.worker.subscribers(channel).await != 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, gone).await.unwrap_or_else(|_| panic!("{channel} has subscribers"));
}
