//! What one user has done, however much it is, costs others little: what statements touch in a database where somebody has
//! done a great deal, and what that holds up.

use std::time::Duration;

use serde_json::{Value, json};
use shared::ids::TokenId;
use shared::stream::{Internal, InternalReply, Receipts};
use uuid::Uuid;

use crate::groups::{create, text};
use crate::harness::Harness;
use crate::plans::{add_conversations, add_users, buffers, cost, rows_read, run};
use crate::sessions::resumed;
use crate::shared_events::{event_ids, receive};

async fn count(harness: &Harness, query: &str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&harness.db).await.unwrap()
}

#[tokio::test]
async fn a_conversation_keeps_its_newest_events() {
    let settings = [("WAITING_EVENTS_PER_USER", "100"), ("REPLAY_LIMIT", "50")];
    let harness = Harness::start_with("newest_events", &settings).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let group = create(&harness, alice, &[bob]).await;
    let message = harness.expect(alice, text(group, "x"), "group_message_sent").await["messageId"].clone();
    let stored = "SELECT count(*) FROM conversation_changes WHERE event_id IS NOT NULL";
    let mut most = 0;
    for number in 0..250 {
        let react = json!({"type": "add_group_reaction", "messageId": message, "reaction": number.to_string()});
        harness.expect(alice, react, "group_reaction_added").await;
        most = most.max(count(&harness, stored).await);
    }
    assert!((100..=111).contains(&most), "{most}");
    assert!(count(&harness, "SELECT count(*) FROM conversation_changes").await >= 250, "`sync` finds all changes");
    let (success, page) = resumed(&harness, bob, 1).await;
    assert_eq!(success["replayTruncated"], true, "{success}");
    assert!(page.events.len() >= 50, "{}", page.events.len());
    let last: Value = serde_json::from_slice(&page.events.last().unwrap().json).unwrap();
    assert_eq!(last["reaction"], "249");
    // All of those that are kept go with the message, but not that there were others.
    let delete = json!({"type": "delete_group_message", "messageId": message, "deleteForEveryone": true});
    harness.expect(alice, delete, "group_message_deleted").await;
    let (success, page) = resumed(&harness, bob, 1).await;
    assert_eq!(success["replayTruncated"], true, "{success}");
    receive(&harness, bob, &event_ids(&page)).await;
    let (success, _) = resumed(&harness, bob, 1).await;
    assert_ne!(success["replayTruncated"], true, "{success}");
}

#[tokio::test]
async fn deleting_a_message_reads_what_is_about_it() {
    let harness = Harness::start("delete_reads").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let [first, second] = [harness.send(alice, bob, "1").await, harness.send(alice, bob, "2").await];
    let id = |sent: &Value| sent["messageId"].as_str().unwrap().trim_start_matches("msg_").to_owned();
    let told = format!(
        "INSERT INTO conversation_changes (conversation_id, version, kind, event_id, actor_id, about, body)
         SELECT conversation_id, 1000 + n, 1, gen_random_uuid(), {bob}, CASE WHEN n % 2 = 0 THEN '{}' ELSE gen_random_uuid() END, ''
         FROM conversations, generate_series(1, 10000) n",
        id(&second)
    );
    run(&harness, &[&told, "UPDATE conversations SET version = 20000, told_version = 11000", "VACUUM ANALYZE"]).await;
    let before = cost(&harness).await.changes;
    let delete = json!({"type": "delete_message", "messageId": first["messageId"], "deleteForEveryone": true});
    harness.expect(alice, delete, "message_deleted").await;
    let read = cost(&harness).await.changes - before;
    assert!(read < 100, "{read}: 10,000 events are about others");
    let delete = json!({"type": "delete_message", "messageId": second["messageId"], "deleteForEveryone": true});
    harness.expect(alice, delete, "message_deleted").await;
    assert_eq!(count(&harness, "SELECT count(*) FROM conversation_changes WHERE about IS NOT NULL").await, 5_000);
}

