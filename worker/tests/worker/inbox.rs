//! The list of one's conversations, what one set for each, pages around a message and parts of a group's members.

use serde_json::{Value, json};
use shared::ids::UserId;
use shared::redis::keys::Channel;

use crate::groups::{create, text};
use crate::harness::Fleet;

async fn part(fleet: &Fleet, user: UserId, limit: usize, cursor: &Value) -> Value {
    fleet.expect(user, json!({"type": "get_inbox", "limit": limit, "cursor": cursor}), "inbox").await
}

async fn inbox(fleet: &Fleet, user: UserId) -> Vec<Value> {
    part(fleet, user, 200, &Value::Null).await["entries"].as_array().unwrap().clone()
}

fn ids(entries: &[Value]) -> Vec<String> {
    entries.iter().map(|entry| entry["conversationId"].as_str().unwrap().to_owned()).collect()
}

fn conversation(a: UserId, b: UserId) -> String {
    format!("conv_{}_{}", a.min(b), a.max(b))
}

#[tokio::test]
async fn the_inbox_has_every_kind_in_one_order_as_pages_show_it() {
    let fleet = Fleet::start("inbox").await;
    let [alice, bob, carol, dave] = fleet.users(["alice", "bob", "carol", "dave"]).await;
    let group = create(&fleet, bob, &[alice]).await;
    fleet.send(bob, alice, "hello").await;
    fleet.expect(bob, text(group, "@alice look"), "group_message_sent").await;
    fleet.expect(bob, text(group, "@bob @everyone"), "group_message_sent").await;
    let quoted = fleet.send(alice, carol, "to carol").await["messageId"].clone();
    let reply = json!({"type": "send_message", "recipientId": alice, "content": "from carol", "replyTo": quoted});
    fleet.expect(carol, reply, "message_sent").await;
    let community = create(&fleet, alice, &[dave]).await.to_string();
    // The newest, also where the clocks of the stores differ by less than this.
    for update in [
        "UPDATE group_chats SET community_id = 'c1' WHERE group_id = $1",
        "UPDATE group_members SET joined_at = now() + interval '1 minute' WHERE group_id = $1",
    ] {
        sqlx::query(update).bind(&community).execute(&fleet.db).await.unwrap();
    }

    let answer = part(&fleet, alice, 50, &Value::Null).await;
    let entries = answer["entries"].as_array().unwrap();
    let kinds: Vec<&Value> = entries.iter().map(|entry| &entry["kind"]).collect();
    assert_eq!(kinds, [&json!("community"), &json!("direct"), &json!("group"), &json!("direct")]);
    assert_eq!(answer["totalUnread"], 4);
    assert_eq!(answer.get("nextCursor"), None);

    let community = &entries[0];
    assert_eq!((&community["communityId"], &community["myRole"]), (&json!("c1"), &json!("owner")));
    assert_eq!((community.get("lastMessage"), &community["lastSeq"]), (None, &json!(0)));

    let with_carol = &entries[1];
    let page = json!({"type": "get_messages", "recipientId": carol});
    let page = fleet.expect(alice, page, "private_messages").await;
    assert_eq!(with_carol["lastMessage"], page["messages"][1]);
    assert_eq!(with_carol["lastMessage"]["replyTo"]["seq"], 1);
    assert_eq!(with_carol["lastActivityAt"], with_carol["lastMessage"]["createdAt"]);
    assert_eq!(
        (&with_carol["lastSeq"], &with_carol["readSeq"], &with_carol["peerReadSeq"]),
        (&json!(2), &json!(0), &json!(0))
    );
    assert_eq!((&with_carol["unreadCount"], &with_carol["unreadMentions"]), (&json!(1), &json!(0)));
    let participant =
        json!({"userId": carol, "username": "carol", "displayName": "carol", "profileImage": null, "online": false});
    assert_eq!(with_carol["participant"], participant);
    assert!(with_carol["version"].as_i64().unwrap() > 0);

    let in_group = &entries[2];
    assert_eq!((&in_group["groupId"], &in_group["name"]), (&json!(group), &json!("Climbers")));
    assert_eq!((&in_group["unreadCount"], &in_group["unreadMentions"]), (&json!(2), &json!(2)));
    let page = json!({"type": "get_group_messages", "groupId": group});
    let page = fleet.expect(alice, page, "group_messages").await;
    assert_eq!(in_group["lastMessage"], page["messages"][1]);

    // A read mark, from either side.
    fleet
        .expect(
            alice,
            json!({"type": "mark_message_read", "messageId": page["messages"][1]["messageId"]}),
            "message_read",
        )
        .await;
    fleet.expect(carol, json!({"type": "mark_message_read", "messageId": quoted}), "message_read").await;
    let answer = part(&fleet, alice, 50, &Value::Null).await;
    assert_eq!((&answer["entries"][2]["readSeq"], &answer["entries"][2]["unreadMentions"]), (&json!(2), &json!(0)));
    assert_eq!((&answer["entries"][1]["peerReadSeq"], &answer["totalUnread"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn the_inbox_leaves_out_what_its_user_cannot_see() {
    let fleet = Fleet::start("inbox_hidden").await;
    let [alice, bob, carol] = fleet.users(["alice", "bob", "carol"]).await;
    let first = fleet.send(bob, alice, "first").await["messageId"].clone();
    let second = fleet.send(bob, alice, "second").await["messageId"].clone();
    fleet.send(carol, alice, "x").await;
    let hide = |message: &Value| json!({"type": "delete_message", "messageId": message, "deleteForEveryone": false});
    fleet.expect(alice, hide(&second), "message_deleted").await;
    let answer = part(&fleet, alice, 50, &Value::Null).await;
    assert_eq!(answer["entries"][1]["lastMessage"]["messageId"], first);
    assert_eq!((&answer["entries"][1]["unreadCount"], &answer["totalUnread"]), (&json!(1), &json!(2)));

    fleet.expect(alice, hide(&first), "message_deleted").await;
    let clear = json!({"type": "delete_conversation", "conversationId": conversation(alice, carol)});
    fleet.expect(alice, clear, "conversation_deleted").await;
    let group = create(&fleet, bob, &[alice]).await;
    fleet.expect(bob, text(group, "x"), "group_message_sent").await;
    assert_eq!(ids(&inbox(&fleet, alice).await), [group.to_string()]);
    fleet.expect(bob, json!({"type": "delete_group", "groupId": group}), "group_deleted").await;
    let answer = part(&fleet, alice, 50, &Value::Null).await;
    assert_eq!((&answer["entries"], &answer["totalUnread"]), (&json!([]), &json!(0)));
    assert_eq!(inbox(&fleet, bob).await.len(), 1, "hidden from the other only");
}

#[tokio::test]
async fn parts_of_the_inbox_neither_skip_nor_double() {
    let fleet = Fleet::start("inbox_parts").await;
    let alice = fleet.user("alice").await;
    for i in 0..25 {
        let other = fleet.user(&format!("u{i}")).await;
        fleet.send(other, alice, "x").await;
    }
    // Several at the same moment.
    sqlx::query("UPDATE conversations SET last_message_at = date_trunc('minute', last_message_at)")
        .execute(&fleet.db)
        .await
        .unwrap();
    let all = ids(&inbox(&fleet, alice).await);
    assert_eq!(all.len(), 25);
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let answer = part(&fleet, alice, 4, &cursor).await;
        seen.extend(ids(answer["entries"].as_array().unwrap()));
        // What moves to the front is not met again further down, and nothing else is missed.
        if seen.len() == 8 {
            let other = all[20].split('_').find(|id| *id != "conv" && *id != alice.to_string()).unwrap();
            fleet.send(UserId(other.parse().unwrap()), alice, "again").await;
        }
        match answer.get("nextCursor") {
            Some(next) => cursor = next.clone(),
            None => break,
        }
    }
    let expected: Vec<String> = all.iter().filter(|id| **id != all[20]).cloned().collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn unread_messages_are_counted_to_1000_in_every_list() {
    let fleet = Fleet::start("inbox_unread").await;
    let [alice, bob] = fleet.users(["alice", "bob"]).await;
    let group = create(&fleet, alice, &[bob]).await;
    fleet.send(bob, alice, "x").await;
    fleet.expect(bob, text(group, "x"), "group_message_sent").await;
    for statement in [
        "INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, mac, key_id, created_at)
         SELECT gen_random_uuid(), conversation_id, s, sender_id, recipient_id, content, iv, mac, key_id, created_at
         FROM private_messages, generate_series(2, 1100) s",
        "UPDATE conversations SET last_seq = 1100, message_count = 1100",
    ] {
        sqlx::query(statement).execute(&fleet.db).await.unwrap();
    }
    let answer = part(&fleet, alice, 50, &Value::Null).await;
    let counts: Vec<&Value> = answer["entries"].as_array().unwrap().iter().map(|entry| &entry["unreadCount"]).collect();
    assert_eq!((counts, &answer["totalUnread"]), (vec![&json!(1000); 2], &json!(1000)));
    let listed = fleet.expect(alice, json!({"type": "get_conversations"}), "conversations").await;
    assert_eq!(listed["conversations"][0]["unreadCount"], 1000);
    let listed = fleet.expect(alice, json!({"type": "get_user_groups"}), "user_groups").await;
    assert_eq!(listed["groups"][0]["unreadCount"], 1000);
}

#[tokio::test]
async fn settings_are_kept_for_oneself_and_told_to_ones_devices() {
    let fleet = Fleet::start("settings").await;
    let [alice, bob, carol] = fleet.users(["alice", "bob", "carol"]).await;
    let message = fleet.send(bob, alice, "x").await["messageId"].clone();
    let id = conversation(alice, bob);
    let set = |fields: Value| {
        let mut command = json!({"type": "set_conversation_settings", "conversationId": id});
        command.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        command
    };
    let until = "2030-01-02T03:04:05.006Z";
    let command = set(json!({"mutedUntil": until, "pinned": true, "markedUnread": true}));
    let answer = fleet.expect(alice, command, "conversation_settings").await;
    let told = fleet.event(Channel::User(alice), "conversation_settings").await;
    for settings in [&answer, &told, &inbox(&fleet, alice).await[0]] {
        assert_eq!((&settings["conversationId"], &settings["mutedUntil"]), (&json!(id), &json!(until)));
        assert_eq!((&settings["pinned"], &settings["markedUnread"]), (&json!(true), &json!(true)));
    }
    let others = &inbox(&fleet, bob).await[0];
    assert_eq!((others.get("mutedUntil"), &others["pinned"]), (None, &json!(false)));
    assert!(fleet.events(Channel::User(bob), "conversation_settings").is_empty());

    // A read mark takes `markedUnread` away, also of a message that was read before, and leaves the rest.
    for _ in 0..2 {
        fleet.expect(alice, set(json!({"markedUnread": true})), "conversation_settings").await;
        fleet.expect(alice, json!({"type": "mark_message_read", "messageId": message}), "message_read").await;
        let entry = &inbox(&fleet, alice).await[0];
        assert_eq!((&entry["markedUnread"], &entry["pinned"]), (&json!(false), &json!(true)));
    }
    let told = fleet.events(Channel::User(alice), "conversation_settings");
    assert_eq!(told.last().unwrap()["markedUnread"], false);
    let answer = fleet.expect(alice, set(json!({"mutedUntil": null})), "conversation_settings").await;
    assert_eq!((&answer["mutedUntil"], &answer["pinned"]), (&json!(null), &json!(true)));

    fleet.refused(carol, set(json!({"pinned": true})), "RESOURCE_NOT_FOUND").await;
    let group = create(&fleet, alice, &[bob]).await;
    let pin = json!({"type": "set_conversation_settings", "conversationId": group, "pinned": true});
    fleet.refused(carol, pin.clone(), "RESOURCE_NOT_FOUND").await;
    assert_eq!(fleet.expect(bob, pin, "conversation_settings").await["pinned"], true);
}

#[tokio::test]
async fn settings_made_elsewhere_come_by_sync() {
    let fleet = Fleet::start("settings_sync").await;
    let [alice, bob] = fleet.users(["alice", "bob"]).await;
    let message = fleet.send(bob, alice, "x").await["messageId"].clone();
    let id = conversation(alice, bob);
    let page = fleet.expect(alice, json!({"type": "get_messages", "recipientId": bob}), "private_messages").await;
    let known = json!({"seq": 1, "version": page["version"]});
    // The whole series is published before its end, which is the answer.
    let sync = async |user| {
        let before = fleet.published().len();
        let command = json!({"type": "sync", "conversations": {(id.clone()): known}});
        fleet.expect(user, command, "sync_complete").await;
        let parts = fleet.published().into_iter().skip(before).map(|published| published.json());
        parts.filter(|part| part["type"] == "sync_changes").map(|part| part["info"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(sync(alice).await, Vec::<Value>::new());
    let set = json!({"type": "set_conversation_settings", "conversationId": id, "pinned": true, "markedUnread": true});
    fleet.expect(alice, set, "conversation_settings").await;
    assert_eq!(sync(alice).await, [json!({"mutedUntil": null, "pinned": true, "markedUnread": true})]);
    fleet.expect(alice, json!({"type": "mark_message_read", "messageId": message}), "message_read").await;
    assert_eq!(sync(alice).await, [json!({"mutedUntil": null, "pinned": true, "markedUnread": false})]);
    assert_eq!(sync(bob).await, Vec::<Value>::new(), "nobody else's");
}

#[tokio::test]
async fn a_page_around_a_message_says_what_lies_beyond() {
    let fleet = Fleet::start("around").await;
    let [alice, bob, carol] = fleet.users(["alice", "bob", "carol"]).await;
    let group = create(&fleet, alice, &[bob]).await;
    let mut messages = Vec::new();
    for i in 1..=9 {
        messages.push(fleet.send(bob, alice, &i.to_string()).await["messageId"].clone());
        fleet.expect(bob, text(group, &i.to_string()), "group_message_sent").await;
    }
    let hide = json!({"type": "delete_message", "messageId": messages[4], "deleteForEveryone": false});
    fleet.expect(alice, hide, "message_deleted").await;
    let direct = |fields: Value| {
        let mut command = json!({"type": "get_messages", "recipientId": bob, "limit": 4});
        command.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        command
    };
    for (fields, seqs, before, after) in [
        (json!({"aroundSeq": 4}), vec![2, 3, 4, 6], true, true),
        (json!({"aroundMessageId": messages[3]}), vec![2, 3, 4, 6], true, true),
        (json!({"aroundSeq": 2, "beforeSeq": 1}), vec![1, 2, 3], false, true),
        (json!({"aroundSeq": 9}), vec![7, 8, 9], true, false),
        (json!({"aroundSeq": 5}), vec![3, 4, 6, 7], true, true),
        (json!({"aroundSeq": 5, "limit": 20}), vec![1, 2, 3, 4, 6, 7, 8, 9], false, false),
        (json!({"aroundSeq": 500}), vec![8, 9], true, false),
        (json!({"aroundSeq": 4, "limit": 1}), vec![4], true, true),
    ] {
        let page = fleet.expect(alice, direct(fields.clone()), "private_messages").await;
        let found: Vec<i64> = page["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_i64().unwrap()).collect();
        assert_eq!(found, seqs, "{fields}");
        assert_eq!((&page["hasBefore"], &page["hasAfter"]), (&json!(before), &json!(after)), "{fields}");
        assert_eq!((&page["hasMore"], &page["offset"]), (&json!(before), &json!(null)), "{fields}");
    }
    let page = json!({"type": "get_group_messages", "groupId": group, "aroundSeq": 8, "limit": 4});
    let page = fleet.expect(alice, page, "group_messages").await;
    assert_eq!((&page["messages"][0]["seq"], &page["hasAfter"]), (&json!(6), &json!(false)));
    let newest = fleet.expect(alice, direct(json!({})), "private_messages").await;
    assert_eq!((newest.get("hasBefore"), newest.get("hasAfter")), (None, None));

    // What is hidden, or another conversation's, is not there.
    let elsewhere = fleet.send(bob, carol, "x").await["messageId"].clone();
    for message in [&messages[4], &elsewhere] {
        let refused = fleet.refused(alice, direct(json!({"aroundMessageId": message})), "RESOURCE_NOT_FOUND").await;
        assert_eq!(refused["field"], "aroundMessageId");
    }
}

#[tokio::test]
async fn members_come_in_parts_when_asked_for() {
    let fleet = Fleet::start("member_parts").await;
    let [alice, bob, carol, dave, eve] = fleet.users(["alice", "bob", "carol", "dave", "eve"]).await;
    let group = create(&fleet, alice, &[bob, carol, dave, eve]).await;
    fleet.expect(alice, json!({"type": "promote_member", "groupId": group, "userId": dave}), "member_promoted").await;
    let all = fleet.expect(bob, json!({"type": "get_group_members", "groupId": group}), "group_members").await;
    assert_eq!((all["members"].as_array().unwrap().len(), all.get("nextCursor")), (5, None));
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let command = json!({"type": "get_group_members", "groupId": group, "limit": 2, "cursor": cursor});
        let part = fleet.expect(bob, command, "group_members").await;
        seen.extend(part["members"].as_array().unwrap().clone());
        match part.get("nextCursor") {
            Some(next) => cursor = next.clone(),
            None => break,
        }
    }
    assert_eq!(&json!(seen), &all["members"]);
}
