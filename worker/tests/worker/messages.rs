//! Changes to single messages: read marks, edits, deletions, replies; direct and in groups.

use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::ids::{TokenId, UserId};
use shared::publication::Header;
use shared::redis::keys::Channel;

use crate::harness::{Harness, without_timestamp};

/// Creates a group with these members directly in the database; returns its id.
pub async fn group(harness: &Harness, members: &[(UserId, &str)]) -> String {
    let id = format!("group_{}", uuid::Uuid::new_v4());
    sqlx::query("INSERT INTO group_chats (group_id, name, created_by, max_members) VALUES ($1, 'g', $2, 50)")
        .bind(&id)
        .bind(members[0].0.0)
        .execute(&harness.db)
        .await
        .unwrap();
    for (user, role) in members {
        let member = "WITH member AS (INSERT INTO group_members (group_id, user_id, role) VALUES ($1, $2, $3))
                      INSERT INTO conversation_members (conversation_id, user_id) VALUES ($1, $2)";
        sqlx::query(member).bind(&id).bind(user.0).bind(role).execute(&harness.db).await.unwrap();
    }
    id
}

pub fn group_channel(id: &str) -> Channel {
    Channel::Group(id.parse().unwrap())
}

pub async fn say(harness: &Harness, user: UserId, group: &str, content: &str) -> Value {
    let send = json!({"type": "send_group_message", "groupId": group, "content": content});
    harness.expect(user, send, "group_message_sent").await["messageId"].clone()
}

pub async fn history(harness: &Harness, user: UserId, other: UserId) -> Value {
    let get = json!({"type": "get_messages", "recipientId": other});
    harness.expect(user, get, "private_messages").await["messages"].clone()
}

