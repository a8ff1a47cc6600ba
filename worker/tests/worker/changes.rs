//! Versions, and `sync` by version: what a device is sent that was away.

use serde_json::{Value, json};
use shared::ids::{GroupId, UserId};
use shared::redis::keys::Channel;

use crate::groups::{command, create, text};
use crate::harness::Harness;
use crate::messages::say;

fn direct(a: UserId, b: UserId) -> String {
    format!("conv_{a}_{b}")
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("a number, not {value}"))
}

async fn version(harness: &Harness, conversation: &str) -> i64 {
    sqlx::query_scalar("SELECT version FROM conversations WHERE conversation_id = $1")
        .bind(conversation)
        .fetch_one(&harness.db)
        .await
        .unwrap()
}

/// The changes and the messages that the sync of one conversation returns.
async fn sync_one(harness: &Harness, user: UserId, conversation: &str, seq: i64, version: i64) -> (Value, Value) {
    let (series, _) = harness.sync(user, json!({conversation: {"seq": seq, "version": version}})).await;
    let of = |kind: &str| series.iter().find(|part| part["type"] == kind).cloned().unwrap_or_default();
    assert_eq!(series.last().unwrap()["type"], "sync_complete");
    (of("sync_changes"), of("sync_messages"))
}

fn seqs(list: &Value) -> Vec<i64> {
    list.as_array().unwrap_or_else(|| panic!("a list, not {list}")).iter().map(|one| number(&one["seq"])).collect()
}

#[tokio::test]
async fn each_change_raises_the_version_by_one_and_is_told_with_it() {
    let harness = Harness::start("versions").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let conversation = direct(alice, bob);
    let page = json!({"type": "get_private_messages", "conversationId": conversation});
    let empty = harness.expect(alice, page.clone(), "private_messages").await;
    assert_eq!(empty["version"], 1);
    let started =
        harness.expect(alice, json!({"type": "start_conversation", "recipientId": bob}), "conversation_started");
    assert_eq!(started.await["version"], 1);

    let first = harness.send(alice, bob, "one").await["messageId"].clone();
    let live = harness.event(Channel::User(bob), "new_message").await;
    assert_eq!(live["version"], 2);
    let second = harness.send(alice, bob, "two").await["messageId"].clone();
    let pin = |kind: &str| json!({"type": kind, "messageId": first, "conversationId": conversation});
    let steps = [
        (json!({"type": "edit_message", "messageId": first, "content": "new"}), "message_edited", 4),
        (json!({"type": "add_reaction", "messageId": first, "emoji": "x"}), "reaction_added", 5),
        (json!({"type": "add_reaction", "messageId": first, "emoji": "x"}), "reaction_removed", 6),
        (json!({"type": "add_reaction", "messageId": first, "emoji": "y"}), "reaction_added", 7),
        (json!({"type": "remove_reaction", "messageId": first}), "reaction_removed", 8),
        (pin("pin_message"), "message_pinned", 9),
        (pin("pin_message"), "message_pinned", 9),
        (pin("unpin_message"), "message_unpinned", 10),
        (pin("unpin_message"), "message_unpinned", 10),
        (json!({"type": "delete_message", "messageId": second}), "message_deleted", 11),
        (json!({"type": "delete_message", "messageId": first, "deleteForEveryone": false}), "message_deleted", 11),
        (json!({"type": "delete_conversation", "conversationId": conversation}), "conversation_deleted", 11),
        (
            json!({"type": "delete_conversation", "conversationId": conversation, "deleteForEveryone": true}),
            "conversation_deleted",
            12,
        ),
    ];
    for (message, kind, expected) in steps {
        let answer = harness.expect(alice, message, kind).await;
        assert_eq!(answer["version"], expected, "{answer}");
        assert_eq!(version(&harness, &conversation).await, expected);
    }
    for kind in ["message_edited", "message_pinned", "message_deleted", "conversation_deleted"] {
        let event = harness.event(Channel::User(bob), kind).await;
        assert!(number(&event["version"]) > 2 && event["eventId"].is_string(), "{event}");
    }
    assert_eq!(harness.expect(bob, page, "private_messages").await["version"], 12);
    let pinned = json!({"type": "get_pinned_messages", "conversationId": conversation});
    assert_eq!(harness.expect(bob, pinned, "pinned_messages").await["version"], 12);
}

