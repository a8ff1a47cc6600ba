//! Direct messages: every command, its aliases, its answer, and the event on the other gateway.

use anyhow::Result;
use client::event_type;
use serde_json::{Value, json};

use super::Kind::{Bool, Int, List, Map, Str, Time};
use super::{MESSAGE, Person, SOON, fleet, has_fields};

async fn pair() -> Result<(Person, Person, String)> {
    let (alice, bob) = (Person::connect("alice", 0).await?, Person::connect("bob", 1).await?);
    let conversation = client::conversation_id(alice.user.id, bob.user.id);
    Ok((alice, bob, conversation))
}

/// Sends and waits until the other one has received it; returns the message's id.
async fn tell(from: &mut Person, to: &mut Person, content: &str) -> Result<Value> {
    let sent = json!({"type": "send_private_message", "recipientId": to.user.id, "content": content});
    let sent = from.ask(sent, "message_sent", &[]).await?;
    from.sees("new_message", ("messageId", &sent["messageId"]), MESSAGE).await?;
    to.sees("new_message", ("messageId", &sent["messageId"]), MESSAGE).await?;
    Ok(sent["messageId"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_starts_and_messages_arrive() -> Result<()> {
    let (mut alice, mut bob, conversation) = pair().await?;
    let person = &[("userId", Str), ("username", Str), ("displayName", Str)];
    let start = json!({"type": "start_conversation", "recipientId": bob.user.id});
    let fields = &[("conversationId", Str), ("recipient", Map), ("participant", Map), ("messages", List)];
    let started = alice.ask(start.clone(), "conversation_started", fields).await?;
    has_fields(&started["recipient"], person)?;
    assert_eq!(started["recipient"], started["participant"]);
    assert_eq!((&started["conversationId"], &started["messages"]), (&json!(conversation), &json!([])));

    let mut device = alice.device(1).await?;
    let answer = &[("messageId", Str), ("conversationId", Str), ("seq", Int), ("createdAt", Time)];
    for (place, kind) in ["send_private_message", "send_message"].into_iter().enumerate() {
        // Ids as strings or integers, and content unchanged, including surrounding spaces.
        let recipient = if place == 0 { json!(bob.user.id) } else { json!(bob.id()) };
        let sent = json!({
            "type": kind, "recipientId": recipient, "content": "  hello 👋 \n", "conversationId": conversation,
            "clientMessageId": format!("c{place}"), "replyToMessageId": null, "unknown": 1,
        });
        let sent = alice.ask(sent, "message_sent", answer).await?;
        assert_eq!((&sent["seq"], &sent["clientMessageId"]), (&json!(place + 1), &json!(format!("c{place}"))));
        for person in [&mut alice, &mut device, &mut bob] {
            let event = person.sees("new_message", ("messageId", &sent["messageId"]), MESSAGE).await?;
            has_fields(&event, &[("recipientId", Str)])?;
            assert_eq!((&event["content"], &event["kind"]), (&json!("  hello 👋 \n"), &json!("text")));
            assert_eq!((&event["seq"], &event["createdAt"]), (&sent["seq"], &sent["createdAt"]));
        }
    }
    let started = alice.ask(start, "conversation_started", fields).await?;
    assert_eq!(started["warning"], "NOT_FOLLOWING");
    assert_eq!(started["messages"].as_array().map(Vec::len), Some(2));

    let listed = bob.ask(json!({"type": "get_conversations"}), "conversations", &[("conversations", List)]).await?;
    let entry = &listed["conversations"][0];
    has_fields(entry, &[("conversationId", Str), ("participant", Map), ("lastMessage", Map), ("unreadCount", Int)])?;
    has_fields(&entry["participant"], person)?;
    has_fields(&entry["lastMessage"], &[("id", Str), ("content", Str), ("senderId", Str), ("timestamp", Time)])?;
    assert_eq!(entry["unreadCount"], 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_quotes_what_it_answers() -> Result<()> {
    let (mut alice, mut bob, _) = pair().await?;
    let long = "ü".repeat(300);
    let first = tell(&mut alice, &mut bob, &long).await?;
    let reply =
        json!({"type": "send_message", "recipientId": alice.user.id, "content": "yes", "replyToMessageId": first});
    let sent = bob.ask(reply, "message_sent", &[]).await?;
    let event = alice.sees("new_message", ("messageId", &sent["messageId"]), &[("replyToMessageId", Str)]).await?;
    has_fields(&event["replyTo"], &[("messageId", Str), ("senderUsername", Str), ("content", Str)])?;
    assert_eq!(event["replyTo"]["messageId"], first);
    assert_eq!(event["replyTo"]["content"].as_str().map(|text| text.chars().filter(|c| *c == 'ü').count()), Some(200));

    // Not to a message of another conversation.
    let mut carol = Person::connect("carol", 0).await?;
    let elsewhere = tell(&mut alice, &mut carol, "elsewhere").await?;
    let reply =
        json!({"type": "send_message", "recipientId": bob.user.id, "content": "x", "replyToMessageId": elsewhere});
    alice.refused_field(reply, "VALIDATION_ERROR", "replyToMessageId").await
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_reach_everybody_once() -> Result<()> {
    let (mut alice, mut bob, conversation) = pair().await?;
    let mut device = alice.device(1).await?;
    let id = tell(&mut alice, &mut bob, "first").await?;
    let fields = &[
        ("messageId", Str),
        ("conversationId", Str),
        ("content", Str),
        ("newContent", Str),
        ("editedAt", Time),
        ("seq", Int),
    ];
    for (kind, field) in
        [("edit_message", "content"), ("edit_private_message", "newContent"), ("update_message", "content")]
    {
        let text = format!("by {kind}");
        let edit = json!({"type": kind, "messageId": id, field: text});
        let answer = alice.ask(edit, "message_edited", fields).await?;
        assert_eq!((&answer["content"], &answer["newContent"]), (&json!(text), &json!(text)));
        for person in [&mut device, &mut bob] {
            person.sees_durable("message_edited", ("content", &json!(text)), fields).await?;
        }
    }
    let again = alice.unread().await?;
    assert!(!again.iter().any(|event| event_type(event) == "message_edited"), "{again:?}");
    let page = json!({"type": "get_messages", "conversationId": conversation});
    let page = bob.ask(page, "private_messages", &[]).await?;
    assert_eq!(
        (&page["messages"][0]["content"], &page["messages"][0]["isEdited"]),
        (&json!("by update_message"), &json!(true))
    );
    bob.refused(json!({"type": "edit_message", "messageId": id, "content": "mine"}), "PERMISSION_DENIED").await?;
    let mut carol = Person::connect("carol", 0).await?;
    carol.refused(json!({"type": "edit_message", "messageId": id, "content": "mine"}), "RESOURCE_NOT_FOUND").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_for_oneself_and_for_everyone() -> Result<()> {
    let (mut alice, mut bob, conversation) = pair().await?;
    let mut device = bob.device(0).await?;
    let fields = &[("messageId", Str), ("conversationId", Str), ("deleteForEveryone", Bool)];
    let (kept, gone) = (tell(&mut alice, &mut bob, "kept").await?, tell(&mut alice, &mut bob, "gone").await?);

    let mine = json!({"type": "delete_private_message", "messageId": kept, "deleteForEveryone": false});
    bob.ask(mine, "message_deleted", fields).await?;
    let event = device.sees("message_deleted", ("messageId", &kept), fields).await?;
    assert_eq!(event["deleteForEveryone"], false);
    let page = json!({"type": "get_private_messages", "conversationId": conversation});
    let page_of_bob = bob.ask(page.clone(), "private_messages", &[]).await?;
    assert_eq!((&page_of_bob["total"], &page_of_bob["messages"][0]["messageId"]), (&json!(1), &gone));

    bob.refused(json!({"type": "delete_message", "messageId": gone}), "PERMISSION_DENIED").await?;
    let answer = alice.ask(json!({"type": "delete_message", "messageId": gone}), "message_deleted", fields).await?;
    assert_eq!(answer["deleteForEveryone"], true);
    bob.sees_durable("message_deleted", ("messageId", &gone), fields).await?;
    let left = alice.unread().await?;
    assert!(!left.iter().any(|event| event_type(event) == "message_deleted"), "{left:?}");
    let page_of_alice = alice.ask(page, "private_messages", &[]).await?;
    assert_eq!((&page_of_alice["total"], &page_of_alice["messages"][0]["messageId"]), (&json!(1), &kept));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reaction_is_added_replaced_and_taken_away() -> Result<()> {
    let (mut alice, mut bob, conversation) = pair().await?;
    let id = tell(&mut alice, &mut bob, "react").await?;
    let added = &[
        ("messageId", Str),
        ("conversationId", Str),
        ("userId", Str),
        ("username", Str),
        ("reaction", Str),
        ("emoji", Str),
    ];
    let removed = &[("messageId", Str), ("conversationId", Str), ("userId", Str), ("reaction", Str)];
    for (field, emoji) in [("reaction", "👍"), ("emoji", "🎉")] {
        let command = json!({"type": "add_reaction", "messageId": id, field: emoji});
        bob.ask(command, "reaction_added", added).await?;
        let event = alice.sees_durable("reaction_added", ("reaction", &json!(emoji)), added).await?;
        assert_eq!((&event["emoji"], &event["userId"]), (&json!(emoji), &json!(bob.id())));
        let page = json!({"type": "get_messages", "conversationId": conversation});
        let page = alice.ask(page, "private_messages", &[]).await?;
        let reactions = &page["messages"][0]["reactions"];
        assert_eq!(reactions.as_array().map(Vec::len), Some(1), "one per user: {reactions}");
        has_fields(&reactions[0], &[("userId", Str), ("username", Str), ("reaction", Str), ("timestamp", Time)])?;
        assert_eq!(reactions[0]["reaction"], emoji);
    }
    let again = json!({"type": "add_reaction", "messageId": id, "reaction": "🎉"});
    bob.ask(again.clone(), "reaction_removed", removed).await?;
    alice.sees_durable("reaction_removed", ("messageId", &id), removed).await?;
    bob.ask(again, "reaction_added", added).await?;
    bob.ask(json!({"type": "remove_reaction", "messageId": id}), "reaction_removed", removed).await?;
    alice.sees_durable("reaction_removed", ("messageId", &id), removed).await?;
    bob.refused(json!({"type": "remove_reaction", "messageId": id}), "RESOURCE_NOT_FOUND").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn read_marks_go_to_both_users_and_only_once() -> Result<()> {
    let (mut alice, mut bob, conversation) = pair().await?;
    let mut device = bob.device(0).await?;
    tell(&mut alice, &mut bob, "one").await?;
    let id = tell(&mut alice, &mut bob, "two").await?;
    let fields = &[("messageId", Str), ("conversationId", Str), ("readBy", Str), ("seq", Int)];
    let mark = json!({"type": "mark_message_read", "messageId": id, "conversationId": conversation});
    let answer = bob.ask(mark.clone(), "message_read", fields).await?;
    assert_eq!((&answer["seq"], &answer["readBy"]), (&json!(2), &json!(bob.id())));
    alice.sees("message_read", ("messageId", &id), fields).await?;
    device.sees("message_read", ("messageId", &id), fields).await?;
    bob.ask(mark, "message_read", fields).await?;
    let unread = alice.unread().await?;
    assert!(!unread.iter().any(|event| event_type(event) == "message_read"), "{unread:?}");
    let page = json!({"type": "get_messages", "conversationId": conversation});
    let page = alice.ask(page, "private_messages", &[]).await?;
    assert_eq!((&page["messages"][0]["isRead"], &page["messages"][1]["isRead"]), (&json!(true), &json!(true)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_ends_by_itself() -> Result<()> {
    let (alice, mut bob, conversation) = pair().await?;
    let fields = &[("userId", Str), ("username", Str), ("isTyping", Bool), ("conversationId", Str)];
    alice.client.send(json!({"type": "typing", "recipientId": bob.user.id, "isTyping": true})).await?;
    let event = bob.sees("user_typing", ("isTyping", &json!(true)), fields).await?;
    let began = std::time::Instant::now();
    assert_eq!((&event["userId"], &event["conversationId"]), (&json!(alice.id()), &json!(conversation)));
    bob.sees("user_typing", ("isTyping", &json!(false)), fields).await?;
    let lasted = began.elapsed().as_millis();
    assert!((2_000..8_000).contains(&lasted), "{lasted} ms");
    for is_typing in [true, false] {
        alice.client.send(json!({"type": "typing", "recipientId": bob.user.id, "isTyping": is_typing})).await?;
        bob.sees("user_typing", ("isTyping", &json!(is_typing)), fields).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_are_seen_by_both_and_repeating_one_is_silent() -> Result<()> {
    let (mut alice, mut bob, conversation) = pair().await?;
    let id = tell(&mut alice, &mut bob, "pin").await?;
    for (command, event, by) in
        [("pin_message", "message_pinned", "pinnedBy"), ("unpin_message", "message_unpinned", "unpinnedBy")]
    {
        let fields = &[("messageId", Str), ("conversationId", Str), (by, Str)];
        let command = json!({"type": command, "messageId": id, "conversationId": conversation});
        alice.ask(command.clone(), event, fields).await?;
        bob.sees_durable(event, ("messageId", &id), fields).await?;
        alice.ask(command, event, fields).await?;
        let unread = bob.unread().await?;
        assert!(!unread.iter().any(|unread| event_type(unread) == event), "{unread:?}");
        let pinned = json!({"type": "get_pinned_messages", "conversationId": conversation});
        let pinned = bob.ask(pinned, "pinned_messages", &[("conversationId", Str), ("messages", List)]).await?;
        let expected = usize::from(event == "message_pinned");
        assert_eq!(pinned["messages"].as_array().map(Vec::len), Some(expected));
        if expected == 1 {
            has_fields(&pinned["messages"][0], MESSAGE)?;
            assert_eq!(pinned["messages"][0]["isPinned"], true);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_deleted_for_one_and_for_both() -> Result<()> {
    let (mut alice, mut bob, conversation) = pair().await?;
    tell(&mut alice, &mut bob, "old").await?;
    let fields = &[("conversationId", Str), ("deleteForEveryone", Bool)];
    let delete = json!({"type": "delete_conversation", "conversationId": conversation});
    let answer = bob.ask(delete, "conversation_deleted", fields).await?;
    assert_eq!(answer["deleteForEveryone"], false);
    let list = json!({"type": "get_conversations"});
    assert_eq!(bob.ask(list.clone(), "conversations", &[]).await?["conversations"], json!([]));
    assert_eq!(alice.ask(list.clone(), "conversations", &[]).await?["conversations"].as_array().map(Vec::len), Some(1));
    // The next message brings the conversation back, but not its former messages.
    tell(&mut alice, &mut bob, "new").await?;
    let page = json!({"type": "get_messages", "conversationId": conversation});
    let page_of_bob = bob.ask(page.clone(), "private_messages", &[]).await?;
    assert_eq!((&page_of_bob["total"], &page_of_bob["messages"][0]["content"]), (&json!(1), &json!("new")));
    assert_eq!(bob.ask(list, "conversations", &[]).await?["conversations"].as_array().map(Vec::len), Some(1));

    let delete = json!({"type": "delete_conversation", "conversationId": conversation, "deleteForEveryone": true});
    bob.ask(delete, "conversation_deleted", fields).await?;
    alice.sees_durable("conversation_deleted", ("conversationId", &json!(conversation)), fields).await?;
    assert_eq!(alice.ask(page, "private_messages", &[]).await?["total"], 0);
    let sent = json!({"type": "send_message", "recipientId": bob.user.id, "content": "again"});
    assert_eq!(alice.ask(sent, "message_sent", &[]).await?["seq"], 3, "numbers go on");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_blocked_cannot_reach_each_other_in_either_direction() -> Result<()> {
    let (mut alice, mut bob, conversation) = pair().await?;
    let id = tell(&mut alice, &mut bob, "before").await?;
    let reply = tell(&mut bob, &mut alice, "before, too").await?;
    fleet()?.sql(&format!(
        "INSERT INTO blocked_relationships (blocker_id, blocked_id) VALUES ({}, {})",
        alice.user.id, bob.user.id
    ))?;
    let (a, b) = (alice.user.id, bob.user.id);
    for (person, other, own) in [(&mut alice, b, &id), (&mut bob, a, &reply)] {
        for command in [
            json!({"type": "start_conversation", "recipientId": other}),
            json!({"type": "send_message", "recipientId": other, "content": "x"}),
            json!({"type": "edit_message", "messageId": own, "content": "x"}),
            json!({"type": "add_reaction", "messageId": id, "reaction": "👍"}),
            json!({"type": "pin_message", "messageId": id, "conversationId": conversation}),
        ] {
            person.refused(command, "USER_BLOCKED").await?;
        }
        person.client.send(json!({"type": "typing", "recipientId": other, "isTyping": true})).await?;
        let page = json!({"type": "get_messages", "conversationId": conversation});
        assert_eq!(person.ask(page, "private_messages", &[]).await?["total"], 2);
        let online = person.ask(json!({"type": "get_online_users"}), "online_users", &[]).await?;
        let users = online["users"].as_array().cloned().unwrap_or_default();
        let other = other.to_string();
        assert!(!users.iter().any(|user| user["userId"] == other), "{online}");
    }
    for person in [&mut alice, &mut bob] {
        let unread = person.unread().await?;
        assert!(!unread.iter().any(|event| matches!(event_type(event), "user_typing" | "error")), "{unread:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_is_answered_as_the_first_was() -> Result<()> {
    let (mut alice, mut bob, _) = pair().await?;
    let send = json!({"type": "send_message", "recipientId": bob.user.id, "content": "x", "clientMessageId": "same"});
    let first = alice.ask(send.clone(), "message_sent", &[]).await?;
    bob.client.expect("new_message", |_| true, SOON).await?;
    let group = json!({"type": "create_group", "groupName": "g"});
    let group = alice.ask(group, "group_created", &[]).await?["groupId"].clone();
    let elsewhere = json!({"type": "send_group_message", "groupId": group, "content": "y", "clientMessageId": "same"});
    for command in [send, elsewhere] {
        let again = alice.ask(command, "message_sent", &[("duplicate", Bool)]).await?;
        assert_eq!((&again["duplicate"], &again["messageId"]), (&json!(true), &first["messageId"]));
        assert_eq!((&again["seq"], &again["conversationId"]), (&first["seq"], &first["conversationId"]));
    }
    assert!(!bob.unread().await?.iter().any(|event| event_type(event) == "new_message"));
    Ok(())
}