#[tokio::test]
async fn a_sign_in_reads_little_of_what_its_user_wrote() {
    const LIMIT: u64 = 101;
    let harness = Harness::start("own_messages").await;
    let alice = harness.user("alice").await;
    add_users(&harness, 1).await;
    add_conversations(&harness, alice, 1).await;
    run(
        &harness,
        &[
            &format!(
                "INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, mac, key_id, created_at, version)
                 SELECT gen_random_uuid(), conversation_id, n, {alice}, sender_id, '', '', '', key_id, now(), n + 1
                 FROM private_messages, generate_series(2, 50000) n"
            ),
            "UPDATE conversations SET last_seq = 50000, message_count = 50000, version = 50001",
            "VACUUM ANALYZE",
        ],
    )
    .await;
    let arguments = format!("ARRAY[{alice}]::bigint[], {LIMIT}");
    let missed = buffers(&harness, "OVER (\n                       PARTITION BY m.user_id", &arguments).await;
    // Ten times the limit are looked at.
    assert!(missed < 200, "{missed}");
    // Others have hidden some, and this user half of what is looked at.
    run(
        &harness,
        &[
            "UPDATE private_messages SET sender_id = 1000",
            &format!(
                "INSERT INTO message_deletions (user_id, conversation_id, seq, message_id, version)
                 SELECT {alice}, conversation_id, seq, message_id, 1 FROM private_messages WHERE seq % 2 = 0
                 UNION ALL SELECT n, 'conv', n, gen_random_uuid(), 1 FROM generate_series(2000, 20000) n"
            ),
            "VACUUM FULL private_messages",
            "VACUUM ANALYZE",
        ],
    )
    .await;
    let missed = buffers(&harness, "OVER (\n                       PARTITION BY m.user_id", &arguments).await;
    assert!(missed < 1_000, "{missed}: 202 are looked up");
}

/// Stores as many events about nothing in each conversation, with ids in their order.
async fn add_events(harness: &Harness, events: u32, actor: &str) {
    let told = format!(
        "INSERT INTO conversation_changes (conversation_id, version, kind, event_id, actor_id, body)
         SELECT conversation_id, 100 + n, 2, (lpad(to_hex(now_ms), 12, '0') || lpad(to_hex(n), 8, '0') || left(md5(conversation_id), 12))::uuid, {actor}, ''
         FROM conversations, generate_series(1, {events}) n, (SELECT (extract(epoch FROM now()) * 1000)::bigint AS now_ms) t"
    );
    let counted = format!(
        "UPDATE conversations SET version = 100 + {events}, told_version = 100 + {events}, told_count = {events},
             told_at = now() - random() * interval '1 hour'"
    );
    run(harness, &[&told, &counted, "VACUUM ANALYZE"]).await;
}

#[tokio::test]
async fn a_sign_in_looks_at_few_of_many_conversations_events() {
    const LIMIT: u64 = 101;
    let harness = Harness::start_with("many_told", &[("REPLAY_LIMIT", "100")]).await;
    let alice = harness.user("alice").await;
    add_users(&harness, 200).await;
    add_conversations(&harness, alice, 200).await;
    run(&harness, &["UPDATE conversation_members SET delivered_seq = 1"]).await;
    add_events(&harness, 300, &alice.to_string()).await;
    let arguments = format!("ARRAY[{alice}]::bigint[], {LIMIT}, 16");
    let read = rows_read(&harness, "AS most_missed", &arguments, "conversation_changes").await;
    assert!(read <= 2 * 300 + 101 * 16, "{read}: all events of two conversations, and 16 of as many as the limit");
    let (success, page) = resumed(&harness, alice, 1).await;
    assert_eq!((page.events.len(), &success["replayTruncated"]), (0, &Value::Null), "all are her own");
    let other = "UPDATE conversation_changes SET actor_id = 1000 WHERE version = 400 AND conversation_id =
                     (SELECT conversation_id FROM conversations ORDER BY told_at DESC OFFSET 50 LIMIT 1)";
    run(&harness, &[other]).await;
    let (success, page) = resumed(&harness, alice, 1).await;
    assert_eq!((page.events.len(), &success["replayTruncated"]), (0, &json!(true)), "it is not looked at");
}

/// Versions are raised by messages, too, and the number of events says nothing of how many of them were missed.
#[tokio::test]
async fn few_events_in_busy_conversations_are_all_replayed() {
    let harness = Harness::start_with("busy_told", &[("REPLAY_LIMIT", "100")]).await;
    let alice = harness.user("alice").await;
    add_users(&harness, 60).await;
    add_conversations(&harness, alice, 60).await;
    run(&harness, &["UPDATE conversation_members SET delivered_seq = 1"]).await;
    add_events(&harness, 1, "1000").await;
    run(&harness, &["UPDATE conversations SET told_count = 1000, version = 1000, told_version = 1000"]).await;
    let (success, _) = resumed(&harness, alice, 1).await;
    assert_eq!((success["queuedEvents"].clone(), &success["replayTruncated"]), (json!(60), &Value::Null));
}