#[tokio::test]
async fn messages_of_one_batch_have_versions_of_their_own() {
    let harness = Harness::without_worker("batchversions", &[]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let mut last = None;
    for n in 0..20 {
        let send = json!({"type": "send_message", "recipientId": bob, "content": n.to_string()});
        let prepared = harness.prepare(alice, &send);
        harness.append(&prepared).await;
        last = Some(prepared.envelope.id);
    }
    harness.add_worker().await;
    harness.answer(last.unwrap()).await;
    let told: Vec<(i64, i64)> = harness
        .events(Channel::User(bob), "new_message")
        .iter()
        .map(|event| (number(&event["seq"]), number(&event["version"])))
        .collect();
    assert_eq!(told, (1..=20).map(|n| (n, n + 1)).collect::<Vec<_>>());
}

#[tokio::test]
async fn changes_of_a_group_raise_its_version() {
    let harness = Harness::start("groupversions").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = create(&harness, alice, &[bob]).await;
    let created = harness.event(Channel::User(bob), "group_created").await;
    assert_eq!(created["version"], 1);
    let steps = [
        (alice, json!({"type": "update_group_info", "groupId": group, "groupName": "New"}), "group_info_updated"),
        (alice, command("add_group_member", group, carol), "member_added"),
        (alice, command("promote_member", group, carol), "member_promoted"),
        (alice, command("demote_member", group, carol), "member_demoted"),
        (alice, command("remove_group_member", group, carol), "member_removed"),
        (alice, command("transfer_ownership", group, bob), "ownership_transferred"),
        (alice, json!({"type": "leave_group", "groupId": group}), "member_left"),
        (bob, json!({"type": "delete_group", "groupId": group}), "group_deleted"),
    ];
    for (expected, (user, message, kind)) in (2..).zip(steps) {
        let answer = harness.expect(user, message, kind).await;
        assert_eq!(
            (answer["version"].clone(), version(&harness, &group.to_string()).await),
            (json!(expected), expected)
        );
    }
}

#[tokio::test]
async fn a_device_that_was_away_is_told_what_changed() {
    let harness = Harness::start("syncchanges").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let conversation = direct(alice, bob);
    let mut ids = Vec::new();
    for n in 1..=6 {
        ids.push(harness.send(bob, alice, &format!("m{n}")).await["messageId"].clone());
    }
    let known = version(&harness, &conversation).await;
    let (changes, messages) = sync_one(&harness, alice, &conversation, 6, known).await;
    assert_eq!((changes, &messages["messages"], &messages["version"]), (Value::Null, &json!([]), &json!(known)));

    harness.expect(bob, json!({"type": "edit_message", "messageId": ids[0], "content": "n1"}), "message_edited").await;
    harness.expect(bob, json!({"type": "edit_message", "messageId": ids[0], "content": "o1"}), "message_edited").await;
    harness.expect(bob, json!({"type": "add_reaction", "messageId": ids[0], "emoji": "x"}), "reaction_added").await;
    harness.expect(bob, json!({"type": "delete_message", "messageId": ids[1]}), "message_deleted").await;
    let hide = json!({"type": "delete_message", "messageId": ids[2], "deleteForEveryone": false});
    harness.expect(alice, hide, "message_deleted").await;
    harness.send(alice, bob, "mine").await;
    // For a message that the device does not have, the newest state is enough.
    let seventh = harness.send(bob, alice, "m8").await["messageId"].clone();
    harness.expect(bob, json!({"type": "edit_message", "messageId": seventh, "content": "n8"}), "message_edited").await;

    let (changes, messages) = sync_one(&harness, alice, &conversation, 6, known).await;
    assert_eq!((&changes["fromVersion"], &changes["hasMore"]), (&json!(known), &json!(false)));
    let changed = changes["changed"].as_array().unwrap();
    assert_eq!(changed.len(), 1);
    assert_eq!((&changed[0]["seq"], &changed[0]["content"]), (&json!(1), &json!("o1")));
    assert_eq!(changed[0]["reactions"][0]["reaction"], "x");
    assert_eq!(changes["deleted"], json!([{"messageId": ids[1], "seq": 2}]));
    assert_eq!(changes["hidden"], json!([{"messageId": ids[2], "seq": 3}]));
    assert!(changes.get("info").is_none() && changes.get("stale").is_none());
    assert_eq!(changes["version"], messages["version"]);
    let new: Vec<&Value> = messages["messages"].as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(new, ["mine", "n8"]);

    // Nothing changed after that, and the view of others differs only in what is hidden.
    let now = number(&messages["version"]);
    let (again, messages) = sync_one(&harness, alice, &conversation, 8, now).await;
    assert_eq!((again, &messages["messages"]), (Value::Null, &json!([])));
    let (others, _) = sync_one(&harness, bob, &conversation, 6, known).await;
    assert_eq!(others["hidden"], json!([]));
}

#[tokio::test]
async fn an_emptied_conversation_is_hidden_up_to_where_it_was_emptied() {
    let harness = Harness::start("syncemptied").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let conversation = direct(alice, bob);
    harness.send(alice, bob, "one").await;
    let known = version(&harness, &conversation).await;
    let clear = |everyone: bool| json!({"type": "delete_conversation", "conversationId": conversation, "deleteForEveryone": everyone});
    harness.expect(bob, clear(false), "conversation_deleted").await;
    let (mine, _) = sync_one(&harness, bob, &conversation, 1, known).await;
    assert_eq!((&mine["hiddenThroughSeq"], &mine["version"]), (&json!(1), &json!(known)));
    let (others, _) = sync_one(&harness, alice, &conversation, 1, known).await;
    assert_eq!(others, Value::Null);
    harness.send(alice, bob, "two").await;
    harness.expect(bob, clear(true), "conversation_deleted").await;
    harness.send(alice, bob, "three").await;
    let (changes, messages) = sync_one(&harness, alice, &conversation, 2, known).await;
    assert_eq!((&changes["hiddenThroughSeq"], &changes["deleted"]), (&json!(2), &json!([])));
    assert_eq!(seqs(&messages["messages"]), [3]);
}

#[tokio::test]
async fn what_a_device_lost_of_its_users_view_is_told_again() {
    let harness = Harness::start("lostview").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let conversation = direct(alice, bob);
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        ids.push(harness.send(bob, alice, text).await["messageId"].clone());
    }
    harness
        .expect(alice, json!({"type": "delete_conversation", "conversationId": conversation}), "conversation_deleted")
        .await;
    ids.push(harness.send(bob, alice, "four").await["messageId"].clone());
    let hide = json!({"type": "delete_message", "messageId": ids[3], "deleteForEveryone": false});
    harness.expect(alice, hide, "message_deleted").await;
    let settings = json!({"type": "set_conversation_settings", "conversationId": conversation, "pinned": true});
    harness.expect(alice, settings, "conversation_settings").await;
    // Alice has a connected device that receives this message, but none of the events before it.
    harness.send(bob, alice, "five").await;
    let known = version(&harness, &conversation).await;
    assert_eq!(sync_one(&harness, alice, &conversation, 5, known).await.0, Value::Null);
    harness.send(bob, alice, "six").await;
    let (changes, messages) = sync_one(&harness, alice, &conversation, 5, known).await;
    assert_eq!(
        (&changes["hiddenThroughSeq"], &changes["hidden"], &changes["info"]["pinned"]),
        (&json!(3), &json!([{"messageId": ids[3], "seq": 4}]), &json!(true))
    );
    assert_eq!(seqs(&messages["messages"]), [6]);
}

