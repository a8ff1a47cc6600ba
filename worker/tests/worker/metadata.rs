//! Metadata of messages and groups: shown in every form of them, sealed where they are kept.

use serde_json::{Value, json};
use shared::ids::UserId;
use shared::redis::keys::Channel;

use crate::harness::Harness;

fn send(to: UserId, metadata: &Value) -> Value {
    json!({"type": "send_private_message", "recipientId": to, "content": "hello", "metadata": metadata})
}

/// All that a user can see of the one message of a conversation.
async fn forms(harness: &Harness, user: UserId, other: UserId) -> Vec<(&'static str, Value)> {
    let history = json!({"type": "get_private_messages", "recipientId": other});
    let history = harness.expect(user, history, "private_messages").await;
    let started = json!({"type": "start_conversation", "recipientId": other});
    let started = harness.expect(user, started, "conversation_started").await;
    let inbox = harness.expect(user, json!({"type": "get_inbox"}), "inbox").await;
    let conversations = harness.expect(user, json!({"type": "get_conversations"}), "conversations").await;
    let id = history["conversationId"].clone();
    let pinned = json!({"type": "get_pinned_messages", "conversationId": id});
    let pinned = harness.expect(user, pinned, "pinned_messages").await;
    let (synced, _) = harness.sync(user, json!({id.as_str().unwrap(): {"seq": 0, "version": 1}})).await;
    let synced = synced.iter().find(|event| event["type"] == "sync_messages").cloned().unwrap_or_default();
    vec![
        ("history", history["messages"][0]["metadata"].clone()),
        ("start", started["messages"][0]["metadata"].clone()),
        ("inbox", inbox["entries"][0]["lastMessage"]["metadata"].clone()),
        ("conversations", conversations["conversations"][0]["lastMessage"]["metadata"].clone()),
        ("pins", pinned["messages"][0]["metadata"].clone()),
        ("sync", synced["messages"][0]["metadata"].clone()),
    ]
}

async fn assert_shown(harness: &Harness, user: UserId, other: UserId, expected: &Value) {
    // Once from the database, and once from the window that this made.
    for _ in 0..2 {
        for (form, shown) in forms(harness, user, other).await {
            assert_eq!(shown, *expected, "{form}");
        }
    }
}

#[tokio::test]
async fn every_form_of_a_message_has_its_metadata() {
    let harness = Harness::start("metadata").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let first = json!({"orderId": 4711, "tags": ["new", null], "nested": {"deep": [{"x": "é"}]}});
    let sent = harness.expect(alice, send(bob, &first), "message_sent").await;
    assert_eq!(sent["metadata"], first);
    let live = harness.event(Channel::User(bob), "new_message").await;
    assert_eq!(live["metadata"], first);
    let pin = json!({"type": "pin_message", "messageId": sent["messageId"], "conversationId": sent["conversationId"]});
    harness.expect(alice, pin, "message_pinned").await;
    assert_shown(&harness, bob, alice, &first).await;

    let edit = |fields: Value| {
        let mut edit = json!({"type": "edit_message", "messageId": sent["messageId"], "content": "hello again"});
        edit.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        edit
    };
    let second = json!({"orderId": 4712});
    for (fields, expected) in [
        (json!({}), first),
        (json!({"metadata": second}), second.clone()),
        (json!({"content": "third", "metadata": null}), Value::Null),
    ] {
        let edited = harness.expect(alice, edit(fields.clone()), "message_edited").await;
        assert_eq!(edited.get("metadata").cloned().unwrap_or_default(), expected, "{fields}");
        assert_shown(&harness, bob, alice, &expected).await;
    }
    let events = harness.events(Channel::User(bob), "message_edited");
    let told: Vec<Value> = events.iter().map(|event| event.get("metadata").cloned().unwrap_or_default()).collect();
    assert_eq!(
        told,
        [json!({"orderId": 4711, "tags": ["new", null], "nested": {"deep": [{"x": "é"}]}}), second, json!(null)]
    );
}