async fn version(harness: &Harness, conversation: &Value) -> i64 {
    sqlx::query_scalar("SELECT version FROM conversations WHERE conversation_id = $1")
        .bind(conversation.as_str().unwrap())
        .fetch_one(&harness.db)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_read_mark_covers_all_before_it_and_never_goes_back() {
    let harness = Harness::start("read").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let mut ids = Vec::new();
    for content in ["1", "2", "3"] {
        ids.push(harness.send(alice, bob, content).await["messageId"].clone());
    }
    let read = |id: &Value| json!({"type": "mark_message_read", "messageId": id});
    let marked = harness.expect(bob, read(&ids[1]), "message_read").await;
    assert_eq!(
        without_timestamp(marked),
        json!({
            "type": "message_read", "messageId": ids[1], "conversationId": format!("conv_{alice}_{bob}"),
            "readBy": bob, "seq": 2,
        })
    );
    for user in [alice, bob] {
        let event = harness.event(Channel::User(user), "message_read").await;
        assert_eq!((&event["seq"], event.get("eventId")), (&json!(2), None));
    }
    let own = harness.wait_for("one's own copy", |event| {
        event.channel == Channel::User(bob) && event.json()["type"] == "message_read"
    });
    let Header::Event(header) = own.await.header else { panic!() };
    assert!(header.exclude.is_some(), "the connection that marked it has the answer");
    // The same message again, and an earlier one: answered, and nobody is told.
    for id in [&ids[1], &ids[0]] {
        harness.expect(bob, read(id), "message_read").await;
    }
    for reader in [(alice, bob), (bob, alice)] {
        let messages = history(&harness, reader.0, reader.1).await;
        let is_read: Vec<_> = messages.as_array().unwrap().iter().map(|message| message["isRead"].clone()).collect();
        assert_eq!(is_read, [json!(true), json!(true), json!(false)]);
    }
    harness.send(alice, bob, "after all that").await;
    assert_eq!(harness.events(Channel::User(alice), "message_read").len(), 1);

    harness.refused(carol, read(&ids[0]), "RESOURCE_NOT_FOUND").await;
    let elsewhere = json!({
        "type": "mark_message_read", "messageId": ids[0], "conversationId": format!("conv_{bob}_{carol}"),
    });
    assert_eq!(harness.refused(bob, elsewhere, "VALIDATION_ERROR").await["field"], "conversationId");
    let nowhere = json!({"type": "mark_message_read", "messageId": format!("msg_{}", uuid::Uuid::new_v4())});
    assert_eq!(harness.refused(bob, nowhere, "RESOURCE_NOT_FOUND").await["field"], "messageId");
}

#[tokio::test]
async fn a_group_read_mark_reaches_only_sender_and_reader() {
    let harness = Harness::start("readgroup").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = group(&harness, &[(alice, "owner"), (bob, "member"), (carol, "member")]).await;
    let id = say(&harness, alice, &group, "x").await;
    let read = json!({"type": "mark_message_read", "messageId": id, "groupId": group});
    let marked = harness.expect(bob, read.clone(), "message_read").await;
    assert_eq!((&marked["groupId"], &marked["readBy"], &marked["seq"]), (&json!(group), &json!(bob), &json!(1)));
    harness.event(Channel::User(alice), "message_read").await;
    harness.event(Channel::User(bob), "message_read").await;
    // The user's own message: nobody is told.
    harness.expect(alice, read, "message_read").await;
    let direct = harness.send(alice, bob, "x").await["messageId"].clone();
    harness.expect(alice, json!({"type": "mark_message_read", "messageId": direct}), "message_read").await;
    say(&harness, alice, &group, "after").await;
    assert_eq!(harness.events(Channel::User(alice), "message_read").len(), 1);
    assert_eq!(harness.events(Channel::User(bob), "message_read").len(), 1);
    assert!(harness.events(group_channel(&group), "message_read").is_empty());
    assert!(harness.events(Channel::User(carol), "message_read").is_empty());
}

#[tokio::test]
async fn the_sender_edits_within_the_window() {
    let harness = Harness::start("edit").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let sent = harness.send(alice, bob, "first").await;
    let before = version(&harness, &sent["conversationId"]).await;
    let edit = |id: &Value, content: &str| json!({"type": "edit_message", "messageId": id, "newContent": content});
    let edited = harness.expect(alice, edit(&sent["messageId"], " second "), "message_edited").await;
    assert_eq!(
        (&edited["content"], &edited["newContent"], &edited["seq"]),
        (&json!(" second "), &json!(" second "), &json!(1))
    );
    assert!(version(&harness, &sent["conversationId"]).await > before);
    let event = harness.event(Channel::User(bob), "message_edited").await;
    assert_eq!((&event["content"], &event["editedAt"]), (&json!(" second "), &edited["editedAt"]));
    assert_eq!(harness.queued_for(event["eventId"].as_str().unwrap()).await, [bob.0]);
    let message = &history(&harness, bob, alice).await[0];
    assert_eq!((&message["content"], &message["isEdited"]), (&json!(" second "), &json!(true)));
    assert_eq!(message["editedAt"], edited["editedAt"]);

    let refused = harness.refused(bob, edit(&sent["messageId"], "x"), "PERMISSION_DENIED").await;
    assert_eq!(refused["field"], "messageId");
    harness.refused(carol, edit(&sent["messageId"], "x"), "RESOURCE_NOT_FOUND").await;
    let in_group = json!({"type": "edit_group_message", "messageId": sent["messageId"], "content": "x"});
    harness.refused(alice, in_group.clone(), "VALIDATION_ERROR").await;
    harness.refused(carol, in_group, "RESOURCE_NOT_FOUND").await;

    // Allowed exactly at the bound; rejected a millisecond later.
    let created_at = Timestamp::from(
        sqlx::query_scalar::<_, time::OffsetDateTime>("SELECT created_at FROM private_messages")
            .fetch_one(&harness.db)
            .await
            .unwrap(),
    );
    for (age_ms, expected) in [(300_000, "message_edited"), (300_001, "error")] {
        let mut late = harness.prepare(alice, &edit(&sent["messageId"], "late"));
        late.envelope.ingested_at = Timestamp(created_at.0 + age_ms);
        harness.append(&late).await;
        let answer = harness.answer(late.envelope.id).await;
        assert_eq!(answer["type"], expected, "{answer}");
        if expected == "error" {
            assert_eq!(answer["code"], "EDIT_WINDOW_EXPIRED");
            assert!(answer["details"].as_str().unwrap().contains("300 s"), "{answer}");
        }
    }
}

#[tokio::test]
async fn an_edit_says_nothing_new_to_a_blocked_user() {
    let harness = Harness::start("editblocked").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let ids = [harness.send(alice, bob, "to bob").await, harness.send(bob, alice, "to alice").await]
        .map(|sent| sent["messageId"].clone());
    harness.block(bob, alice).await;
    for (user, id) in [(alice, &ids[0]), (bob, &ids[1])] {
        let edit = json!({"type": "edit_message", "messageId": id, "content": "something else"});
        assert_eq!(harness.refused(user, edit, "USER_BLOCKED").await["field"], "messageId");
    }
    let edit = json!({"type": "edit_message", "messageId": ids[0], "content": "x"});
    harness.refused(bob, edit, "PERMISSION_DENIED").await;
    let contents: Vec<_> =
        history(&harness, bob, alice).await.as_array().unwrap().iter().map(|m| m["content"].clone()).collect();
    assert_eq!(contents, ["to bob", "to alice"]);
    // Deleting is allowed, because it is not a contact.
    let delete = json!({"type": "delete_message", "messageId": ids[0], "deleteForEveryone": true});
    harness.expect(alice, delete, "message_deleted").await;
}

#[tokio::test]
async fn blocked_members_do_not_see_read_marks() {
    let harness = Harness::start("readblocked").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let sent = harness.send(alice, bob, "x").await;
    let replied = harness.send(bob, alice, "y").await;
    harness.block(alice, bob).await;
    for (reader, writer, message) in [(bob, alice, &sent), (alice, bob, &replied)] {
        let read = json!({"type": "mark_message_read", "messageId": message["messageId"]});
        harness.expect(reader, read, "message_read").await;
        let of_reader = |p: &crate::harness::Published| {
            p.channel == Channel::User(reader)
                && p.json()["type"] == "message_read"
                && p.json()["readBy"] == json!(reader)
        };
        harness.wait_for("one's own copy", of_reader).await;
        // All publications of one command are sent together, so a later command's answer comes after them.
        let get = json!({"type": "get_private_messages", "recipientId": writer});
        harness.expect(reader, get, "private_messages").await;
        let told = harness.events(Channel::User(writer), "message_read");
        assert!(!told.iter().any(|event| event["readBy"] == json!(reader)), "{told:?}");
    }
    let read: Vec<i64> = sqlx::query_scalar("SELECT read_seq FROM conversation_members ORDER BY user_id")
        .fetch_all(&harness.db)
        .await
        .unwrap();
    assert_eq!(read, [2, 1], "the marks are kept");
}

#[tokio::test]
async fn former_members_do_not_see_read_marks() {
    let harness = Harness::start("readleft").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = group(&harness, &[(alice, "owner"), (bob, "member"), (carol, "member")]).await;
    let (of_bob, of_carol) = (say(&harness, bob, &group, "x").await, say(&harness, carol, &group, "y").await);
    let leave = json!({"type": "leave_group", "groupId": group});
    harness.expect(bob, leave, "member_left").await;
    for message in [of_bob, of_carol] {
        let read = json!({"type": "mark_message_read", "messageId": message, "groupId": group});
        harness.expect(alice, read, "message_read").await;
    }
    // All publications of one command are sent together, and a group's commands in their order.
    let told = |p: &crate::harness::Published| p.channel == Channel::User(carol) && p.json()["type"] == "message_read";
    harness.wait_for("what the one who stayed is told", told).await;
    assert_eq!(harness.events(Channel::User(bob), "message_read"), Vec::<Value>::new());
}

#[tokio::test]
async fn a_group_edit_finds_its_mentions_again() {
    let harness = Harness::start("editgroup").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = group(&harness, &[(alice, "owner"), (bob, "member")]).await;
    let id = say(&harness, bob, &group, "hi @alice").await;
    let edit = json!({"type": "edit_group_message", "messageId": id, "content": "hi @everyone"});
    let edited = harness.expect(bob, edit.clone(), "group_message_edited").await;
    assert_eq!((&edited["groupId"], &edited["newContent"]), (&json!(group), &json!("hi @everyone")));
    let event = harness.event(group_channel(&group), "group_message_edited").await;
    assert_eq!(harness.queued_for(event["eventId"].as_str().unwrap()).await, [alice.0]);
    let get = json!({"type": "get_group_messages", "groupId": group});
    let message = harness.expect(alice, get, "group_messages").await["messages"][0].clone();
    assert_eq!((&message["mentions"], message.get("isRead")), (&json!([{"type": "everyone"}]), None));
    harness.refused(alice, edit.clone(), "PERMISSION_DENIED").await;
    harness.refused(carol, edit, "RESOURCE_NOT_FOUND").await;
    let direct = json!({"type": "edit_message", "messageId": id, "content": "x"});
    harness.refused(bob, direct, "VALIDATION_ERROR").await;
}

#[tokio::test]
async fn a_message_deleted_for_everyone_leaves_only_its_number() {
    let harness = Harness::start("delete").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let first = harness.prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": "secret"}));
    harness.append(&first).await;
    let id = harness.answer(first.envelope.id).await["messageId"].clone();
    let reply = json!({"type": "send_message", "recipientId": alice, "content": "re", "replyToMessageId": id});
    harness.expect(bob, reply, "message_sent").await;
    harness.expect(bob, json!({"type": "add_reaction", "messageId": id, "reaction": "x"}), "reaction_added").await;
    let edit = json!({"type": "edit_message", "messageId": id, "content": "secret, edited"});
    harness.expect(alice, edit, "message_edited").await;
    assert_eq!(history(&harness, bob, alice).await[1]["replyTo"]["content"], "secret, edited");
    let hide = json!({"type": "delete_message", "messageId": id, "deleteForEveryone": false});
    harness.expect(bob, hide.clone(), "message_deleted").await;

    let delete = json!({"type": "delete_message", "messageId": id});
    harness.refused(carol, delete.clone(), "RESOURCE_NOT_FOUND").await;
    let deleted = harness.expect(alice, delete.clone(), "message_deleted").await;
    assert_eq!((&deleted["messageId"], &deleted["deleteForEveryone"]), (&id, &json!(true)));
    let is_told = |event: &crate::harness::Published| {
        event.channel == Channel::User(bob)
            && event.json()["type"] == "message_deleted"
            && event.json()["eventId"].is_string()
    };
    let told = harness.wait_for("the deletion", is_told).await.json();
    assert_eq!(harness.queued_for(told["eventId"].as_str().unwrap()).await, [bob.0]);
    // Waiting events about the message are deleted with it.
    let left: (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(body) FROM conversation_changes), (SELECT count(*) FROM due_events),
                (SELECT count(*) FROM message_reactions), (SELECT message_count FROM conversations)",
    )
    .fetch_one(&harness.db)
    .await
    .unwrap();
    assert_eq!(left, (1, 1, 0, 1));
    for (user, other) in [(alice, bob), (bob, alice)] {
        let messages = history(&harness, user, other).await;
        assert_eq!(messages.as_array().unwrap().len(), 1);
        assert_eq!((&messages[0]["seq"], messages[0].get("replyTo")), (&json!(2), None));
    }
    harness.refused(alice, delete, "RESOURCE_NOT_FOUND").await;
    // A redelivered send does not bring it back.
    harness.append(&first).await;
    assert_eq!(harness.send(alice, bob, "next").await["seq"], 3);
    assert_eq!(history(&harness, bob, alice).await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_message_deleted_for_oneself_stays_for_the_other() {
    let harness = Harness::start("hide").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let id = harness.send(alice, bob, "x").await["messageId"].clone();
    harness.send(alice, bob, "y").await;
    // Cached before it is hidden: hiding is per user and must work anyway.
    history(&harness, bob, alice).await;
    harness.refused(bob, json!({"type": "delete_message", "messageId": id}), "PERMISSION_DENIED").await;
    let hide = json!({"type": "delete_message", "messageId": id, "deleteForEveryone": false});
    let hidden = harness.expect(bob, hide.clone(), "message_deleted").await;
    assert_eq!(hidden["deleteForEveryone"], false);
    harness.event(Channel::User(bob), "message_deleted").await;
    harness.refused(bob, hide, "RESOURCE_NOT_FOUND").await;
    let page = harness.expect(bob, json!({"type": "get_messages", "recipientId": alice}), "private_messages").await;
    assert_eq!((&page["total"], page["messages"].as_array().unwrap().len()), (&json!(1), 1));
    assert_eq!(history(&harness, alice, bob).await.as_array().unwrap().len(), 2);
    assert!(harness.events(Channel::User(alice), "message_deleted").is_empty());
}

#[tokio::test]
async fn hidden_messages_come_back_neither_quoted_nor_edited() {
    let harness = Harness::start("hidden").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let hide = |id: &Value| json!({"type": "delete_message", "messageId": id, "deleteForEveryone": false});
    let hidden = harness.send(alice, bob, "hidden").await["messageId"].clone();
    harness.expect(bob, hide(&hidden), "message_deleted").await;
    let reply = json!({"type": "send_message", "recipientId": bob, "content": "answer", "replyToMessageId": hidden});
    let sent = harness.expect(alice, reply, "message_sent").await["messageId"].clone();
    let copy = |user: UserId, id: Value| {
        harness.wait_for("a new message", move |p| p.channel == Channel::User(user) && p.json()["messageId"] == id)
    };
    assert_eq!(copy(alice, sent.clone()).await.json()["replyTo"]["content"], "hidden");
    assert_eq!(copy(bob, sent).await.json()["replyTo"], json!(null));

    let edit = json!({"type": "edit_message", "messageId": hidden, "content": "hidden, too"});
    harness.expect(alice, edit, "message_edited").await;
    let edited =
        harness.wait_for("the edit", |p| p.channel == Channel::User(bob) && p.json()["type"] == "message_edited");
    let Header::Event(header) = edited.await.header else { panic!() };
    assert_eq!(header.exclude_users, [bob]);
    // One that he cleared after it was edited.
    let cleared = harness.send(alice, bob, "cleared").await;
    let edit = json!({"type": "edit_message", "messageId": cleared["messageId"], "content": "cleared, too"});
    harness.expect(alice, edit, "message_edited").await;
    let waiting = json!({"type": "delete_conversation", "conversationId": cleared["conversationId"]});
    harness.expect(bob, waiting, "conversation_deleted").await;
    let (_, page) = crate::sessions::resumed(&harness, bob, 1).await;
    assert!(page.events.is_empty(), "{page:?}");

    // In a group it is one publication, with both forms.
    let id = group(&harness, &[(alice, "owner"), (bob, "member"), (carol, "member")]).await;
    let hidden = say(&harness, alice, &id, "hidden").await;
    let hide = json!({"type": "delete_group_message", "messageId": hidden, "deleteForEveryone": false});
    harness.expect(carol, hide, "group_message_deleted").await;
    let reply = json!({"type": "send_group_message", "groupId": id, "content": "@carol", "replyToMessageId": hidden});
    let sent = harness.expect(bob, reply, "group_message_sent").await["messageId"].clone();
    let reduced = harness.wait_for("the reduced form", |p| matches!(&p.header, Header::ReducedFor { .. })).await;
    let Header::ReducedFor { users, .. } = &reduced.header else { panic!() };
    assert_eq!(users, &[carol]);
    assert_eq!((&reduced.json()["messageId"], &reduced.json()["replyTo"]), (&sent, &json!(null)));
    let is_whole = |event: Value| event["messageId"] == sent && event["replyTo"]["content"] == "hidden";
    let whole = harness.wait_for("the whole form", |p| is_whole(p.json())).await;
    assert!(matches!(&whole.header, Header::Event(event) if event.exclude_users == [carol]), "{:?}", whole.header);
    let mention = harness.wait_for("the mention", |p| p.json()["type"] == "mentioned_in_group").await.json();
    assert_eq!((&mention["messageId"], mention.to_string().contains("hidden")), (&sent, false));
}

#[tokio::test]
async fn in_groups_owner_and_admins_delete_what_others_wrote() {
    let harness = Harness::start("deletegroup").await;
    let [alice, bob, carol, dave] = harness.users(["alice", "bob", "carol", "dave"]).await;
    let group = group(&harness, &[(alice, "owner"), (bob, "admin"), (carol, "member")]).await;
    let delete = |id: &Value| json!({"type": "delete_group_message", "messageId": id});
    for (sender, deleter, allowed) in [
        (carol, carol, true),
        (carol, bob, true),
        (carol, alice, true),
        (alice, bob, true),
        (alice, carol, false),
        (bob, carol, false),
    ] {
        let id = say(&harness, sender, &group, "x @alice").await;
        if !allowed {
            harness.refused(deleter, delete(&id), "PERMISSION_DENIED").await;
            let hide = json!({"type": "delete_group_message", "messageId": id, "deleteForEveryone": false});
            let hidden = harness.expect(deleter, hide, "group_message_deleted").await;
            assert_eq!(hidden["deleteForEveryone"], false);
            continue;
        }
        harness.refused(dave, delete(&id), "RESOURCE_NOT_FOUND").await;
        let deleted = harness.expect(deleter, delete(&id), "group_message_deleted").await;
        assert_eq!((&deleted["groupId"], &deleted["deletedBy"]), (&json!(group), &json!(deleter)));
        let is_told = |event: &crate::harness::Published| {
            event.channel == group_channel(&group)
                && event.json()["type"] == "group_message_deleted"
                && event.json()["messageId"] == id
        };
        let told = harness.wait_for("the deletion", is_told).await.json();
        let others: Vec<i64> = [alice, bob, carol].iter().filter(|user| **user != deleter).map(|user| user.0).collect();
        assert_eq!(harness.queued_for(told["eventId"].as_str().unwrap()).await, others);
    }
    let direct = harness.send(alice, bob, "x").await["messageId"].clone();
    harness.refused(alice, delete(&direct), "VALIDATION_ERROR").await;
}

#[tokio::test]
async fn replies_stay_within_their_conversation_and_reveal_no_other() {
    let harness = Harness::start("replies").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group_of_all = group(&harness, &[(alice, "owner"), (bob, "member")]).await;
    let group_of_others = group(&harness, &[(bob, "owner")]).await;
    let here = harness.send(alice, bob, "é".repeat(300).as_str()).await["messageId"].clone();
    let own = harness.send(alice, carol, "x").await["messageId"].clone();
    let foreign = harness.send(bob, carol, "x").await["messageId"].clone();
    let joined = say(&harness, bob, &group_of_all, "x").await;
    let outside = say(&harness, bob, &group_of_others, "x").await;
    let hidden = harness.send(bob, alice, "x").await["messageId"].clone();
    let hide = json!({"type": "delete_message", "messageId": hidden, "deleteForEveryone": false});
    harness.expect(alice, hide, "message_deleted").await;
    let reply =
        |to: &Value| json!({"type": "send_message", "recipientId": bob, "content": "re", "replyToMessageId": to});
    for (to, code) in [
        (&own, "VALIDATION_ERROR"),
        (&joined, "VALIDATION_ERROR"),
        (&foreign, "RESOURCE_NOT_FOUND"),
        (&outside, "RESOURCE_NOT_FOUND"),
        (&hidden, "RESOURCE_NOT_FOUND"),
        (&json!(format!("msg_{}", uuid::Uuid::new_v4())), "RESOURCE_NOT_FOUND"),
    ] {
        assert_eq!(harness.refused(alice, reply(to), code).await["field"], "replyToMessageId");
    }
    harness.expect(alice, reply(&here), "message_sent").await;
    let messages = history(&harness, bob, alice).await;
    let replied = messages.as_array().unwrap().last().unwrap();
    let preview = replied["replyTo"].clone();
    assert_eq!((&preview["messageId"], &preview["senderUsername"]), (&here, &json!("alice")));
    assert_eq!(preview["content"], json!("é".repeat(200)));
    let live = harness
        .wait_for("the reply", |event| event.channel == Channel::User(bob) && event.json()["replyToMessageId"] == here);
    assert_eq!(live.await.json()["replyTo"], preview);
}

#[tokio::test]
async fn a_replayed_message_is_the_same_object_as_in_history() {
    use shared::ids::ConnectionId;
    use shared::stream::{Internal, InternalReply};
    let harness = Harness::start("replayed").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let group = group(&harness, &[(alice, "owner"), (bob, "member")]).await;
    let first = say(&harness, bob, &group, "first").await;
    let reply = json!({
        "type": "send_group_message", "groupId": group, "content": "hi @bob and @all", "replyToMessageId": first,
    });
    let second = harness.expect(alice, reply, "group_message_sent").await["messageId"].clone();
    let react = json!({"type": "add_group_reaction", "messageId": second, "reaction": "x"});
    harness.expect(alice, react, "group_reaction_added").await;
    let resume = Internal::Resume {
        token_id: TokenId("t".to_owned()),
        session: uuid::Uuid::new_v4(),
        connection: ConnectionId(1),
        wants_acks: false,
        renewal: false,
    };
    let InternalReply::Resumed { replay, .. } = harness.internal(bob, resume).await else { panic!() };
    // The mention's event has the message's id; it must not be mistaken for the message.
    let events: Vec<Value> = replay.events.iter().map(|event| serde_json::from_slice(&event.json).unwrap()).collect();
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["new_group_message", "mentioned_in_group", "group_reaction_added"]);
    let mut replayed = without_timestamp(events[0].clone());
    replayed.as_object_mut().unwrap().remove("type");
    let mut mentioned_in = events[1]["message"].clone();
    assert!(mentioned_in.as_object_mut().unwrap().remove("version").is_some());
    assert_eq!(mentioned_in, replayed, "as in a live mention");
    // Pages leave this out.
    assert_eq!(replayed["mentions"][1].as_object_mut().unwrap().remove("userIds"), Some(json!([bob])));
    let get = json!({"type": "get_group_messages", "groupId": group});
    let shown = harness.expect(bob, get, "group_messages").await["messages"][1].clone();
    assert_eq!(replayed, shown);
    assert_eq!(shown["mentions"], json!([{"type": "user", "userId": bob, "username": "bob"}, {"type": "everyone"}]));
    assert_eq!(
        (&shown["replyTo"]["senderUsername"], &shown["reactions"][0]["username"]),
        (&json!("bob"), &json!("alice"))
    );
}