#[tokio::test]
async fn a_groups_information_is_told_as_it_is_now() {
    let harness = Harness::start("syncinfo").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = create(&harness, alice, &[bob, carol]).await;
    let id = group.to_string();
    let update = |name: &str| json!({"type": "update_group_info", "groupId": group, "groupName": name});
    harness.expect(alice, update("B"), "group_info_updated").await;
    harness.expect(alice, update("C"), "group_info_updated").await;
    harness.expect(alice, command("promote_member", group, bob), "member_promoted").await;
    harness.expect(alice, command("remove_group_member", group, carol), "member_removed").await;
    let (changes, _) = sync_one(&harness, bob, &id, 0, 1).await;
    let info = &changes["info"];
    assert_eq!(
        (&info["groupId"], &info["groupName"], &info["memberCount"], &info["myRole"]),
        (&json!(id), &json!("C"), &json!(2), &json!("admin"))
    );
    assert_eq!((&changes["changed"], &changes["version"]), (&json!([]), &json!(5)));
    // Carol is no longer a member, and once it is deleted, neither is Bob.
    let gone = |series: Vec<Value>| series.iter().map(|part| part["type"].clone()).collect::<Vec<_>>();
    let ask = json!({&id: {"seq": 0, "version": 1}});
    assert_eq!(gone(harness.sync(carol, ask.clone()).await.0), ["sync_gone", "sync_complete"]);
    harness.expect(alice, json!({"type": "delete_group", "groupId": group}), "group_deleted").await;
    assert_eq!(gone(harness.sync(bob, ask).await.0), ["sync_gone", "sync_complete"]);
    let foreign = json!({direct(alice, bob): {"seq": 0, "version": 1}});
    assert_eq!(gone(harness.sync(carol, foreign).await.0), ["sync_gone", "sync_complete"]);
}

