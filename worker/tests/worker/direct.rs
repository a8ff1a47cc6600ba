//! Whole direct conversations: opening, listing, typing in, syncing and deleting them.

use std::time::{Duration, Instant};

use fred::prelude::*;
use serde_json::{Value, json};
use shared::ids::UserId;
use shared::redis::keys::Channel;

use crate::harness::{Harness, Published, without_timestamp};

fn contents(messages: &Value) -> Vec<String> {
    let content = |message: &Value| message["content"].as_str().unwrap().to_owned();
    messages.as_array().unwrap().iter().map(content).collect()
}

fn conversation(a: UserId, b: UserId) -> String {
    format!("conv_{}_{}", a.min(b), a.max(b))
}

async fn list(harness: &Harness, user: UserId) -> Vec<Value> {
    let answer = harness.expect(user, json!({"type": "get_conversations"}), "conversations").await;
    answer["conversations"].as_array().unwrap().clone()
}

async fn history(harness: &Harness, user: UserId, other: UserId) -> Value {
    harness.expect(user, json!({"type": "get_messages", "recipientId": other}), "private_messages").await
}

#[tokio::test]
async fn starting_shows_the_counterpart_and_the_last_messages() {
    let harness = Harness::start("start").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    sqlx::query("INSERT INTO user_profile_info (user_id, display_name) VALUES ($1, 'Bob B.')")
        .bind(bob.0)
        .execute(&harness.db)
        .await
        .unwrap();
    for i in 1..=51 {
        harness.send(alice, bob, &format!("{i}")).await;
    }
    let start = |user: UserId| json!({"type": "start_conversation", "recipientId": user});
    let started = harness.expect(alice, start(bob), "conversation_started").await;
    assert_eq!(started["conversationId"], conversation(alice, bob));
    let counterpart = json!({"userId": bob, "username": "bob", "displayName": "Bob B."});
    assert_eq!((&started["recipient"], &started["participant"]), (&counterpart, &counterpart));
    assert_eq!(contents(&started["messages"]), (2..=51).map(|i| i.to_string()).collect::<Vec<_>>());
    assert_eq!(started["warning"], "NOT_FOLLOWING");

    harness.follow(alice, carol).await;
    let started = harness.expect(alice, start(carol), "conversation_started").await;
    assert_eq!((&started["messages"], started.get("warning")), (&json!([]), None));
    assert_eq!(started["participant"]["displayName"], "carol");
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM conversations").fetch_one(&harness.db).await.unwrap();
    assert_eq!(rows, 1, "starting stores nothing");

    assert_eq!(harness.refused(alice, start(UserId(9999)), "RESOURCE_NOT_FOUND").await["field"], "recipientId");
    harness.block(carol, alice).await;
    for (one, other) in [(alice, carol), (carol, alice)] {
        assert_eq!(harness.refused(one, start(other), "USER_BLOCKED").await["field"], "recipientId");
    }
}

