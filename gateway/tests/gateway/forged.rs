//! An attacker who can write to Redis but has no key: what they publish is not delivered and opens nothing. Also
//! publications of another version of the program, which make sessions catch up.

use bytes::Bytes;
use fred::prelude::*;
use serde_json::json;
use shared::crypto::{EncryptionSettings, Keyring};
use shared::ids::UserId;
use shared::publication::{EventHeader, Header, Receipt};
use shared::stream::{Internal, InternalReply};
use shared::wire::{Wire, WireFormat};

use crate::fake_worker::{message, message_event, replayed};
use crate::harness::{BRIEFLY, Harness, SOON, exchange};

/// The wires available without the key: format 1, and format 2 under the attacker's own key.
fn forgers() -> [Wire; 2] {
    let keyring = Keyring::derive(&EncryptionSettings::single("a key of one's own", "elitescore-chat")).unwrap();
    [WireFormat::One, WireFormat::Two].map(|format| Wire::new(keyring.clone(), format))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_reply_makes_no_gateway_sign_a_token() {
    let mut harness = Harness::start(&[("BUILTIN_AUTH", "true")]).await;
    harness.worker.rote.lock().leave = Some("http");
    let url = harness.url.clone();
    let body = r#"{"username":"eve","password":"guess"}"#;
    let request = format!(
        "POST /api/auth/login HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = tokio::spawn(async move { exchange(&url, &request).await });
    let (envelope, _) = harness.worker.internal("http").await;
    let channel = harness.worker.keys.gateway_channel(envelope.reply_to.gateway);
    let forged = InternalReply::SignedIn { user: UserId(1), profile: b"{\"userId\":\"1\"}".to_vec() };
    let payload = postcard::to_stdvec(&forged).unwrap();
    let header = Header::Internal { command: envelope.id };
    for forger in forgers() {
        let publication = Bytes::from(forger.publication(&channel, &header, &payload));
        let _: i64 = harness.worker.redis.publish(channel.as_str(), publication).await.unwrap();
    }
    // A real publication that was meant for another channel.
    let elsewhere = harness.worker.keys.user_channel(UserId(1));
    let moved = Bytes::from(harness.worker.wire.publication(&elsewhere, &header, &payload));
    let _: i64 = harness.worker.redis.publish(channel.as_str(), moved).await.unwrap();
    let honest = InternalReply::Http { status: 401, json: b"{\"status\":\"error\"}".to_vec() };
    harness.worker.reply(&envelope, &honest).await;
    let (status, _, body) = answer.await.unwrap();
    assert_eq!(status, 401, "{}", String::from_utf8_lossy(&body));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_event_reaches_nobody() {
    let mut harness = Harness::start(&[]).await;
    let mut client = harness.login(1).await;
    harness.worker.internal("resume").await;
    let channel = harness.worker.keys.user_channel(UserId(1));
    let header = Header::Event(EventHeader::new(Receipt::None));
    let payload = json!({"type": "new_message", "seq": 99}).to_string();
    for forger in forgers() {
        let publication = Bytes::from(forger.publication(&channel, &header, payload.as_bytes()));
        let _: i64 = harness.worker.redis.publish(channel.as_str(), publication).await.unwrap();
    }
    let kicked = Bytes::from(forgers()[0].publication(&channel, &Header::Kicked, &[]));
    let _: i64 = harness.worker.redis.publish(channel.as_str(), kicked).await.unwrap();
    harness.worker.event(1, message(2, 1, 1), message_event(1)).await;
    let event = client.expect("new_message", |_| true, SOON).await.unwrap();
    assert_eq!(event["seq"], 1);
    client.expect_none("new_message", |_| true, BRIEFLY).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_of_another_version_makes_the_session_catch_up() {
    let mut harness = Harness::start(&[]).await;
    let mut client = harness.login(1).await;
    harness.worker.internal("resume").await;
    harness.worker.rote.lock().replay.push_back(vec![replayed(message(2, 1, 1), &message_event(1))]);
    let channel = harness.worker.keys.user_channel(UserId(1));
    let publication = Bytes::from(harness.worker.wire.unknown_publication(&channel));
    let _: i64 = harness.worker.redis.publish(channel, publication).await.unwrap();
    let (_, request) = harness.worker.internal("resume").await;
    assert!(matches!(request, Internal::Resume { .. }));
    assert_eq!(client.expect("new_message", |_| true, SOON).await.unwrap()["seq"], 1);
}
