//! Pages of history, and the series of answers with which a client catches up.

use anyhow::Result;
use client::event_type;
use serde_json::{Value, json};

use super::Kind::{Bool, Int, List, Map, Str};
use super::{Person, SOON, has_fields};

fn seqs(page: &Value) -> Vec<i64> {
    page["messages"].as_array().into_iter().flatten().filter_map(|message| message["seq"].as_i64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_paged_by_offset_and_by_number() -> Result<()> {
    let (mut alice, mut bob) = (Person::connect("alice", 0).await?, Person::connect("bob", 1).await?);
    let conversation = client::conversation_id(alice.user.id, bob.user.id);
    let group = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob.user.id]});
    let group = alice.ask(group, "group_created", &[]).await?["groupId"].clone();
    for i in 1..=7 {
        let send = json!({"type": "send_message", "recipientId": bob.user.id, "content": i.to_string()});
        alice.ask(send, "message_sent", &[]).await?;
        let send = json!({"type": "send_group_message", "groupId": group, "content": i.to_string()});
        alice.ask(send, "group_message_sent", &[]).await?;
    }
    let commands = [
        (json!({"type": "get_private_messages", "conversationId": conversation}), "private_messages"),
        (json!({"type": "get_messages", "recipientId": alice.user.id}), "private_messages"),
        (json!({"type": "get_group_messages", "groupId": group}), "group_messages"),
    ];
    for (command, answer) in commands {
        for (fields, expected, more) in [
            (json!({}), vec![1, 2, 3, 4, 5, 6, 7], false),
            (json!({"limit": 3}), vec![5, 6, 7], true),
            (json!({"limit": 3, "offset": 3}), vec![2, 3, 4], true),
            (json!({"limit": 3, "offset": 6}), vec![1], false),
            (json!({"limit": 7}), vec![1, 2, 3, 4, 5, 6, 7], false),
            (json!({"limit": 3, "offset": 70}), vec![], false),
            (json!({"limit": 3, "beforeSeq": 5, "offset": 2}), vec![2, 3, 4], true),
            (json!({"limit": 3, "afterSeq": 2, "offset": 2}), vec![3, 4, 5], true),
            (json!({"limit": 3, "afterSeq": 4}), vec![5, 6, 7], false),
            (json!({"afterSeq": 7}), vec![], false),
        ] {
            let mut command = command.clone();
            for (name, value) in fields.as_object().into_iter().flatten() {
                command[name] = value.clone();
            }
            let fields = &[("messages", List), ("pagination", Map), ("hasMore", Bool)];
            let page = bob.ask(command.clone(), answer, fields).await?;
            assert_eq!((seqs(&page), &page["hasMore"]), (expected, &json!(more)), "{command}");
            let pagination = &page["pagination"];
            has_fields(pagination, &[("limit", Int), ("hasMore", Bool), ("total", Int)])?;
            assert_eq!((&pagination["hasMore"], &pagination["total"]), (&json!(more), &json!(7)));
            let by_number = command.get("beforeSeq").or(command.get("afterSeq")).is_some();
            let offset = if by_number { Value::Null } else { command.get("offset").cloned().unwrap_or(json!(0)) };
            assert_eq!(pagination["offset"], offset, "{command}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_for_those_in_the_conversation() -> Result<()> {
    let (mut alice, bob) = (Person::connect("alice", 0).await?, Person::connect("bob", 1).await?);
    let mut carol = Person::connect("carol", 0).await?;
    let empty = json!({"type": "get_messages", "recipientId": bob.user.id});
    let page = alice.ask(empty, "private_messages", &[("conversationId", Str), ("total", Int)]).await?;
    assert_eq!((&page["messages"], &page["total"]), (&json!([]), &json!(0)));
    let theirs = client::conversation_id(alice.user.id, bob.user.id);
    for command in ["get_messages", "get_pinned_messages", "delete_conversation"] {
        carol.refused(json!({"type": command, "conversationId": theirs}), "RESOURCE_NOT_FOUND").await?;
    }
    alice.refused(json!({"type": "get_messages", "recipientId": 999_999_999}), "RESOURCE_NOT_FOUND").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_gives_what_is_missing_and_then_says_so() -> Result<()> {
    let (mut alice, mut bob) = (Person::connect("alice", 0).await?, Person::connect("bob", 1).await?);
    let conversation = client::conversation_id(alice.user.id, bob.user.id);
    let group = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob.user.id]});
    let group = alice.ask(group, "group_created", &[]).await?["groupId"].clone();
    for i in 1..=4 {
        let send = json!({"type": "send_message", "recipientId": bob.user.id, "content": i.to_string()});
        alice.ask(send, "message_sent", &[]).await?;
    }
    let send = json!({"type": "send_group_message", "groupId": group, "content": "g"});
    alice.ask(send, "group_message_sent", &[]).await?;
    let mut since = json!({});
    since[&conversation] = json!(2);
    since[group.as_str().unwrap_or_default()] = json!(0);
    bob.ask(json!({"type": "sync", "conversations": since}), "sync_complete", &[]).await?;
    let series: Vec<Value> =
        bob.client.drain().into_iter().filter(|event| event_type(event) == "sync_messages").collect();
    assert_eq!(series.len(), 2, "all of it before the end: {series:?}");
    for part in &series {
        has_fields(part, &[("conversationId", Str), ("messages", List), ("hasMore", Bool)])?;
        assert_eq!(part.get("requestId"), None);
        let expected = if part["conversationId"] == conversation { vec![3, 4] } else { vec![1] };
        assert_eq!((seqs(part), &part["hasMore"]), (expected, &json!(false)));
    }
    // Without conversations nothing is missing; an empty request is valid.
    bob.ask(json!({"type": "sync", "conversations": {}}), "sync_complete", &[]).await?;
    bob.refused(json!({"type": "sync", "conversations": 5}), "VALIDATION_ERROR").await?;
    bob.client.send(json!({"type": "ack", "conversations": 5})).await?;
    let error = bob.client.expect("error", |_| true, SOON).await?;
    assert_eq!(error["code"], "VALIDATION_ERROR");
    Ok(())
}

/// The client's own state determines where it continues, so it is bound to no gateway and no worker.
#[tokio::test(flavor = "multi_thread")]
async fn sync_goes_on_from_page_to_page_on_any_gateway() -> Result<()> {
    const MESSAGES: i64 = 450;
    let (mut alice, bob) = (Person::connect("alice", 0).await?, Person::connect("bob", 1).await?);
    let conversation = client::conversation_id(alice.user.id, bob.user.id);
    for i in 1..=MESSAGES {
        let send = json!({"type": "send_message", "recipientId": bob.user.id, "content": i.to_string()});
        alice.client.send(send).await?;
    }
    for _ in 1..=MESSAGES {
        alice.client.expect("message_sent", |_| true, SOON).await?;
    }
    let mut at = 0;
    for (gateway, expected, more) in [(0, 1..=200, true), (1, 201..=400, true), (0, 401..=MESSAGES, false)] {
        let mut device = bob.device(gateway).await?;
        let sync = json!({"type": "sync", "conversations": {&conversation: at}});
        device.ask(sync, "sync_complete", &[]).await?;
        let page = device.client.expect("sync_messages", |_| true, SOON).await?;
        at = *expected.end();
        assert_eq!((seqs(&page), &page["hasMore"]), (expected.collect(), &json!(more)));
    }
    Ok(())
}