#[tokio::test]
async fn receipts_look_at_the_newest_events_before_them() {
    const MAX_LOOKED_AT: usize = 2_048;
    let harness = Harness::start("gap_reads").await;
    let alice = harness.user("alice").await;
    add_users(&harness, 1).await;
    add_conversations(&harness, alice, 1).await;
    add_events(&harness, 10_000, "1000").await;
    let told = "SELECT event_id FROM conversation_changes WHERE event_id IS NOT NULL ORDER BY version";
    let told: Vec<Uuid> = sqlx::query_scalar(told).fetch_all(&harness.db).await.unwrap();
    let arguments = format!("ARRAY[{alice}]::bigint[], ARRAY['{}']::uuid[], {MAX_LOOKED_AT}", told[9_999]);
    let read = rows_read(&harness, "c.looked_at", &arguments, "conversation_changes").await;
    assert!(read < 2_100, "{read}");
    let due = format!("SELECT count(*) FROM due_events WHERE user_id = {alice}");
    receive(&harness, alice, &told[9_999..]).await;
    assert_eq!(count(&harness, &due).await, 9_999);
    receive(&harness, alice, &told[8_000..9_999]).await;
    assert_eq!(count(&harness, &due).await, 8_000);
    for part in told[..8_000].chunks(1_000) {
        receive(&harness, alice, part).await;
    }
    let through = format!("SELECT delivered_version FROM conversation_members WHERE user_id = {alice}");
    assert_eq!(count(&harness, &through).await, 10_100);
}

#[tokio::test]
async fn blocks_and_names_are_found_by_an_index() {
    let harness = Harness::start("indexed").await;
    let alice = harness.user("alice").await;
    add_users(&harness, 5_000).await;
    let blocks = "INSERT INTO blocked_relationships (blocker_id, blocked_id)
                  SELECT 1000, n FROM generate_series(1001, 50000) n";
    run(&harness, &[blocks, "VACUUM ANALYZE"]).await;
    let blocked = buffers(&harness, "SELECT blocked_id, blocker_id FROM", &format!("ARRAY[{alice}]::bigint[]")).await;
    assert!(blocked < 20, "{blocked}");
    let taken = buffers(&harness, "lower(username) = lower($1)", "'U01234', '77777@EXAMPLE.org'").await;
    assert!(taken < 20, "{taken}");
}

#[tokio::test]
async fn a_user_blocks_so_many_users_and_no_more() {
    let harness = Harness::start_with("max_blocks", &[("BUILTIN_AUTH", "true")]).await;
    let alice = harness.user("alice").await;
    add_users(&harness, 3).await;
    let blocks = format!(
        "INSERT INTO blocked_relationships (blocker_id, blocked_id)
         SELECT {alice}, 1000 UNION ALL SELECT {alice}, n FROM generate_series(2001, 11998) n"
    );
    run(&harness, &[&blocks]).await;
    let block = |user: i64| json!({"type": "block_user", "userId": user});
    for user in [1_001, 1_001, 1_000] {
        harness.expect(alice, block(user), "user_blocked").await;
    }
    let refused = harness.expect(alice, block(1_002), "error").await;
    assert_eq!((&refused["code"], &refused["field"]), (&json!("PERMISSION_DENIED"), &json!("userId")), "{refused}");
    harness.expect(alice, json!({"type": "unblock_user", "userId": 1_000}), "user_unblocked").await;
    harness.expect(alice, block(1_002), "user_blocked").await;
}

#[tokio::test]
async fn recording_receipts_holds_up_no_sign_in() {
    let harness = Harness::start("receipts_apart").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.send(alice, bob, "hello").await;
    let conversation = shared::ids::ConversationId::direct(alice, bob);
    let mut blocking = harness.db.begin().await.unwrap();
    sqlx::query("SELECT FROM conversation_members FOR UPDATE").execute(&mut *blocking).await.unwrap();
    let receive = async || {
        let receipts = Receipts { user: bob, conversations: vec![(conversation, 1)], events: vec![Uuid::now_v7()] };
        harness.append(&harness.prepare_internal(bob, Internal::RecordReceipts { receipts: vec![receipts] })).await;
    };
    receive().await;
    harness
        .until(
            "SELECT count(*) >= 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
        )
        .await;
    for _ in 0..3 {
        receive().await;
    }
    let authenticate = Internal::Authenticate { token_id: TokenId("jti".to_owned()) };
    let reply = tokio::time::timeout(Duration::from_secs(10), harness.internal(alice, authenticate)).await;
    assert!(matches!(reply, Ok(InternalReply::Authenticated { .. })), "{reply:?}");
    harness.expect(alice, json!({"type": "get_conversations"}), "conversations").await;
    blocking.rollback().await.unwrap();
    harness.until(&format!("SELECT delivered_seq = 1 FROM conversation_members WHERE user_id = {bob}")).await;
}
