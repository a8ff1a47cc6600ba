//! An attacker who can write to Redis but has no key: entries that they append or replay are not applied, and nothing
//! is lost. Also entries written by another version of the program, which are left for a worker that knows them.

use std::time::Duration;

use bytes::Bytes;
use fred::prelude::*;
use serde_json::json;
use shared::clock::Timestamp;
use shared::redis::dead_letters::DeadLetters;
use shared::stream::{Envelope, FIELD};
use shared::wire::{Wire, WireFormat};

use crate::harness::Harness;

async fn add(harness: &Harness, stream: &str, entry: Vec<u8>) {
    let _: String = harness.redis.xadd(stream, false, None, "*", vec![(FIELD, Bytes::from(entry))]).await.unwrap();
}

#[tokio::test]
async fn an_entry_that_is_added_again_for_another_user_is_not_applied() {
    let harness = Harness::start("forged").await;
    let [alice, bob, eve] = harness.users(["alice", "bob", "eve"]).await;
    harness.send(alice, bob, "a secret").await;
    let letters = DeadLetters::new(harness.redis.clone(), &harness.keys);
    // Unauthenticated: the sealed body of the attacker's own command, under an envelope that names another user.
    let unauthenticated = Wire::new((*harness.keyring).clone(), WireFormat::One);
    let mut prepared = harness.prepare(eve, &json!({"type": "send_message", "recipientId": bob, "content": "x"}));
    prepared.envelope = Envelope { user: alice, ..prepared.envelope };
    add(&harness, &prepared.stream, unauthenticated.entry("", &prepared.envelope, &prepared.body)).await;
    // An authenticated entry, in a stream that it was not written for.
    let moved = harness.prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": "moved"}));
    add(&harness, &moved.stream, harness.wire.entry("another stream", &moved.envelope, &moved.body)).await;
    let rejected = async {
        while letters.count().await.unwrap() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), rejected).await.expect("both rejected");
    assert_eq!(harness.send(alice, bob, "after").await["seq"], 2, "nothing else was stored");
    // The same entry twice is applied once.
    let prepared = harness.prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": "once"}));
    harness.append(&prepared).await;
    harness.append(&prepared).await;
    assert_eq!(harness.answer(prepared.envelope.id).await["seq"], 3);
    assert_eq!(harness.send(alice, bob, "last").await["seq"], 4);
}

#[tokio::test]
async fn nothing_overtakes_a_command_of_another_version() {
    let harness = Harness::start("toonew").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let letters = DeadLetters::new(harness.redis.clone(), &harness.keys);
    let mut newer = harness.prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": "x"}));
    newer.envelope.name = "send_a_hologram".to_owned();
    let deadline = Timestamp::now().plus(Duration::from_secs(2));
    newer.envelope.deadline = deadline;
    harness.append(&newer).await;
    let behind = harness.prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": "behind"}));
    harness.append(&behind).await;
    assert_eq!(harness.answer(behind.envelope.id).await["seq"], 1);
    assert!(Timestamp::now() > deadline, "it was overtaken");
    assert_eq!(letters.count().await.unwrap(), 1, "and it is kept");
}