#[tokio::test]
async fn what_cannot_be_known_is_stale() {
    let harness = Harness::start("stale").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let conversation = direct(alice, bob);
    let id = harness.send(alice, bob, "one").await["messageId"].clone();
    let react = |emoji: &str| json!({"type": "add_reaction", "messageId": id, "emoji": emoji});
    harness.expect(bob, react("x"), "reaction_added").await;
    let is_stale = async |seq: i64, version: i64| {
        let (changes, messages) = sync_one(&harness, alice, &conversation, seq, version).await;
        assert_eq!(messages.is_null(), changes["stale"] == true);
        changes["stale"] == true
    };
    assert!(!is_stale(1, 2).await);
    // From another history of the database.
    assert!(is_stale(1, 4).await && is_stale(2, 3).await);
    // A change made by a release that leaves no row, or by hand.
    sqlx::query("UPDATE conversations SET version = version + 1").execute(&harness.db).await.unwrap();
    assert!(is_stale(1, 3).await && !is_stale(1, 4).await);
    harness.expect(bob, react("y"), "reaction_added").await;
    assert!(!is_stale(1, 4).await);
}

#[tokio::test]
async fn old_changes_beyond_the_newest_ten_thousand_go() {
    let harness = Harness::without_worker("changeretention", &[("CHANGES_RETENTION", "1h")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let conversation = direct(alice, bob);
    // 10,020 changes, the first 10 of them older than an hour, and 5 of a deleted group.
    for statement in [
        "INSERT INTO conversations (conversation_id, version) VALUES ($1, 10021)",
        "INSERT INTO conversation_members (conversation_id, user_id) VALUES ($1, 1)",
        "INSERT INTO conversation_changes (conversation_id, version, kind, seq, message_id, at)
         SELECT $1, n, 1, 1, gen_random_uuid(), now() - CASE WHEN n <= 11 THEN interval '2h' ELSE interval '0' END
         FROM generate_series(2, 10021) AS n",
        "INSERT INTO conversation_changes (conversation_id, version, kind)
         SELECT replace($1, 'conv', 'group'), n, 2 FROM generate_series(2, 6) AS n",
    ] {
        sqlx::query(statement).bind(&conversation).execute(&harness.db).await.unwrap();
    }
    harness.add_worker().await;
    harness.until("SELECT count(*) = 10010 AND min(version) = 12 FROM conversation_changes").await;
    let lost: i64 = sqlx::query_scalar("SELECT changes_lost FROM conversations").fetch_one(&harness.db).await.unwrap();
    assert_eq!(lost, 11);
}

#[tokio::test]
async fn many_changes_come_in_parts_that_go_on_from_each_other() {
    let harness = Harness::start("syncparts").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let conversation = direct(alice, bob);
    let first = harness.send(bob, alice, &"x".repeat(5_000)).await["messageId"].clone();
    // 600 more like it, each changed since.
    sqlx::query(
        "WITH copied AS (
             INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, key_id, created_at)
             SELECT gen_random_uuid(), conversation_id, n, sender_id, recipient_id, convert_to(repeat('x', 5000), 'UTF8'),
                 iv, key_id, created_at
             FROM private_messages, generate_series(2, 601) AS n WHERE message_id = $1::uuid
             RETURNING conversation_id, seq, message_id
         ),
         noted AS (
             INSERT INTO conversation_changes (conversation_id, version, kind, seq, message_id)
             SELECT conversation_id, 1000 + seq, 1, seq, message_id FROM copied
         )
         UPDATE conversations SET last_seq = 601, version = 2000, message_count = 601",
    )
    .bind(uuid::Uuid::parse_str(&first.as_str().unwrap()["msg_".len()..]).unwrap())
    .execute(&harness.db)
    .await
    .unwrap();
    reseal(&harness).await;

    let (series, rounds) = harness.sync(alice, json!({&conversation: {"seq": 601, "version": 2}})).await;
    let parts: Vec<&Value> = series.iter().filter(|part| part["type"] == "sync_changes").collect();
    assert!(parts.len() > 10 && rounds > 4, "{} parts in {rounds} rounds", parts.len());
    let mut told = Vec::new();
    let mut from = json!(2);
    for (place, part) in parts.iter().enumerate() {
        assert!(part.to_string().len() <= 256 * 1024);
        assert_eq!((&part["fromVersion"], &part["hasMore"]), (&from, &json!(place + 1 < parts.len())));
        from = part["version"].clone();
        told.extend(seqs(&part["changed"]));
    }
    assert_eq!((from, told), (json!(2000), (2..=601).collect::<Vec<_>>()));
    // From the middle, like a client that was interrupted.
    let middle = number(&parts[5]["version"]);
    let (series, _) = harness.sync(alice, json!({&conversation: {"seq": 601, "version": middle}})).await;
    let rest: Vec<i64> =
        series.iter().filter(|part| part["type"] == "sync_changes").flat_map(|part| seqs(&part["changed"])).collect();
    assert_eq!(rest, (middle - 999..=601).collect::<Vec<_>>());
}

