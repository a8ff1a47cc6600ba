//! Dead letters and deadlines: a requeued command is applied once, and a late one is not applied.

use std::time::Duration;

use serde_json::json;
use shared::clock::Timestamp;
use shared::redis::dead_letters::{DeadLetter, DeadLetters};

use crate::harness::Harness;

#[tokio::test]
async fn a_dead_letter_requeued_twice_is_applied_once() {
    let harness = Harness::start("deadletters").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let letters = DeadLetters::new(harness.redis.clone(), &harness.keys);
    let mut prepared = harness.prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": "x"}));
    prepared.envelope.deadline = Timestamp(0);
    let letter = DeadLetter {
        entry: harness.wire.entry(&prepared.stream, &prepared.envelope, &prepared.body).into(),
        lane: prepared.stream.clone(),
        subject: None,
        reason: "\u{e9}".repeat(5_000),
        attempts: 5,
    };
    // As if the first attempt had been interrupted before it removed the letter.
    letters.insert(&letter).await.unwrap();
    letters.insert(&letter).await.unwrap();
    // A live worker creates the lane.
    harness.send(alice, bob, "before").await;
    let soon = Timestamp::now().plus(Duration::from_secs(60));
    for stored in letters.list(None, "+", 10).await.unwrap() {
        assert_eq!(stored.letter.envelope().unwrap(), prepared.envelope);
        assert!(stored.letter.reason.len() <= 1_000, "the reason is bounded");
        assert!(letters.requeue(&harness.wire, &stored, soon).await.unwrap());
    }
    assert_eq!(letters.count().await.unwrap(), 0);
    assert_eq!(harness.answer(prepared.envelope.id).await["seq"], 2);
    assert_eq!(harness.send(alice, bob, "after").await["seq"], 3);
}

#[tokio::test]
async fn a_dead_letter_of_a_lane_that_nobody_reads_stays() {
    let harness = Harness::without_worker("nolane", &[]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let letters = DeadLetters::new(harness.redis.clone(), &harness.keys);
    let prepared = harness.prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": "x"}));
    let lane = harness.keys.partition(9_999);
    let entry = harness.wire.entry(&lane, &prepared.envelope, &prepared.body).into();
    letters.insert(&DeadLetter { entry, lane, subject: None, reason: String::new(), attempts: 1 }).await.unwrap();
    let stored = letters.list(None, "+", 1).await.unwrap().remove(0);
    assert!(!letters.requeue(&harness.wire, &stored, Timestamp::now()).await.unwrap());
    assert_eq!(letters.find(&stored.id).await.unwrap(), Some(stored));
}

#[tokio::test]
async fn only_sends_are_applied_after_their_deadline() {
    let harness = Harness::start("latecommand").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let sent = harness.send(alice, bob, "x").await;
    let react = json!({"type": "add_reaction", "messageId": sent["messageId"], "reaction": "+"});
    let mut late = harness.prepare(alice, &react);
    late.envelope.deadline = Timestamp(Timestamp::now().0 - 1);
    harness.append(&late).await;
    let answer = harness.answer(late.envelope.id).await;
    assert_eq!(answer["code"], "SERVICE_UNAVAILABLE");
    assert!(answer["retryAfter"].as_i64().unwrap() > 0);
    let reactions = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM message_reactions");
    assert_eq!(reactions.fetch_one(&harness.db).await.unwrap(), 0);
}
