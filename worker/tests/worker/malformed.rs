//! Rows of the original database without a valid conversation id: they do not affect any others.

use serde_json::{Value, json};

use crate::groups::{create, text};
use crate::harness::Harness;
use crate::sessions::resumed;

/// A group and a direct conversation of the users 1 and 2, the most recently active ones, with ids that do not parse.
const MALFORMED: [&str; 7] = [
    "INSERT INTO conversations (conversation_id, last_seq, message_count, last_message_at, version, told_version, told_at)
     SELECT id, 1, 1, now() + interval '1 hour', 2, 2, now() + interval '1 hour'
     FROM unnest(ARRAY['group_of_seven', 'conv_1_two']) AS id",
    "INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, key_id, created_at, version)
     VALUES (gen_random_uuid(), 'group_of_seven', 1, 1, NULL, '', '', 1, now(), 1),
            (gen_random_uuid(), 'conv_1_two', 1, 1, 2, '', '', 1, now(), 1)",
    "INSERT INTO conversation_changes (conversation_id, version, kind, event_id, body)
     VALUES ('group_of_seven', 2, 2, gen_random_uuid(), ''), ('conv_1_two', 2, 2, gen_random_uuid(), '')",
    "INSERT INTO group_chats (group_id, name, created_by, max_members) VALUES ('group_of_seven', 'Seven', 1, 100)",
    "INSERT INTO group_members (group_id, user_id, role) VALUES ('group_of_seven', 1, 'owner'), ('group_of_seven', 2, 'member')",
    "INSERT INTO conversation_members (user_id, conversation_id)
     SELECT 2, id FROM unnest(ARRAY['group_of_seven', 'conv_1_two']) AS id",
    "UPDATE conversation_members SET delivered_version = 0 WHERE conversation_id IN ('group_of_seven', 'conv_1_two')",
];

async fn insert_malformed(harness: &Harness) {
    for statement in MALFORMED {
        sqlx::query(statement).execute(&harness.db).await.unwrap();
    }
}

#[tokio::test]
async fn replay_and_lists_show_the_others() {
    let harness = Harness::start("malformed").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    assert_eq!((alice.0, bob.0), (1, 2), "the rows below are theirs");
    let group = create(&harness, alice, &[bob]).await;
    harness.expect(alice, text(group, "to all"), "group_message_sent").await;
    harness.send(alice, bob, "from alice").await;
    harness.send(carol, bob, "from carol").await;
    insert_malformed(&harness).await;

    let (_, replay) = resumed(&harness, bob, 1).await;
    let contents: Vec<Value> = replay
        .events
        .iter()
        .map(|event| serde_json::from_slice::<Value>(&event.json).unwrap()["content"].clone())
        .collect();
    // First comes the event of bob's membership, which has no content.
    assert_eq!(contents, [json!(null), json!("to all"), json!("from alice"), json!("from carol")]);
    // A message and an event for each of the two.
    assert_eq!(harness.unreadable_rows(), 4);

    let expected = [format!("conv_{bob}_{carol}"), format!("conv_{alice}_{bob}"), group.to_string()];
    // Rows that are left out at the top of a page are not the end of the list.
    for limit in [1, 2, 50] {
        let (mut listed, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let part = json!({"type": "get_inbox", "limit": limit, "cursor": cursor});
            let part = harness.expect(bob, part, "inbox").await;
            let ids = part["entries"].as_array().unwrap().iter().map(|entry| entry["conversationId"].clone());
            listed.extend(ids.map(|id| id.as_str().unwrap().to_owned()));
            match part.get("nextCursor") {
                Some(next) => cursor = next.clone(),
                None => break,
            }
        }
        assert_eq!(listed, expected, "{limit} at a time");
    }
    let conversations = harness.expect(bob, json!({"type": "get_conversations"}), "conversations").await;
    assert_eq!(conversations["conversations"].as_array().unwrap().len(), 2, "{conversations}");
    let groups = harness.expect(bob, json!({"type": "get_user_groups"}), "user_groups").await;
    assert_eq!(groups["groups"].as_array().unwrap().len(), 1, "{groups}");
    assert_eq!(groups["groups"][0]["groupId"], json!(group));
}

#[tokio::test]
async fn what_was_deleted_is_purged_whatever_its_id() {
    let harness = Harness::start("oddpurge").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let group = create(&harness, alice, &[bob]).await;
    harness.expect(alice, text(group, "x"), "group_message_sent").await;
    harness.send(alice, bob, "y").await;
    insert_malformed(&harness).await;
    for statement in [
        "UPDATE group_chats SET deleted_at = now() - interval '1 year' WHERE group_id = 'group_of_seven'",
        "UPDATE group_chats SET deleted_at = now() - interval '40 days' WHERE deleted_at IS NULL",
        "INSERT INTO conversation_purges (conversation_id, up_to_seq, since) VALUES ('conv_1_two', 1, now() - interval '1 year')",
        "INSERT INTO conversation_purges (conversation_id, up_to_seq)
         SELECT conversation_id, last_seq FROM conversations WHERE conversation_id = 'conv_1_2'",
    ] {
        sqlx::query(statement).execute(&harness.db).await.unwrap();
    }
    harness
        .until(
            "SELECT NOT EXISTS (SELECT FROM group_chats) AND NOT EXISTS (SELECT FROM group_members)
                 AND NOT EXISTS (SELECT FROM private_messages) AND NOT EXISTS (SELECT FROM conversation_purges)",
        )
        .await;
}
