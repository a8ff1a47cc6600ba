//! Messages that are kept for a time only: what goes, what stays, and what devices learn of it.

use serde_json::{Value, json};
use shared::ids::UserId;

use crate::groups::{create, text};
use crate::harness::Harness;

/// Makes messages of a conversation up to a number this old.
async fn age(harness: &Harness, conversation: &str, through: i64, days: i32) {
    sqlx::query(
        "UPDATE private_messages SET created_at = now() - make_interval(days => $3)
         WHERE conversation_id = $1 AND seq <= $2",
    )
    .bind(conversation)
    .bind(through)
    .bind(days)
    .execute(&harness.db)
    .await
    .unwrap();
}

/// Keeps the messages of a conversation for this long, or for good.
async fn keep(harness: &Harness, conversation: &str, seconds: Option<i64>) {
    sqlx::query("INSERT INTO conversation_retentions VALUES ($1, $2)")
        .bind(conversation)
        .bind(seconds)
        .execute(&harness.db)
        .await
        .unwrap();
}

async fn version(harness: &Harness, conversation: &str) -> i64 {
    sqlx::query_scalar("SELECT version FROM conversations WHERE conversation_id = $1")
        .bind(conversation)
        .fetch_one(&harness.db)
        .await
        .unwrap()
}

/// Up to where a device with these numbers is told that messages are gone, and which ones it gets.
async fn told(harness: &Harness, user: UserId, conversation: &str, position: Value) -> (Value, Vec<i64>) {
    let (series, _) = harness.sync(user, json!({conversation: position})).await;
    let of = |kind: &str| series.iter().find(|part| part["type"] == kind).cloned().unwrap_or_default();
    assert!(of("sync_changes")["stale"].is_null() && of("sync_gone").is_null(), "{series:?}");
    let messages = of("sync_messages");
    assert_ne!(messages["hasMore"], true);
    let seqs = messages["messages"].as_array().cloned().unwrap_or_default();
    (of("sync_changes")["hiddenThroughSeq"].clone(), seqs.iter().map(|one| one["seq"].as_i64().unwrap()).collect())
}