#[tokio::test]
async fn groups_and_their_messages_have_metadata() {
    let harness = Harness::start("metadatagroup").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let first = json!({"room": "blue"});
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob], "metadata": first});
    let created = harness.expect(alice, create, "group_created").await;
    assert_eq!((&created["metadata"], &created["group"]["metadata"]), (&first, &first));
    let group = created["groupId"].clone();
    let about = |kind: &str| json!({"type": kind, "groupId": group});
    let info = |answer: Value| answer.get("metadata").cloned().unwrap_or_default();

    let second = json!({"room": "red", "floor": 2});
    for (change, expected) in [
        (json!({"groupName": "h"}), first),
        (json!({"metadata": second}), second),
        (json!({"metadata": null}), Value::Null),
    ] {
        let mut update = about("update_group_info");
        update.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let updated = harness.expect(alice, update, "group_info_updated").await;
        assert_eq!(info(updated), expected, "{change}");
        assert_eq!(info(harness.expect(bob, about("get_group_info"), "group_info").await), expected);
        let groups = harness.expect(bob, json!({"type": "get_user_groups"}), "user_groups").await;
        assert_eq!(info(groups["groups"][0].clone()), expected);
        let inbox = harness.expect(bob, json!({"type": "get_inbox"}), "inbox").await;
        assert_eq!(info(inbox["entries"][0].clone()), expected);
        let (synced, _) = harness.sync(bob, json!({group.as_str().unwrap(): {"seq": 0, "version": 1}})).await;
        let changes = synced.iter().find(|event| event["type"] == "sync_changes").unwrap();
        assert_eq!(info(changes["info"].clone()), expected, "{changes}");
    }

    let with =
        |kind: &str, metadata: Value| json!({"type": kind, "groupId": group, "content": "@bob", "metadata": metadata});
    let said = harness.expect(alice, with("send_group_message", json!({"n": 1})), "group_message_sent").await;
    let announced = harness.expect(alice, with("send_announcement", json!({"n": 2})), "announcement_sent").await;
    assert_eq!((&said["metadata"], &announced["metadata"]), (&json!({"n": 1}), &json!({"n": 2})));
    let mentioned = harness.event(Channel::User(bob), "mentioned_in_group").await;
    assert_eq!(mentioned["message"]["metadata"], json!({"n": 1}));
    let edit =
        json!({"type": "edit_group_message", "messageId": said["messageId"], "content": "x", "metadata": {"n": 3}});
    assert_eq!(harness.expect(alice, edit, "group_message_edited").await["metadata"], json!({"n": 3}));
    let page = harness.expect(bob, about("get_group_messages"), "group_messages").await;
    let shown: Vec<&Value> = page["messages"].as_array().unwrap().iter().map(|message| &message["metadata"]).collect();
    assert_eq!(shown, [&json!({"n": 3}), &json!({"n": 2})]);
}

#[tokio::test]
async fn a_batch_puts_metadata_to_its_own_messages() {
    let harness = Harness::without_worker("metadatabatch", &[]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let mut commands = Vec::new();
    for n in 0..6 {
        let metadata = if [1, 4].contains(&n) { json!({"n": n}) } else { Value::Null };
        let prepared = harness.prepare(alice, &send(bob, &metadata));
        harness.append(&prepared).await;
        commands.push((prepared.envelope.id, metadata));
    }
    harness.add_worker().await;
    for (id, _) in &commands {
        assert_eq!(harness.answer(*id).await["type"], "message_sent");
    }
    let history = json!({"type": "get_private_messages", "recipientId": alice});
    let page = harness.expect(bob, history, "private_messages").await;
    let shown: Vec<Value> =
        page["messages"].as_array().unwrap().iter().map(|m| m.get("metadata").cloned().unwrap_or_default()).collect();
    assert_eq!(shown, commands.into_iter().map(|(_, metadata)| metadata).collect::<Vec<_>>());
}

#[tokio::test]
async fn metadata_is_nowhere_in_the_clear() {
    const WORD: &str = "metadatasword";
    let harness = Harness::start("metadatasealed").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.expect(alice, send(bob, &json!({"k": WORD})), "message_sent").await;
    let create = json!({"type": "create_group", "groupName": "g", "metadata": {"k": WORD}});
    harness.expect(alice, create, "group_created").await;
    let history = json!({"type": "get_private_messages", "recipientId": alice});
    harness.expect(bob, history, "private_messages").await;
    for table in ["private_messages", "group_chats"] {
        let rows =
            format!("SELECT count(metadata) = 1 AND bool_and(position('{WORD}'::bytea IN metadata) = 0) FROM {table}");
        assert!(sqlx::query_scalar::<_, bool>(&rows).fetch_one(&harness.db).await.unwrap(), "{table}");
    }
}
