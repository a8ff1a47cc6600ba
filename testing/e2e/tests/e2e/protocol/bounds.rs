//! Each bound of the protocol from both sides, and invalid fields.

use anyhow::Result;
use client::event_type;
use serde_json::{Value, json};

use super::{Person, SOON};

const INVALID: &str = "VALIDATION_ERROR";

/// Sends each command; it must succeed, or be rejected as invalid with this field named.
async fn check(person: &mut Person, table: Vec<(Value, Option<&str>)>) -> Result<()> {
    let mut wrong = Vec::new();
    for (command, field) in table {
        let answer = person.client.request(command.clone()).await?;
        let fits = match field {
            None => event_type(&answer) != "error",
            Some(field) => answer["code"] == INVALID && answer["field"] == field,
        };
        if !fits {
            let command: String = command.to_string().chars().take(200).collect();
            wrong.push(format!("{command}: expected {field:?}: {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_direct_messages() -> Result<()> {
    let (mut alice, bob) = (Person::connect("alice", 0).await?, Person::connect("bob", 1).await?);
    let (me, to) = (alice.user.id, bob.user.id);
    let send = |content: Value| json!({"type": "send_message", "recipientId": to, "content": content});
    let id = alice.ask(send(json!("x")), "message_sent", &[]).await?["messageId"].clone();
    let named = |id: Value| json!({"type": "send_message", "recipientId": to, "content": "x", "clientMessageId": id});
    let page = |limit: Value| json!({"type": "get_messages", "recipientId": to, "limit": limit});
    let edit = |text: String| json!({"type": "edit_message", "messageId": id, "content": text});
    let react = |text: String| json!({"type": "add_reaction", "messageId": id, "reaction": text});
    let content = Some("content");
    check(
        &mut alice,
        vec![
            (send(json!("a".repeat(5000))), None),
            (send(json!("👋".repeat(5000))), None),
            (send(json!("a".repeat(5001))), content),
            (send(json!("👋".repeat(5001))), content),
            (send(json!(" \n\t")), content),
            (send(json!("")), content),
            (send(json!(1)), content),
            (send(Value::Null), content),
            (named(json!("n".repeat(64))), None),
            (named(json!("ü".repeat(64))), None),
            (named(json!("n".repeat(65))), Some("clientMessageId")),
            (named(json!("")), Some("clientMessageId")),
            (named(Value::Null), None),
            (json!({"type": "send_message", "content": "x"}), Some("recipientId")),
            (json!({"type": "send_message", "recipientId": "x1", "content": "x"}), Some("recipientId")),
            (json!({"type": "send_message", "recipientId": 1.5, "content": "x"}), Some("recipientId")),
            (json!({"type": "send_message", "recipientId": me, "content": "x"}), Some("recipientId")),
            (
                json!({"type": "send_message", "recipientId": to, "content": "x", "conversationId": "conv_1_999999"}),
                Some("conversationId"),
            ),
            (edit("e".repeat(5000)), None),
            (edit("e".repeat(5001)), content),
            (edit("  ".to_owned()), content),
            (react("👋".repeat(10)), None),
            (react("r".repeat(11)), Some("reaction")),
            (react(String::new()), Some("reaction")),
            (json!({"type": "edit_message", "messageId": "msg_1", "content": "x"}), Some("messageId")),
            (json!({"type": "delete_message", "messageId": id, "deleteForEveryone": "yes"}), Some("deleteForEveryone")),
            (page(json!(1)), None),
            (page(json!(200)), None),
            (page(json!(201)), None),
            (page(json!(0)), Some("limit")),
            (page(json!(-1)), Some("limit")),
            (page(json!(1.5)), Some("limit")),
            (page(json!("many")), Some("limit")),
            (json!({"type": "get_messages", "recipientId": to, "offset": -1}), Some("offset")),
            (json!({"type": "get_messages", "conversationId": "nonsense"}), Some("conversationId")),
            (json!({"type": "get_messages"}), Some("conversationId")),
            (json!({"type": "typing", "recipientId": to, "isTyping": "yes"}), Some("isTyping")),
            // Either order of the two ids is accepted.
            (json!({"type": "get_messages", "conversationId": format!("conv_{}_{}", me.max(to), me.min(to))}), None),
        ],
    )
    .await?;
    let cut = alice.ask(page(json!(201)), "private_messages", &[]).await?;
    assert_eq!(cut["pagination"]["limit"], 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_groups() -> Result<()> {
    let mut owner = Person::connect("owner", 0).await?;
    let create = json!({"type": "create_group", "groupName": "g"});
    let id = owner.ask(create, "group_created", &[]).await?["groupId"].clone();
    let create = |field: &str, value: Value| {
        let mut command = json!({"type": "create_group", "groupName": "g"});
        command[field] = value;
        command
    };
    let update = |field: &str, value: Value| {
        let mut command = json!({"type": "update_group", "groupId": id});
        command[field] = value;
        command
    };
    let mut table = Vec::new();
    for make in [&create as &dyn Fn(&str, Value) -> Value, &update] {
        table.extend([
            (make("groupName", json!("n")), None),
            (make("groupName", json!("👥".repeat(100))), None),
            (make("groupName", json!("👥".repeat(101))), Some("groupName")),
            (make("groupName", json!("")), Some("groupName")),
            (make("groupName", json!("   ")), Some("groupName")),
            (make("groupName", json!(7)), Some("groupName")),
            (make("groupDescription", json!("👥".repeat(500))), None),
            (make("groupDescription", json!("👥".repeat(501))), Some("groupDescription")),
            (make("maxMembers", json!(50)), None),
            (make("maxMembers", json!(51)), Some("maxMembers")),
            (make("maxMembers", json!(0)), Some("maxMembers")),
            (make("maxMembers", json!("x")), Some("maxMembers")),
        ]);
    }
    let send = |content: String| json!({"type": "send_group_message", "groupId": id, "content": content});
    let announce = |content: String| json!({"type": "send_announcement", "groupId": id, "content": content});
    table.extend([
        (create("groupName", Value::Null), Some("groupName")),
        (create("initialMembers", json!("x")), Some("initialMembers")),
        (send("👋".repeat(5000)), None),
        (send("👋".repeat(5001)), Some("content")),
        (send(" ".to_owned()), Some("content")),
        (announce("👋".repeat(5000)), None),
        (announce("👋".repeat(5001)), Some("content")),
        (json!({"type": "get_group_info", "groupId": "group_1"}), Some("groupId")),
        (json!({"type": "get_group_info", "groupId": 5}), Some("groupId")),
        (json!({"type": "get_group_info"}), Some("groupId")),
    ]);
    check(&mut owner, table).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_size_of_groups() -> Result<()> {
    let (mut owner, one, two) =
        (Person::connect("owner", 0).await?, Person::connect("one", 1).await?, Person::connect("two", 1).await?);
    let create = |members: Value| json!({"type": "create_group", "groupName": "small", "maxMembers": 2, "initialMembers": members});
    owner.refused(create(json!([one.user.id, two.user.id])), "TOO_MANY_MEMBERS").await?;
    let group = owner.ask(create(json!([one.user.id])), "group_created", &[]).await?["groupId"].clone();
    let add = json!({"type": "add_group_member", "groupId": group, "userId": two.user.id});
    owner.refused(add.clone(), "GROUP_FULL").await?;
    let update = json!({"type": "update_group", "groupId": group, "maxMembers": 3});
    owner.ask(update, "group_info_updated", &[]).await?;
    owner.ask(add, "member_added", &[]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_request_ids() -> Result<()> {
    let mut alice = Person::connect("alice", 0).await?;
    for id in [json!("r".repeat(64)), json!("ü".repeat(64)), json!(7), json!(-7)] {
        let answer = alice.client.request(json!({"type": "ping", "requestId": id})).await?;
        assert_eq!((event_type(&answer), &answer["requestId"]), ("pong", &id));
        let error = alice.client.request(json!({"type": "get_group_info", "requestId": id})).await?;
        assert_eq!((&error["code"], &error["requestId"]), (&json!(INVALID), &id));
    }
    for id in [json!("r".repeat(65)), json!(1.5), json!(true), json!({}), json!([1])] {
        alice.client.send(json!({"type": "get_user_groups", "requestId": id})).await?;
        let error = alice.client.expect("error", |_| true, SOON).await?;
        assert_eq!((&error["code"], error.get("requestId")), (&json!(INVALID), None), "{id}");
    }
    // Without a request id the answer has none.
    alice.client.send(json!({"type": "get_user_groups", "requestId": null})).await?;
    let answer = alice.client.expect("user_groups", |_| true, SOON).await?;
    assert_eq!(answer.get("requestId"), None);
    Ok(())
}