#[tokio::test]
async fn old_messages_go_and_devices_learn_of_it() {
    let mut harness = Harness::start("expiry").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let conversation = format!("conv_{alice}_{bob}");
    let first = harness.send(alice, bob, "1").await["messageId"].clone();
    for content in ["2", "3", "4", "5"] {
        harness.send(alice, bob, content).await;
    }
    let react = json!({"type": "add_reaction", "messageId": first, "emoji": "x"});
    harness.expect(bob, react, "reaction_added").await;
    let pin = json!({"type": "pin_message", "messageId": first, "conversationId": conversation});
    harness.expect(bob, pin, "message_pinned").await;
    let report = json!({"type": "report_message", "messageId": first, "reason": "spam"});
    harness.expect(bob, report, "message_reported").await;
    age(&harness, &conversation, 3, 40).await;
    let before = version(&harness, &conversation).await;
    // These are not touched: one is kept for good, the other is as old as the rest but not old enough.
    let group = create(&harness, alice, &[bob]).await.to_string();
    harness.expect(alice, text(group.parse().unwrap(), "kept"), "group_message_sent").await;
    age(&harness, &group, 9, 4_000).await;
    keep(&harness, &group, None).await;

    harness.set("RETENTION", "30d");
    harness.add_worker().await;
    harness.until("SELECT count(*) = 2 AND min(seq) = 4 FROM private_messages WHERE recipient_id IS NOT NULL").await;
    harness.until("SELECT NOT EXISTS (SELECT FROM message_reactions) AND EXISTS (SELECT FROM message_reports)").await;
    let page = json!({"type": "get_private_messages", "conversationId": conversation});
    let page = harness.expect(bob, page, "private_messages").await;
    assert_eq!((&page["total"], &page["hasMore"]), (&json!(2), &json!(false)));
    let seqs: Vec<i64> = page["messages"].as_array().unwrap().iter().map(|one| one["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, [4, 5]);
    let pinned = json!({"type": "get_pinned_messages", "conversationId": conversation});
    assert_eq!(harness.expect(bob, pinned, "pinned_messages").await["messages"], json!([]));
    let inbox = harness.expect(bob, json!({"type": "get_inbox"}), "inbox").await;
    let entry = inbox["entries"].as_array().unwrap().iter().find(|one| one["conversationId"] == conversation).unwrap();
    assert_eq!((&entry["unreadCount"], &entry["lastMessage"]["content"]), (&json!(2), &json!("5")), "{entry}");

    let now = version(&harness, &conversation).await;
    assert_eq!(now, before + 1);
    // A device that was away, one that has learnt of the version by a later message, and a new one.
    let away = told(&harness, bob, &conversation, json!({"seq": 5, "version": before})).await;
    assert_eq!(away, (json!(3), Vec::new()));
    let connected = told(&harness, bob, &conversation, json!({"seq": 5, "version": now})).await;
    assert_eq!(connected, (json!(3), Vec::new()));
    let new = told(&harness, bob, &conversation, json!({"seq": 0, "version": 1})).await;
    assert_eq!(new, (json!(3), vec![4, 5]));
    assert_eq!(told(&harness, bob, &conversation, json!(0)).await.1, [4, 5]);
    // Much later only what changed is told with it.
    sqlx::query("UPDATE conversations SET expired_at = now() - interval '8 days' WHERE expired_seq > 0")
        .execute(&harness.db)
        .await
        .unwrap();
    assert_eq!(told(&harness, bob, &conversation, json!({"seq": 5, "version": now})).await, (Value::Null, Vec::new()));
    assert_eq!(harness.send(alice, bob, "6").await["seq"], 6);
    assert_eq!(told(&harness, bob, &conversation, json!({"seq": 5, "version": now})).await, (json!(3), vec![6]));
    let group_page = json!({"type": "get_group_messages", "groupId": group});
    let group_page = harness.expect(bob, group_page, "group_messages").await;
    assert_eq!(group_page["messages"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_long_history_goes_in_parts_by_its_own_time() {
    let harness = Harness::without_worker("expiryparts", &[]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let conversation = format!("conv_{alice}_{bob}");
    // Sealed with a key that is not configured, so that the worker does not mistake them for its own.
    let fill = [
        format!(
            "INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, key_id, created_at)
             SELECT gen_random_uuid(), '{conversation}', n, {alice}, {bob}, '', '', 99, now() - (1810 - n) * interval '1 minute'
             FROM generate_series(1, 1800) AS n"
        ),
        format!(
            "INSERT INTO conversations (conversation_id, last_seq, message_count, version, last_message_at)
             VALUES ('{conversation}', 1800, 1800, 1801, now())"
        ),
    ];
    for statement in fill {
        sqlx::raw_sql(&statement).execute(&harness.db).await.unwrap();
    }
    // The first 1,749 are older than an hour.
    keep(&harness, &conversation, Some(3_600)).await;
    harness.add_worker().await;
    harness.until("SELECT count(*) BETWEEN 45 AND 51 FROM private_messages").await;
    let (count, stored, version, expired, first): (i64, i64, i64, i64, i64) = sqlx::query_as(
        "SELECT message_count, (SELECT count(*) FROM private_messages), version, expired_seq,
             (SELECT min(seq) FROM private_messages) FROM conversations",
    )
    .fetch_one(&harness.db)
    .await
    .unwrap();
    assert_eq!((count, expired), (stored, first - 1));
    assert_eq!(version, 1801 + 4, "four parts of at most 500");
}

#[tokio::test]
async fn a_conversation_whose_messages_are_all_gone_goes_on() {
    let mut harness = Harness::start("expiryall").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let conversation = format!("conv_{alice}_{bob}");
    harness.send(alice, bob, "1").await;
    age(&harness, &conversation, 1, 40).await;
    harness.set("RETENTION", "30d");
    harness.add_worker().await;
    harness.until("SELECT NOT EXISTS (SELECT FROM private_messages)").await;
    for request in ["get_inbox", "get_conversations"] {
        let answer = request.replace("get_", "");
        let list = harness.expect(bob, json!({"type": request}), &answer).await;
        let entries = if answer == "inbox" { &list["entries"] } else { &list["conversations"] };
        assert_eq!(entries, &json!([]), "{request}");
    }
    assert_eq!(harness.send(bob, alice, "2").await["seq"], 2);
    let inbox = harness.expect(alice, json!({"type": "get_inbox"}), "inbox").await;
    assert_eq!((&inbox["entries"][0]["unreadCount"], &inbox["totalUnread"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn tables_are_measured_once_a_day() {
    let harness = Harness::start("tablesizes").await;
    harness
        .until("SELECT count(*) FILTER (WHERE table_name = 'private_messages' AND bytes > 0) = 1 FROM table_sizes")
        .await;
    sqlx::query("UPDATE table_sizes SET bytes = 0").execute(&harness.db).await.unwrap();
    sqlx::query("INSERT INTO table_sizes VALUES (current_date - 401, 'x', 1, 1)").execute(&harness.db).await.unwrap();
    harness.add_worker().await;
    harness.until("SELECT min(measured_on) = current_date AND max(bytes) > 0 FROM table_sizes").await;
}