#[tokio::test]
async fn starting_with_somebody_not_followed_can_be_refused() {
    let harness = Harness::start_with("startenforce", &[("FOLLOW_POLICY", "enforce")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let start = json!({"type": "start_conversation", "recipientId": bob});
    harness.refused(alice, start.clone(), "NOT_FOLLOWING").await;
    harness.follow(alice, bob).await;
    harness.expect(alice, start, "conversation_started").await;
}

#[tokio::test]
async fn the_list_has_the_newest_visible_message_and_what_is_unread() {
    let harness = Harness::start("list").await;
    let [alice, bob, carol, dave] = harness.users(["alice", "bob", "carol", "dave"]).await;
    assert!(list(&harness, alice).await.is_empty());
    harness.send(bob, alice, "b1").await;
    let second = harness.send(bob, alice, "b2").await;
    let own = harness.send(alice, bob, "a1").await;
    harness.until_all_is_past().await;
    harness.send(dave, alice, "d1").await;
    harness.until_all_is_past().await;
    let last = harness.send(alice, carol, "c1").await;
    harness.send(dave, bob, "none of hers").await;

    let listed = list(&harness, alice).await;
    let names: Vec<_> = listed.iter().map(|line| line["participant"]["username"].as_str().unwrap()).collect();
    assert_eq!(names, ["carol", "dave", "bob"]);
    assert_eq!(
        listed[0],
        json!({
            "conversationId": conversation(alice, carol),
            "participant": {"userId": carol, "username": "carol", "displayName": "carol"},
            "lastMessage": {
                "id": last["messageId"], "content": "c1", "senderId": alice, "timestamp": last["createdAt"],
            },
            "unreadCount": 0,
        })
    );
    assert_eq!((&listed[1]["unreadCount"], &listed[2]["unreadCount"]), (&json!(1), &json!(2)));
    assert_eq!(listed[2]["lastMessage"]["content"], "a1");

    harness.expect(alice, json!({"type": "mark_message_read", "messageId": second["messageId"]}), "message_read").await;
    let hide = json!({"type": "delete_message", "messageId": own["messageId"], "deleteForEveryone": false});
    harness.expect(alice, hide, "message_deleted").await;
    harness.expect(alice, json!({"type": "delete_message", "messageId": last["messageId"]}), "message_deleted").await;
    let listed = list(&harness, alice).await;
    assert_eq!(listed.len(), 2, "nothing is left to see of carol's");
    assert_eq!((&listed[1]["unreadCount"], &listed[1]["lastMessage"]["content"]), (&json!(0), &json!("b2")));

    let page =
        harness.expect(alice, json!({"type": "get_conversations", "limit": 1, "offset": 1}), "conversations").await;
    assert_eq!(page["conversations"][0]["participant"]["username"], "bob");
    assert_eq!(page["pagination"], json!({"limit": 1, "offset": 1, "count": 1, "hasMore": false}));
}

#[tokio::test]
async fn deleted_for_oneself_it_is_hidden_until_the_next_message() {
    let harness = Harness::start("clear").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let first = harness.send(bob, alice, "old").await;
    let delete = json!({"type": "delete_conversation", "conversationId": conversation(bob, alice)});
    let deleted = harness.expect(alice, delete, "conversation_deleted").await;
    assert_eq!((&deleted["deleteForEveryone"], deleted.get("eventId")), (&json!(false), None));
    let own = harness.event(Channel::User(alice), "conversation_deleted").await;
    assert_eq!(own["conversationId"], conversation(alice, bob));
    assert!(harness.events(Channel::User(bob), "conversation_deleted").is_empty());

    assert!(list(&harness, alice).await.is_empty());
    assert_eq!(history(&harness, alice, bob).await["total"], 0);
    let read = json!({"type": "mark_message_read", "messageId": first["messageId"]});
    harness.refused(alice, read, "RESOURCE_NOT_FOUND").await;
    assert_eq!(contents(&history(&harness, bob, alice).await["messages"]), ["old"]);

    let reply = json!({
        "type": "send_message", "recipientId": alice, "content": "new", "replyToMessageId": first["messageId"],
    });
    harness.expect(bob, reply, "message_sent").await;
    let page = history(&harness, alice, bob).await;
    assert_eq!((contents(&page["messages"]), &page["total"]), (vec!["new".to_owned()], &json!(1)));
    assert_eq!(page["messages"][0].get("replyTo"), None, "a preview would show a hidden message");
    assert_eq!(page["messages"][0]["replyToMessageId"], first["messageId"]);
    assert_eq!(history(&harness, bob, alice).await["messages"][1]["replyTo"]["content"], "old");
    let listed = list(&harness, alice).await;
    assert_eq!((&listed[0]["unreadCount"], &listed[0]["lastMessage"]["content"]), (&json!(1), &json!("new")));
}

#[tokio::test]
async fn seqs_go_on_after_a_deletion_for_everyone() {
    let harness = Harness::start("deleteall").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let first = harness.prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": "one"}));
    harness.append(&first).await;
    let sent = harness.answer(first.envelope.id).await;
    let second = harness.send(bob, alice, "two").await;
    harness
        .expect(bob, json!({"type": "add_reaction", "messageId": sent["messageId"], "emoji": "👍"}), "reaction_added")
        .await;
    let hide = json!({"type": "delete_message", "messageId": second["messageId"], "deleteForEveryone": false});
    harness.expect(alice, hide, "message_deleted").await;
    harness.send(alice, carol, "stays").await;
    history(&harness, alice, bob).await;

    let delete =
        |a, b| json!({"type": "delete_conversation", "conversationId": conversation(a, b), "deleteForEveryone": true});
    for (user, named) in [(carol, delete(alice, bob)), (alice, delete(alice, UserId(999))), (bob, delete(bob, carol))] {
        assert_eq!(harness.refused(user, named, "RESOURCE_NOT_FOUND").await["field"], "conversationId");
    }
    let deleted = harness.expect(bob, delete(alice, bob), "conversation_deleted").await;
    assert_eq!(deleted["deleteForEveryone"], true);
    let told = harness.event(Channel::User(alice), "conversation_deleted").await;
    assert_eq!(harness.queued_for(told["eventId"].as_str().unwrap()).await, [alice.0]);
    for (user, other) in [(alice, bob), (bob, alice)] {
        let page = history(&harness, user, other).await;
        assert_eq!((&page["messages"], &page["total"]), (&json!([]), &json!(0)));
    }
    assert_eq!(list(&harness, alice).await.len(), 1);
    let left: (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM private_messages), (SELECT count(*) FROM message_reactions),
                (SELECT count(*) FROM message_deletions), (SELECT count(body) FROM conversation_changes)",
    )
    .fetch_one(&harness.db)
    .await
    .unwrap();
    assert_eq!(left, (1, 0, 0, 1), "only the message to carol, and the deletion's own event");

    // A redelivered send does not come back.
    harness.append(&first).await;
    assert_eq!(harness.send(alice, bob, "three").await["seq"], 3);
    assert_eq!(contents(&history(&harness, bob, alice).await["messages"]), ["three"]);
}

fn is_typing(event: &Published, channel: Channel, typing: bool) -> bool {
    let json = event.json();
    event.channel == channel && json["type"] == "user_typing" && json["isTyping"] == typing
}

#[tokio::test]
async fn typing_is_told_to_the_others_and_ends_by_itself() {
    let harness = Harness::start("typing").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let typing = |to: UserId, on: bool| json!({"type": "typing", "recipientId": to, "isTyping": on});
    let began = Instant::now();
    harness.append(&harness.prepare(alice, &typing(bob, true))).await;
    let channel = Channel::User(bob);
    let event = harness.wait_for("typing", |event| is_typing(event, channel, true)).await;
    assert_eq!(
        without_timestamp(event.json()),
        json!({
            "type": "user_typing", "userId": alice, "username": "alice", "isTyping": true,
            "conversationId": conversation(alice, bob),
        })
    );
    // If typing stops immediately, nothing is left to expire.
    harness.append(&harness.prepare(alice, &typing(carol, true))).await;
    harness.wait_for("typing to carol", |event| is_typing(event, Channel::User(carol), true)).await;
    harness.append(&harness.prepare(alice, &typing(carol, false))).await;
    harness.wait_for("stopped", |event| is_typing(event, Channel::User(carol), false)).await;

    harness.wait_for("the end", |event| is_typing(event, channel, false)).await;
    assert!(began.elapsed() >= Duration::from_millis(2_900), "it ended after {:?}", began.elapsed());
    let left: i64 = harness.redis.zcard(harness.keys.typing()).await.unwrap();
    assert_eq!(left, 0);
    assert_eq!(harness.published().iter().filter(|event| is_typing(event, Channel::User(carol), false)).count(), 1);
    assert!(harness.events(Channel::User(alice), "user_typing").is_empty());
    let stored = "SELECT (SELECT count(*) FROM event_log) + (SELECT count(body) FROM conversation_changes)";
    let stored: i64 = sqlx::query_scalar(stored).fetch_one(&harness.db).await.unwrap();
    assert_eq!(stored, 0);
}

#[tokio::test]
async fn nobody_is_told_who_types_in_a_large_group() {
    let harness = Harness::start("typinglarge").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let group = crate::groups::create(&harness, alice, &[bob]).await;
    let fill = "INSERT INTO group_members (group_id, user_id, role) SELECT $1, n, 'member' FROM generate_series(10001, 10999) n";
    sqlx::query(fill).bind(group.to_string()).execute(&harness.db).await.unwrap();
    let typing = json!({"type": "typing", "groupId": group, "isTyping": true});
    harness.append(&harness.prepare(alice, &typing)).await;
    // An entry is deleted once it is finished, after its publications.
    let deadline = Instant::now() + Duration::from_secs(10);
    while harness.redis.xlen::<u64, _>(harness.keys.queries()).await.unwrap() > 0 {
        assert!(Instant::now() < deadline, "the command is not finished");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sqlx::query("DELETE FROM group_members WHERE user_id = 10999").execute(&harness.db).await.unwrap();
    harness.append(&harness.prepare(bob, &typing)).await;
    let channel = Channel::Group(group);
    let told = harness.wait_for("typing in a group of 1,000", |event| is_typing(event, channel, true)).await;
    assert_eq!(told.json()["userId"], json!(bob));
}

#[tokio::test]
async fn typing_is_dropped_for_blocked_users_and_strangers_refused() {
    let harness = Harness::start("typingblocked").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.block(bob, alice).await;
    let typing = |to: Value| json!({"type": "typing", "recipientId": to, "isTyping": true});
    harness.append(&harness.prepare(alice, &typing(json!(bob)))).await;
    assert_eq!(harness.refused(alice, typing(json!(999)), "RESOURCE_NOT_FOUND").await["field"], "recipientId");
    let group = format!("group_{}", uuid::Uuid::new_v4());
    let to_group = json!({"type": "typing", "groupId": group, "isTyping": true});
    assert_eq!(harness.refused(alice, to_group, "RESOURCE_NOT_FOUND").await["field"], "groupId");
    // All three were handled once the stream is empty.
    while harness.redis.xlen::<i64, _>(harness.keys.queries()).await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(harness.events(Channel::User(bob), "user_typing").is_empty());
    assert_eq!(harness.redis.zcard::<i64, _>(harness.keys.typing()).await.unwrap(), 0);
}

async fn sync(harness: &Harness, user: UserId, positions: Value) -> Vec<Value> {
    harness.sync(user, positions).await.0
}

#[tokio::test]
async fn sync_answers_each_conversation_and_then_the_end() {
    let harness = Harness::start("sync").await;
    let [alice, bob, carol, dave] = harness.users(["alice", "bob", "carol", "dave"]).await;
    for i in 1..=3 {
        harness.send(bob, alice, &format!("b{i}")).await;
    }
    let hidden = harness.send(bob, alice, "hidden").await;
    let hide = json!({"type": "delete_message", "messageId": hidden["messageId"], "deleteForEveryone": false});
    harness.expect(alice, hide, "message_deleted").await;
    let last = harness.prepare(bob, &json!({"type": "send_message", "recipientId": carol, "content": "204"}));
    for i in 0..204 {
        let send = json!({"type": "send_message", "recipientId": carol, "content": format!("{i}")});
        harness.append(&harness.prepare(bob, &send)).await;
    }
    harness.append(&last).await;
    harness.answer(last.envelope.id).await;

    let with = |other| conversation(alice, other);
    let series = sync(&harness, alice, json!({with(bob): 1, with(carol): 0, with(dave): 7})).await;
    assert_eq!(series.len(), 4);
    let (end, parts) = series.split_last().unwrap();
    assert_eq!((&end["type"], &end["requestId"]), (&json!("sync_complete"), &json!("s")));
    for part in parts {
        assert_eq!(
            (&part["type"], part.get("requestId"), &part["hasMore"]),
            (&json!("sync_messages"), None, &json!(false))
        );
        let expected = if part["conversationId"] == with(bob) { vec!["b2", "b3"] } else { vec![] };
        assert_eq!(contents(&part["messages"]), expected);
    }

    let series = sync(&harness, carol, json!({conversation(bob, carol): 0})).await;
    assert_eq!((&series[0]["hasMore"], series[0]["messages"].as_array().unwrap().len()), (&json!(true), 200));
    let series = sync(&harness, carol, json!({conversation(bob, carol): 200})).await;
    assert_eq!((&series[0]["hasMore"], contents(&series[0]["messages"]).len()), (&json!(false), 5));
}

#[tokio::test]
async fn sync_of_a_foreign_conversation_is_one_error() {
    let harness = Harness::start("syncforeign").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    harness.send(bob, alice, "x").await;
    harness.send(bob, carol, "x").await;
    let group = format!("group_{}", uuid::Uuid::new_v4());
    for foreign in [conversation(bob, carol), group, conversation(alice, UserId(999))] {
        let series = sync(&harness, alice, json!({conversation(alice, bob): 0, foreign: 0})).await;
        assert_eq!(series.len(), 1, "{series:?}");
        assert_eq!((&series[0]["code"], &series[0]["field"]), (&json!("RESOURCE_NOT_FOUND"), &json!("conversations")));
    }
}

#[tokio::test]
async fn strangers_written_to_per_day_are_limited() {
    let harness = Harness::start_with("strangers", &[("NEW_CONVERSATION_LIMIT", "2")]).await;
    let [alice, bob, carol, dave, erin] = harness.users(["alice", "bob", "carol", "dave", "erin"]).await;
    for stranger in [bob, carol] {
        harness.send(alice, stranger, "hello").await;
    }
    let to = |user: UserId| json!({"type": "send_private_message", "recipientId": user, "content": "hello"});
    let error = harness.refused(alice, to(dave), "RATE_LIMIT_EXCEEDED").await;
    assert!((86_000..=86_400).contains(&error["retryAfter"].as_i64().unwrap()), "{error}");
    // Those whom she knows, those whom she follows, and those who wrote to her.
    harness.send(alice, bob, "again").await;
    harness.follow(alice, erin).await;
    harness.send(alice, erin, "hello").await;
    harness.send(dave, alice, "hello").await;
    harness.send(alice, dave, "hello").await;
}
