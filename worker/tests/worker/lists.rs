//! Lists of users who have very much of something.

use std::time::Duration;

use serde_json::{Value, json};
use shared::redis::keys::Channel;

use crate::groups::{create, text};
use crate::harness::{DEADLINE, Harness};

/// Of each conversation.
const HIDDEN: i64 = 50_000;

/// Adds messages from the sender of the newest one of each conversation, after it; in groups they mention everyone.
/// Alice hid them.
async fn add_hidden(harness: &Harness, alice: i64) {
    let script = format!(
        "INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, mac, key_id, created_at, mentions)
         SELECT gen_random_uuid(), conversation_id, s, sender_id, recipient_id, '', '', '', key_id, created_at,
             CASE WHEN recipient_id IS NULL THEN ARRAY[0] END
         FROM private_messages, generate_series(2, {HIDDEN} + 1) s;
         UPDATE conversations SET last_seq = {HIDDEN} + 1, message_count = {HIDDEN} + 1;
         INSERT INTO message_deletions (user_id, conversation_id, seq, message_id)
         SELECT {alice}, conversation_id, seq, message_id FROM private_messages WHERE seq > 1;
         VACUUM ANALYZE private_messages; ANALYZE"
    );
    for statement in script.split(';') {
        sqlx::raw_sql(statement).execute(&harness.db).await.unwrap();
    }
}

#[tokio::test]
async fn many_hidden_messages_do_not_slow_lists_down() {
    // For each statement.
    const MOST: &str = "4s";
    let harness = Harness::start_with("manyhidden", &[("DB_STATEMENT_TIMEOUT", MOST)]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let group = create(&harness, bob, &[alice]).await;
    harness.send(bob, alice, "first").await;
    harness.expect(bob, text(group, "first"), "group_message_sent").await;
    add_hidden(&harness, alice.0).await;
    harness.until_all_is_past().await;
    harness.expect(bob, text(group, "@everyone"), "group_message_sent").await;
    harness.send(bob, alice, "last").await;

    let began = tokio::time::Instant::now();
    let inbox = harness.expect(alice, json!({"type": "get_inbox"}), "inbox").await;
    println!("the inbox took {:?}", began.elapsed());
    let counts = |entry: &Value| (entry["unreadCount"].clone(), entry["unreadMentions"].clone());
    let entries = inbox["entries"].as_array().unwrap();
    let began = tokio::time::Instant::now();
    let listed = harness.expect(alice, json!({"type": "get_conversations"}), "conversations").await;
    println!("the conversations took {:?}", began.elapsed());
    // Unread messages older than the 5,000 that are looked at do not count.
    assert_eq!([counts(&entries[0]), counts(&entries[1])], [(json!(1), json!(0)), (json!(1), json!(1))], "{inbox}");
    assert_eq!((&inbox["totalUnread"], &listed["conversations"][0]["unreadCount"]), (&json!(2), &json!(1)));
}

/// Otherwise one query would hold its place for five times as long.
#[tokio::test]
async fn a_query_that_takes_too_long_is_not_tried_again() {
    const MOST: Duration = Duration::from_secs(2);
    let harness = Harness::start_with("tried_once", &[("DB_STATEMENT_TIMEOUT", "2s")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.send(alice, bob, "hello").await;
    let mut blocking = harness.db.begin().await.unwrap();
    sqlx::query("LOCK TABLE private_messages IN ACCESS EXCLUSIVE MODE").execute(&mut *blocking).await.unwrap();
    let began = tokio::time::Instant::now();
    let page = json!({"type": "get_private_messages", "recipientId": bob});
    harness.refused(alice, page, "SERVICE_UNAVAILABLE").await;
    let took = began.elapsed();
    println!("answered after {took:?}");
    assert!(took < 3 * MOST, "{took:?}");
    blocking.rollback().await.unwrap();
}

#[tokio::test]
async fn one_of_very_many_groups_is_announced_to_some_of_their_members() {
    // As many as `MAX_CONTACTS_OF_A_KIND`.
    const TOLD: usize = 5_000;
    let harness = Harness::start_with("verymanycontacts", &[("PRESENCE_SCOPE", "contacts")]).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    harness.send(bob, alice, "hello").await;
    let join = format!(
        "INSERT INTO conversation_members (user_id, conversation_id)
         SELECT u, 'group_' || g FROM generate_series(1, 20) g, generate_series(10000 + g * 1000, 10799 + g * 1000) u
         UNION ALL SELECT {alice}, 'group_' || g FROM generate_series(1, 20) g"
    );
    sqlx::raw_sql(&join).execute(&harness.db).await.unwrap();
    harness.block(alice, shared::ids::UserId(11_000)).await;
    harness.internal(alice, crate::sessions::resume(1)).await;
    let is_told = |event: &crate::harness::Published| event.json()["type"] == "user_online";
    harness
        .wait_for("the one she writes with is told", |event| event.channel == Channel::User(bob) && is_told(event))
        .await;
    let told = || harness.published().iter().filter(|event| is_told(event)).count();
    let all = async {
        while told() < TOLD - 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, all).await.expect("the others are told");
    // All are told together.
    harness.send(carol, bob, "after").await;
    assert!((TOLD - 1..=TOLD).contains(&told()), "{} of 16,001 contacts", told());
}