/// Makes content readable that was copied between messages.
async fn reseal(harness: &Harness) {
    let rows: Vec<(uuid::Uuid,)> = sqlx::query_as("SELECT message_id FROM private_messages WHERE mac IS NULL")
        .fetch_all(&harness.db)
        .await
        .unwrap();
    for (id,) in rows {
        let sealed = harness.keyring.seal(id, "x".repeat(5_000).as_bytes());
        sqlx::query("UPDATE private_messages SET content = $2, iv = $3, mac = $4, key_id = $5 WHERE message_id = $1")
            .bind(id)
            .bind(sealed.ciphertext)
            .bind(sealed.iv.to_vec())
            .bind(sealed.mac.to_vec())
            .bind(sealed.key_id)
            .execute(&harness.db)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn five_thousand_conversations_fit_into_one_sync() {
    let harness = Harness::start("syncmany").await;
    let [alice] = harness.users(["alice"]).await;
    sqlx::query(
        "WITH others AS (INSERT INTO users_auth (user_id, username) SELECT n, 'u' || n FROM generate_series(1000, 5999) AS n)
         INSERT INTO conversations (conversation_id, version, last_seq)
         SELECT 'conv_' || $1 || '_' || n, 3, 1 FROM generate_series(1000, 5999) AS n",
    )
    .bind(alice.0.to_string())
    .execute(&harness.db)
    .await
    .unwrap();
    let positions: serde_json::Map<String, Value> =
        (1000..6000).map(|other| (direct(alice, UserId(other)), json!({"seq": 1, "version": 3}))).collect();
    let (series, rounds) = harness.sync(alice, Value::Object(positions)).await;
    assert_eq!(series.len(), 5_001);
    assert!(series[..5_000].iter().all(|part| part["type"] == "sync_messages" && part["version"] == 3));
    assert!(rounds > 1);
}

#[tokio::test]
async fn a_reaction_is_one_change_and_a_message_is_none() {
    let harness = Harness::start("changerows").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let group: GroupId = create(&harness, alice, &[bob]).await;
    let id = say(&harness, alice, &group.to_string(), "x").await;
    let react = json!({"type": "add_group_reaction", "messageId": id, "reaction": "x"});
    harness.expect(bob, react, "group_reaction_added").await;
    harness.expect(alice, text(group, "y"), "group_message_sent").await;
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM conversation_changes").fetch_one(&harness.db).await.unwrap();
    assert_eq!(rows, 1);
}
