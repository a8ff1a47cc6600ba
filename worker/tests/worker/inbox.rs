//! The list of one's conversations, what one set for each, pages around a message, parts of a group's members and of one's groups.

use std::collections::HashSet;

use serde_json::{Value, json};
use shared::ids::UserId;
use shared::redis::keys::Channel;

use crate::groups::{create, text};
use crate::harness::Harness;

async fn part(harness: &Harness, user: UserId, limit: usize, cursor: &Value) -> Value {
    harness.expect(user, json!({"type": "get_inbox", "limit": limit, "cursor": cursor}), "inbox").await
}

async fn inbox(harness: &Harness, user: UserId) -> Vec<Value> {
    part(harness, user, 200, &Value::Null).await["entries"].as_array().unwrap().clone()
}

fn ids(entries: &[Value]) -> Vec<String> {
    entries.iter().map(|entry| entry["conversationId"].as_str().unwrap().to_owned()).collect()
}

fn conversation(a: UserId, b: UserId) -> String {
    format!("conv_{}_{}", a.min(b), a.max(b))
}

#[tokio::test]
async fn the_inbox_has_every_kind_in_one_order_as_pages_show_it() {
    let harness = Harness::start("inbox").await;
    let [alice, bob, carol, dave] = harness.users(["alice", "bob", "carol", "dave"]).await;
    let group = create(&harness, bob, &[alice]).await;
    harness.send(bob, alice, "hello").await;
    harness.until_all_is_past().await;
    harness.expect(bob, text(group, "@alice look"), "group_message_sent").await;
    harness.expect(bob, text(group, "@bob @everyone"), "group_message_sent").await;
    harness.until_all_is_past().await;
    let quoted = harness.send(alice, carol, "to carol").await["messageId"].clone();
    let reply = json!({"type": "send_message", "recipientId": alice, "content": "from carol", "replyTo": quoted});
    harness.expect(carol, reply, "message_sent").await;
    let community = create(&harness, alice, &[dave]).await.to_string();
    // The newest, even if the clocks of the stores differ by less than this.
    for update in [
        "UPDATE group_chats SET community_id = 'c1' WHERE group_id = $1",
        "UPDATE group_members SET joined_at = now() + interval '1 minute' WHERE group_id = $1",
    ] {
        sqlx::query(update).bind(&community).execute(&harness.db).await.unwrap();
    }

    let answer = part(&harness, alice, 50, &Value::Null).await;
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
    let page = harness.expect(alice, page, "private_messages").await;
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
    let page = harness.expect(alice, page, "group_messages").await;
    assert_eq!(in_group["lastMessage"], page["messages"][1]);

    // A read mark, from either side.
    harness
        .expect(
            alice,
            json!({"type": "mark_message_read", "messageId": page["messages"][1]["messageId"]}),
            "message_read",
        )
        .await;
    harness.expect(carol, json!({"type": "mark_message_read", "messageId": quoted}), "message_read").await;
    let answer = part(&harness, alice, 50, &Value::Null).await;
    assert_eq!((&answer["entries"][2]["readSeq"], &answer["entries"][2]["unreadMentions"]), (&json!(2), &json!(0)));
    assert_eq!((&answer["entries"][1]["peerReadSeq"], &answer["totalUnread"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn the_inbox_leaves_out_what_its_user_cannot_see() {
    let harness = Harness::start("inbox_hidden").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let first = harness.send(bob, alice, "first").await["messageId"].clone();
    let second = harness.send(bob, alice, "second").await["messageId"].clone();
    harness.until_all_is_past().await;
    harness.send(carol, alice, "x").await;
    let hide = |message: &Value| json!({"type": "delete_message", "messageId": message, "deleteForEveryone": false});
    harness.expect(alice, hide(&second), "message_deleted").await;
    let answer = part(&harness, alice, 50, &Value::Null).await;
    assert_eq!(answer["entries"][1]["lastMessage"]["messageId"], first);
    assert_eq!((&answer["entries"][1]["unreadCount"], &answer["totalUnread"]), (&json!(1), &json!(2)));

    harness.expect(alice, hide(&first), "message_deleted").await;
    let clear = json!({"type": "delete_conversation", "conversationId": conversation(alice, carol)});
    harness.expect(alice, clear, "conversation_deleted").await;
    let group = create(&harness, bob, &[alice]).await;
    harness.expect(bob, text(group, "x"), "group_message_sent").await;
    assert_eq!(ids(&inbox(&harness, alice).await), [group.to_string()]);
    harness.expect(bob, json!({"type": "delete_group", "groupId": group}), "group_deleted").await;
    let answer = part(&harness, alice, 50, &Value::Null).await;
    assert_eq!((&answer["entries"], &answer["totalUnread"]), (&json!([]), &json!(0)));
    assert_eq!(inbox(&harness, bob).await.len(), 1, "hidden from the other only");
}

#[tokio::test]
async fn parts_of_the_inbox_neither_skip_nor_double() {
    let harness = Harness::start("inbox_parts").await;
    let alice = harness.user("alice").await;
    for i in 0..25 {
        let other = harness.user(&format!("u{i}")).await;
        harness.send(other, alice, "x").await;
    }
    // Several at the same moment.
    sqlx::query("UPDATE conversations SET last_message_at = date_trunc('minute', last_message_at)")
        .execute(&harness.db)
        .await
        .unwrap();
    let all = ids(&inbox(&harness, alice).await);
    assert_eq!(all.len(), 25);
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let answer = part(&harness, alice, 4, &cursor).await;
        seen.extend(ids(answer["entries"].as_array().unwrap()));
        // A conversation that moves to the front does not appear again further down, and nothing else is skipped.
        if seen.len() == 8 {
            let other = all[20].split('_').find(|id| *id != "conv" && *id != alice.to_string()).unwrap();
            harness.send(UserId(other.parse().unwrap()), alice, "again").await;
        }
        match answer.get("nextCursor") {
            Some(next) => cursor = next.clone(),
            None => break,
        }
    }
    let expected: Vec<String> = all.iter().filter(|id| **id != all[20]).cloned().collect();
    assert_eq!(seen, expected);
}

/// The whole inbox, in parts.
async fn all_parts(harness: &Harness, user: UserId) -> (Vec<Value>, Value) {
    let (mut entries, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let answer = part(harness, user, 30, &cursor).await;
        entries.extend(answer["entries"].as_array().unwrap().clone());
        match answer.get("nextCursor") {
            Some(next) => cursor = next.clone(),
            None => return (entries, answer["totalUnread"].clone()),
        }
    }
}

#[tokio::test]
async fn quiet_conversations_are_listed_like_any_other() {
    let harness = Harness::start("inbox_quiet").await;
    let alice = harness.user("alice").await;
    let (mut others, mut messages) = (Vec::new(), Vec::new());
    for i in 0..80 {
        let other = harness.user(&format!("u{i}")).await;
        messages.push(harness.send(other, alice, "x").await["messageId"].clone());
        others.push(other);
    }
    let group = create(&harness, others[0], &[alice]).await;
    harness.expect(others[0], text(group, "x"), "group_message_sent").await;
    // Quiet for a long time, several since the same moment.
    let age = "UPDATE conversations SET last_message_at = date_trunc('second', last_message_at) - interval '1 hour'
               WHERE conversation_id LIKE 'conv%'";
    let marked = "SELECT count(*) FROM conversation_members WHERE user_id = $1 AND quiet_since IS NOT NULL";
    let count = async || -> i64 { sqlx::query_scalar(marked).bind(alice.0).fetch_one(&harness.db).await.unwrap() };
    // As they are, and as they would be if nothing were marked as quiet.
    let check = async |what: &str| {
        let found = all_parts(&harness, alice).await;
        let unmark = "UPDATE conversation_members SET quiet_since = NULL, quiet_unread = FALSE";
        let mut transaction = harness.db.begin().await.unwrap();
        sqlx::query("CREATE TABLE kept AS SELECT * FROM conversation_members")
            .execute(&mut *transaction)
            .await
            .unwrap();
        sqlx::query(unmark).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
        let answer = part(&harness, alice, 200, &Value::Null).await;
        let looked_up = (answer["entries"].as_array().unwrap().clone(), answer["totalUnread"].clone());
        let restore = "UPDATE conversation_members m SET quiet_since = k.quiet_since, quiet_unread = k.quiet_unread
                       FROM kept k WHERE k.user_id = m.user_id AND k.conversation_id = m.conversation_id";
        sqlx::query(restore).execute(&harness.db).await.unwrap();
        sqlx::query("DROP TABLE kept").execute(&harness.db).await.unwrap();
        assert_eq!(found, looked_up, "{what}");
        found
    };
    sqlx::query(age).execute(&harness.db).await.unwrap();
    let (entries, total) = check("at first").await;
    assert_eq!((entries.len(), &total), (81, &json!(81)));
    part(&harness, alice, 1, &Value::Null).await;
    assert_eq!(count().await, 80);
    assert_eq!(check("quiet").await.0, entries);

    harness.send(others[7], alice, "again").await;
    assert_eq!(count().await, 79, "a message ends the quiet");
    assert_eq!(check("a message").await.0[0]["unreadCount"], 2);
    for command in [
        json!({"type": "mark_message_read", "messageId": messages[20]}),
        json!({"type": "delete_message", "messageId": messages[21], "deleteForEveryone": false}),
        json!({"type": "delete_conversation", "conversationId": conversation(alice, others[22])}),
        json!({"type": "set_conversation_settings", "conversationId": conversation(alice, others[23]), "pinned": true}),
        json!({"type": "add_reaction", "messageId": messages[24], "reaction": "👍"}),
    ] {
        let answer = harness.command(alice, command.clone()).await;
        assert_ne!(answer["type"], "error", "{command}: {answer}");
        check(&command.to_string()).await;
    }
    let gone = json!({"type": "delete_message", "messageId": messages[30], "deleteForEveryone": true});
    harness.expect(others[30], gone, "message_deleted").await;
    check("deleted for everyone").await;
    let read = json!({"type": "mark_message_read", "messageId": messages[24]});
    harness.expect(alice, read, "message_read").await;
    check("read after it was active again").await;

    // A conversation without visible messages is marked, too, and comes back with a message.
    sqlx::query("UPDATE conversation_members SET quiet_since = NULL, quiet_unread = FALSE")
        .execute(&harness.db)
        .await
        .unwrap();
    sqlx::query(age).execute(&harness.db).await.unwrap();
    part(&harness, alice, 1, &Value::Null).await;
    let (entries, _) = check("quiet again").await;
    assert_eq!(entries.len(), 78);
    for other in [21, 22, 30] {
        harness.send(others[other], alice, "back").await;
        let (entries, _) = check("back").await;
        assert_eq!(entries[0]["participant"]["userId"], json!(others[other]));
    }
    assert_eq!(check("all").await.0.len(), 81);
}

#[tokio::test]
async fn unread_messages_are_counted_to_1000_in_every_list() {
    let harness = Harness::start("inbox_unread").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let group = create(&harness, alice, &[bob]).await;
    harness.send(bob, alice, "x").await;
    harness.expect(bob, text(group, "x"), "group_message_sent").await;
    for statement in [
        "INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, mac, key_id, created_at)
         SELECT gen_random_uuid(), conversation_id, s, sender_id, recipient_id, content, iv, mac, key_id, created_at
         FROM private_messages, generate_series(2, 1100) s",
        "UPDATE conversations SET last_seq = 1100, message_count = 1100",
    ] {
        sqlx::query(statement).execute(&harness.db).await.unwrap();
    }
    let answer = part(&harness, alice, 50, &Value::Null).await;
    let counts: Vec<&Value> = answer["entries"].as_array().unwrap().iter().map(|entry| &entry["unreadCount"]).collect();
    assert_eq!((counts, &answer["totalUnread"]), (vec![&json!(1000); 2], &json!(1000)));
    let listed = harness.expect(alice, json!({"type": "get_conversations"}), "conversations").await;
    assert_eq!(listed["conversations"][0]["unreadCount"], 1000);
    let listed = harness.expect(alice, json!({"type": "get_user_groups"}), "user_groups").await;
    assert_eq!(listed["groups"][0]["unreadCount"], 1000);
}

#[tokio::test]
async fn settings_are_stored_and_sent_to_the_users_devices() {
    let harness = Harness::start("settings").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let message = harness.send(bob, alice, "x").await["messageId"].clone();
    let id = conversation(alice, bob);
    let set = |fields: Value| {
        let mut command = json!({"type": "set_conversation_settings", "conversationId": id});
        command.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        command
    };
    let until = "2030-01-02T03:04:05.006Z";
    let command = set(json!({"mutedUntil": until, "pinned": true, "markedUnread": true}));
    let answer = harness.expect(alice, command, "conversation_settings").await;
    let told = harness.event(Channel::User(alice), "conversation_settings").await;
    for settings in [&answer, &told, &inbox(&harness, alice).await[0]] {
        assert_eq!((&settings["conversationId"], &settings["mutedUntil"]), (&json!(id), &json!(until)));
        assert_eq!((&settings["pinned"], &settings["markedUnread"]), (&json!(true), &json!(true)));
    }
    let others = &inbox(&harness, bob).await[0];
    assert_eq!((others.get("mutedUntil"), &others["pinned"]), (None, &json!(false)));
    assert!(harness.events(Channel::User(bob), "conversation_settings").is_empty());

    // A read mark removes `markedUnread`, even for a message that was already read, and leaves the rest.
    for _ in 0..2 {
        harness.expect(alice, set(json!({"markedUnread": true})), "conversation_settings").await;
        harness.expect(alice, json!({"type": "mark_message_read", "messageId": message}), "message_read").await;
        let entry = &inbox(&harness, alice).await[0];
        assert_eq!((&entry["markedUnread"], &entry["pinned"]), (&json!(false), &json!(true)));
    }
    let told = harness.events(Channel::User(alice), "conversation_settings");
    assert_eq!(told.last().unwrap()["markedUnread"], false);
    let answer = harness.expect(alice, set(json!({"mutedUntil": null})), "conversation_settings").await;
    assert_eq!((&answer["mutedUntil"], &answer["pinned"]), (&json!(null), &json!(true)));

    harness.refused(carol, set(json!({"pinned": true})), "RESOURCE_NOT_FOUND").await;
    let group = create(&harness, alice, &[bob]).await;
    let pin = json!({"type": "set_conversation_settings", "conversationId": group, "pinned": true});
    harness.refused(carol, pin.clone(), "RESOURCE_NOT_FOUND").await;
    assert_eq!(harness.expect(bob, pin, "conversation_settings").await["pinned"], true);
}

#[tokio::test]
async fn settings_made_elsewhere_come_by_sync() {
    let harness = Harness::start("settings_sync").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let message = harness.send(bob, alice, "x").await["messageId"].clone();
    let id = conversation(alice, bob);
    let page = harness.expect(alice, json!({"type": "get_messages", "recipientId": bob}), "private_messages").await;
    let known = json!({"seq": 1, "version": page["version"]});
    // The whole series is published before its end, which is the answer.
    let sync = async |user| {
        let before = harness.published().len();
        let command = json!({"type": "sync", "conversations": {(id.clone()): known}});
        harness.expect(user, command, "sync_complete").await;
        let parts = harness.published().into_iter().skip(before).map(|published| published.json());
        parts.filter(|part| part["type"] == "sync_changes").map(|part| part["info"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(sync(alice).await, Vec::<Value>::new());
    let set = json!({"type": "set_conversation_settings", "conversationId": id, "pinned": true, "markedUnread": true});
    harness.expect(alice, set, "conversation_settings").await;
    assert_eq!(sync(alice).await, [json!({"mutedUntil": null, "pinned": true, "markedUnread": true})]);
    harness.expect(alice, json!({"type": "mark_message_read", "messageId": message}), "message_read").await;
    assert_eq!(sync(alice).await, [json!({"mutedUntil": null, "pinned": true, "markedUnread": false})]);
    assert_eq!(sync(bob).await, Vec::<Value>::new(), "nobody else's");
}

#[tokio::test]
async fn a_page_around_a_message_says_what_lies_beyond() {
    let harness = Harness::start("around").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = create(&harness, alice, &[bob]).await;
    let mut messages = Vec::new();
    for i in 1..=9 {
        messages.push(harness.send(bob, alice, &i.to_string()).await["messageId"].clone());
        harness.expect(bob, text(group, &i.to_string()), "group_message_sent").await;
    }
    let hide = json!({"type": "delete_message", "messageId": messages[4], "deleteForEveryone": false});
    harness.expect(alice, hide, "message_deleted").await;
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
        let page = harness.expect(alice, direct(fields.clone()), "private_messages").await;
        let found: Vec<i64> = page["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_i64().unwrap()).collect();
        assert_eq!(found, seqs, "{fields}");
        assert_eq!((&page["hasBefore"], &page["hasAfter"]), (&json!(before), &json!(after)), "{fields}");
        assert_eq!((&page["hasMore"], &page["offset"]), (&json!(before), &json!(null)), "{fields}");
    }
    let page = json!({"type": "get_group_messages", "groupId": group, "aroundSeq": 8, "limit": 4});
    let page = harness.expect(alice, page, "group_messages").await;
    assert_eq!((&page["messages"][0]["seq"], &page["hasAfter"]), (&json!(6), &json!(false)));
    let newest = harness.expect(alice, direct(json!({})), "private_messages").await;
    assert_eq!((newest.get("hasBefore"), newest.get("hasAfter")), (None, None));

    // Hidden messages, and those of other conversations, are not found.
    let elsewhere = harness.send(bob, carol, "x").await["messageId"].clone();
    for message in [&messages[4], &elsewhere] {
        let refused = harness.refused(alice, direct(json!({"aroundMessageId": message})), "RESOURCE_NOT_FOUND").await;
        assert_eq!(refused["field"], "aroundMessageId");
    }
}

#[tokio::test]
async fn members_come_in_parts_when_asked_for() {
    let harness = Harness::start("member_parts").await;
    let [alice, bob, carol, dave, eve] = harness.users(["alice", "bob", "carol", "dave", "eve"]).await;
    let group = create(&harness, alice, &[bob, carol, dave, eve]).await;
    harness.expect(alice, json!({"type": "promote_member", "groupId": group, "userId": dave}), "member_promoted").await;
    let all = harness.expect(bob, json!({"type": "get_group_members", "groupId": group}), "group_members").await;
    assert_eq!((all["members"].as_array().unwrap().len(), all.get("nextCursor")), (5, None));
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let command = json!({"type": "get_group_members", "groupId": group, "limit": 2, "cursor": cursor});
        let part = harness.expect(bob, command, "group_members").await;
        seen.extend(part["members"].as_array().unwrap().clone());
        match part.get("nextCursor") {
            Some(next) => cursor = next.clone(),
            None => break,
        }
    }
    assert_eq!(&json!(seen), &all["members"]);
}

#[tokio::test]
async fn all_groups_of_a_user_can_be_listed() {
    const GROUPS: i64 = 2_100;
    let harness = Harness::start("group_parts").await;
    let alice = harness.user("alice").await;
    // Two are active at each time. With these names and descriptions, one answer does not hold them.
    let add = format!(
        "CREATE TEMPORARY TABLE made AS
             SELECT n, 'group_' || gen_random_uuid() AS id, now() - n / 2 * interval '1 minute' AS at FROM generate_series(0, {GROUPS} - 1) n;
         INSERT INTO conversations (conversation_id, last_message_at) SELECT id, at FROM made WHERE n % 3 = 0;
         INSERT INTO group_chats (group_id, name, description, created_by, max_members)
             SELECT id, n::text, repeat('d', 500), {alice}, 50 FROM made;
         INSERT INTO group_members (group_id, user_id, role, joined_at) SELECT id, {alice}, 'owner', at FROM made"
    );
    sqlx::raw_sql(&add).execute(&harness.db).await.unwrap();
    let list = async |limit: Option<u32>| {
        let (mut seen, mut cursor, mut parts) = (Vec::new(), Value::Null, 0);
        loop {
            let command = json!({"type": "get_user_groups", "limit": limit, "cursor": cursor});
            let part = harness.expect(alice, command, "user_groups").await;
            assert!(part.to_string().len() < 1024 * 1024 + 1024, "{}", part.to_string().len());
            let names = part["groups"].as_array().unwrap().iter().map(|group| group["groupName"].as_str().unwrap());
            seen.extend(names.map(|name| name.parse::<i64>().unwrap()));
            parts += 1;
            match part.get("nextCursor") {
                Some(next) => cursor = next.clone(),
                None => return (seen, parts),
            }
        }
    };
    let (seen, parts) = list(Some(200)).await;
    assert_eq!((seen.len() as i64, parts), (GROUPS, 11));
    // The most recently active first, each once.
    assert!(seen.is_sorted_by_key(|n| n / 2), "{seen:?}");
    let distinct: HashSet<i64> = seen.iter().copied().collect();
    assert_eq!(distinct.len(), seen.len());
    // Without a limit as many as an answer holds; the rest by its cursor.
    let first = harness.expect(alice, json!({"type": "get_user_groups"}), "user_groups").await;
    let held = first["groups"].as_array().unwrap().len();
    assert!(held > 1_000 && held < 2_000 && first["nextCursor"].is_string(), "{held}");
    sqlx::query("UPDATE group_chats SET description = ''").execute(&harness.db).await.unwrap();
    assert_eq!(list(None).await.0, seen);
    let first = harness.expect(alice, json!({"type": "get_user_groups"}), "user_groups").await;
    assert_eq!(first["groups"].as_array().unwrap().len(), 2_000);
}
