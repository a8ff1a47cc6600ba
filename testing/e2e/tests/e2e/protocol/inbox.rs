//! The inbox, settings of a conversation, finding and blocking users: what every device of a user sees.

use anyhow::{Context as _, Result};
use e2e::Request;
use serde_json::{Value, json};

use super::Kind::{Bool, Int, List, Map, Str, Time};
use super::{MESSAGE, Person, fleet, has_fields};

const ENTRY: super::Fields = &[
    ("kind", Str),
    ("conversationId", Str),
    ("lastActivityAt", Time),
    ("lastSeq", Int),
    ("readSeq", Int),
    ("unreadCount", Int),
    ("unreadMentions", Int),
    ("version", Int),
    ("pinned", Bool),
    ("markedUnread", Bool),
];

async fn inbox(person: &mut Person) -> Result<Value> {
    person.ask(json!({"type": "get_inbox"}), "inbox", &[("entries", List), ("totalUnread", Int)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inbox_shows_direct_conversations_and_groups_alike() -> Result<()> {
    let (mut alice, mut bob) = (Person::connect("alice", 0).await?, Person::connect("bob", 1).await?);
    let create = json!({"type": "create_group", "groupName": "Climbers", "initialMembers": [bob.user.id]});
    let group = alice.ask(create, "group_created", &[]).await?["groupId"].clone();
    let send = json!({"type": "send_message", "recipientId": bob.user.id, "content": "first"});
    let first = alice.ask(send, "message_sent", &[]).await?["messageId"].clone();
    let mention = format!("@{} look", bob.user.name);
    let send = json!({"type": "send_group_message", "groupId": group, "content": mention});
    alice.ask(send, "group_message_sent", &[]).await?;
    let reply = json!({"type": "send_message", "recipientId": bob.user.id, "content": "second", "replyTo": first});
    let reply = alice.ask(reply, "message_sent", &[]).await?["messageId"].clone();
    let live = bob.sees("new_message", ("messageId", &reply), MESSAGE).await?;
    assert_eq!(live["replyTo"]["seq"], 1);

    let listed = inbox(&mut bob).await?;
    let [direct, in_group] = listed["entries"].as_array().context("entries")?.as_slice() else {
        panic!("two entries are expected: {listed}");
    };
    has_fields(direct, ENTRY)?;
    has_fields(direct, &[("participant", Map), ("lastMessage", Map), ("peerReadSeq", Int)])?;
    has_fields(&direct["lastMessage"], MESSAGE)?;
    assert_eq!((&direct["kind"], &direct["lastMessage"]["messageId"]), (&json!("direct"), &reply));
    assert_eq!(direct["lastMessage"]["replyTo"]["seq"], 1);
    assert_eq!(
        (&direct["participant"]["userId"], &direct["participant"]["online"]),
        (&json!(alice.id()), &json!(true))
    );
    assert_eq!((&direct["unreadCount"], &direct["lastSeq"]), (&json!(2), &json!(2)));
    has_fields(in_group, ENTRY)?;
    assert_eq!(
        (&in_group["kind"], &in_group["name"], &in_group["groupId"]),
        (&json!("group"), &json!("Climbers"), &group)
    );
    assert_eq!((&in_group["unreadMentions"], &in_group["myRole"]), (&json!(1), &json!("member")));
    assert_eq!(listed["totalUnread"], 3);

    let part = bob.ask(json!({"type": "get_inbox", "limit": 1}), "inbox", &[("nextCursor", Str)]).await?;
    let rest = json!({"type": "get_inbox", "limit": 1, "cursor": part["nextCursor"]});
    let rest = bob.ask(rest, "inbox", &[]).await?;
    assert_eq!((&rest["entries"][0]["groupId"], rest.get("nextCursor")), (&group, None));
    bob.refused_field(json!({"type": "get_inbox", "cursor": "0badc0de0badc0de"}), "VALIDATION_ERROR", "cursor").await
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_reach_only_the_users_other_devices() -> Result<()> {
    let (mut alice, mut bob) = (Person::connect("alice", 0).await?, Person::connect("bob", 1).await?);
    let mut device = alice.device(1).await?;
    let conversation = client::conversation_id(alice.user.id, bob.user.id);
    let send = json!({"type": "send_message", "recipientId": alice.user.id, "content": "x"});
    let message = bob.ask(send, "message_sent", &[]).await?["messageId"].clone();
    let set = json!({"type": "set_conversation_settings", "conversationId": conversation,
        "mutedUntil": "2040-01-01T00:00:00Z", "pinned": true, "markedUnread": true});
    let fields = &[("conversationId", Str), ("mutedUntil", Time), ("pinned", Bool), ("markedUnread", Bool)];
    alice.ask(set, "conversation_settings", fields).await?;
    let told = device.sees("conversation_settings", ("conversationId", &json!(conversation)), fields).await?;
    assert_eq!((&told["mutedUntil"], &told["markedUnread"]), (&json!("2040-01-01T00:00:00.000Z"), &json!(true)));
    // A read mark removes `markedUnread`; the device that sent it gets the event as well.
    device.ask(json!({"type": "mark_message_read", "messageId": message}), "message_read", &[]).await?;
    for person in [&mut alice, &mut device] {
        let told = person.sees("conversation_settings", ("markedUnread", &json!(false)), fields).await?;
        assert_eq!(told["pinned"], true);
    }
    let entry = inbox(&mut alice).await?["entries"][0].clone();
    assert_eq!((&entry["pinned"], &entry["mutedUntil"]), (&json!(true), &json!("2040-01-01T00:00:00.000Z")));
    let theirs = inbox(&mut bob).await?["entries"][0].clone();
    assert_eq!((&theirs["pinned"], theirs.get("mutedUntil")), (&json!(false), None));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_found_and_blocked() -> Result<()> {
    let mut alice = Person::connect("alice", 0).await?;
    let mut device = alice.device(1).await?;
    let name = format!("Found{}", alice.user.id);
    let account = json!({"username": format!("u{}", alice.user.id), "password": "correct horse", "displayName": name});
    let url = fleet()?.fleet.gateways[0].url();
    let made = Request::post("/api/auth/register", &account).send(&url).await?.json();
    let user = made["user"]["userId"].clone();
    let find = json!({"type": "find_users", "query": name.to_uppercase()});
    let found = alice.ask(find.clone(), "users_found", &[("users", List)]).await?;
    let known = json!({"userId": user, "username": account["username"], "displayName": name, "profileImage": null});
    let mut expected = known.clone();
    expected["online"] = json!(false);
    assert_eq!(found["users"], json!([expected]));

    alice.ask(json!({"type": "block_user", "userId": user}), "user_blocked", &[("userId", Str)]).await?;
    device.sees("user_blocked", ("userId", &user), &[]).await?;
    assert_eq!(alice.ask(find.clone(), "users_found", &[]).await?["users"], json!([]));
    alice.refused(json!({"type": "send_message", "recipientId": user, "content": "x"}), "USER_BLOCKED").await?;
    let blocked = alice.ask(json!({"type": "get_blocked_users"}), "blocked_users", &[("users", List)]).await?;
    assert_eq!(blocked["users"], json!([known]));
    alice.ask(json!({"type": "unblock_user", "userId": user}), "user_unblocked", &[("userId", Str)]).await?;
    device.sees("user_unblocked", ("userId", &user), &[]).await?;
    assert_eq!(alice.ask(find, "users_found", &[]).await?["users"], json!([expected]));
    alice.refused_field(json!({"type": "block_user", "userId": alice.id()}), "VALIDATION_ERROR", "userId").await
}
