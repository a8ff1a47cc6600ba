//! Commands and events in the shapes of the original server.

use serde_json::{Value, json};

use super::super::Dialect;
use crate::ids::UserId;
use crate::limits::Limits;

const BARE: &str = "0195a4c3-0001-7a10-8c22-5b7d9e0f1a2b";

fn message(fields: Value) -> Value {
    let mut message = json!({
        "messageId": format!("msg_{BARE}"), "conversationId": "conv_9_10", "seq": 1, "senderId": "9",
        "senderUsername": "alice", "recipientId": "10", "content": "msg_0195a4c3-0001-7a10-8c22-5b7d9e0f1a2b",
        "createdAt": "2026-03-01T09:15:02.481Z", "kind": "text", "isRead": false, "isEdited": false, "isPinned": false,
        "timestamp": "2026-03-01T09:15:02.490Z",
    });
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    message
}

fn event(event: &Value, own: bool) -> Value {
    let read = Dialect::Original.read(event.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&read.write(own)).unwrap()
}

fn answers(answer: &Value) -> Vec<Value> {
    let answers = Dialect::Original.answer(answer.to_string().as_bytes());
    answers.iter().map(|json| serde_json::from_slice(json).unwrap()).collect()
}

fn command(mut command: Value) -> Result<Value, &'static str> {
    let limits = Limits::default();
    let translator = Dialect::Original.translator().unwrap();
    translator.command(command.as_object_mut().unwrap(), &limits).map_err(|invalid| invalid.field)?;
    Ok(command)
}

#[test]
fn a_direct_message_is_nested_and_named_by_its_recipient() {
    let replied =
        json!({"messageId": format!("msg_{BARE}"), "senderUsername": "bob", "content": "x", "createdAt": "t"});
    let new = message(json!({"type": "new_message", "replyToMessageId": format!("msg_{BARE}"), "replyTo": replied}));
    let received = event(&new, false);
    assert_eq!(received["type"], "new_private_message");
    let nested = &received["message"];
    assert_eq!((&nested["id"], &nested["conversationId"]), (&json!(BARE), &json!("conv_10_9")));
    assert_eq!((&nested["username"], &nested["timestamp"]), (&json!("alice"), &json!("2026-03-01T09:15:02.481Z")));
    assert_eq!(nested["replyTo"], BARE);
    assert_eq!(nested["content"], format!("msg_{BARE}"), "what people write stays as it is");
    assert_eq!((&received["replyTo"]["messageId"], &received["replyTo"]["username"]), (&json!(BARE), &json!("bob")));
    let sent = event(&new, true);
    assert_eq!(
        (&sent["type"], &sent["messageId"], &sent["replyTo"]),
        (&json!("private_message_sent"), &json!(BARE), &json!(BARE))
    );
    assert_eq!(event(&message(json!({"type": "new_message"})), true)["message"]["replyTo"], Value::Null);
}

#[test]
fn texts_hold_no_html() {
    let new = message(json!({"type": "new_message", "content": "<img src=x onerror=y> & \"q\""}));
    assert_eq!(event(&new, false)["message"]["content"], "&lt;img src=x onerror=y&gt; & \"q\"");
    let renamed =
        event(&json!({"type": "group_info_updated", "groupId": "g", "groupName": "<b>", "updatedBy": "1"}), false);
    assert!(renamed.to_string().contains("&lt;b&gt;") && !renamed.to_string().contains('<'), "{renamed}");
}

#[test]
fn the_causes_of_events_are_told_apart() {
    let is_own =
        |event: Value, user| Dialect::Original.read(event.to_string().as_bytes()).unwrap().is_own(Some(UserId(user)));
    assert!(is_own(message(json!({"type": "new_message"})), 9));
    assert!(!is_own(message(json!({"type": "new_group_message"})), 10));
    assert!(is_own(json!({"type": "message_read", "readBy": "4"}), 4));
    assert!(!is_own(json!({"type": "user_typing", "userId": "4"}), 4));
}

#[test]
fn what_was_sent_is_confirmed_by_its_echo_alone() {
    let sent = json!({"type": "message_sent", "messageId": format!("msg_{BARE}"), "timestamp": "t"});
    assert!(answers(&sent).is_empty());
    let mut repeated = sent.clone();
    repeated["duplicate"] = json!(true);
    assert_eq!(answers(&repeated)[0]["type"], "private_message_sent");
    let mut asked = sent;
    asked["requestId"] = json!("r1");
    assert_eq!(answers(&asked)[0]["requestId"], "r1");
}

#[test]
fn a_user_who_changes_a_group_is_told_twice() {
    let added = json!({"type": "member_added", "groupId": "group_1", "userId": "3", "addedBy": "1", "timestamp": "t"});
    assert_eq!(answers(&added).len(), 2);
    let updated =
        json!({"type": "group_info_updated", "groupId": "g", "groupName": "n", "createdBy": "1", "timestamp": "t"});
    let caller = &answers(&updated)[0];
    assert_eq!((&caller["type"], &caller["updates"]["groupName"]), (&json!("group_updated"), &json!("n")));
    assert_eq!(event(&updated, false)["type"], "group_info_updated");
}

#[test]
fn reactions_pins_and_roles_have_their_old_shapes() {
    let reacted = json!({"type": "reaction_added", "userId": "1", "username": "a", "reaction": "x", "timestamp": "t"});
    assert_eq!(
        event(&reacted, false)["reaction"],
        json!({"userId": "1", "username": "a", "reaction": "x", "timestamp": "t"})
    );
    let pin = |id: u32, at: &str| json!({"messageId": format!("m{id}"), "pinnedAt": at, "kind": "text"});
    let pins = json!({"type": "pinned_messages", "groupId": "g", "messages": [pin(1, "2026-02"), pin(2, "2026-01")]});
    let shown = event(&pins, true);
    assert_eq!((&shown["type"], &shown["message"]["messageId"]), (&json!("pinned_message"), &json!("m1")));
    let none = event(&json!({"type": "pinned_messages", "groupId": "g", "messages": []}), true);
    assert!(none["message"].is_null() && none.get("messages").is_none());
    let groups = json!({"type": "user_groups", "groups": [{"groupId": "g", "myRole": "owner", "memberCount": 3}]});
    let group = &event(&groups, true)["groups"][0];
    assert_eq!((&group["myRole"], &group["memberCount"]), (&json!("admin"), &json!("3")));
    let error = event(&json!({"type": "error", "code": "PERMISSION_DENIED", "message": "m"}), true);
    assert_eq!(error["code"], "INSUFFICIENT_PERMISSIONS");
}

#[test]
fn commands_are_taken_leniently() {
    let page = command(json!({"type": "get_private_messages", "limit": "30", "offset": "0"})).unwrap();
    assert_eq!((&page["limit"], &page["offset"]), (&json!(30), &json!(0)));
    let large = command(json!({"type": "create_group", "maxMembers": "500"})).unwrap();
    assert_eq!(large["maxMembers"], 50);
    assert_eq!(command(json!({"type": "leave_group"})).unwrap()["type"], "resign_from_group");
    assert_eq!(command(json!({"type": "send_message", "content": "<SCRIPT>x"})), Err("content"));
    let limits = Dialect::Original.limits(Limits::default());
    assert_eq!((limits.group_name_characters, limits.message_characters), (255, 1_000));
}

#[test]
fn typing_is_confirmed_and_shown_as_an_indicator() {
    let translator = Dialect::Original.translator().unwrap();
    let typing = json!({"type": "typing", "recipientId": 7, "isTyping": true});
    let confirmed = translator.confirmation(typing.as_object().unwrap()).unwrap();
    assert_eq!((&confirmed["type"], &confirmed["recipientId"]), (&json!("typing_indicator_sent"), &json!("7")));
    let typing =
        json!({"type": "user_typing", "userId": "9", "username": "a", "isTyping": true, "conversationId": "conv_9_10"});
    let shown = event(&typing, false);
    assert_eq!(
        (&shown["type"], &shown["senderId"], &shown["senderUsername"]),
        (&json!("typing_indicator"), &json!("9"), &json!("a"))
    );
}

#[test]
fn the_list_of_conversations_is_what_the_page_reads() {
    let mut answer = json!({"status": "ok", "conversations": [
        {"conversationId": "conv_9_10", "participant": {"userId": "10", "username": "b", "displayName": "Bob"},
         "lastMessage": {"id": format!("msg_{BARE}"), "content": "hi", "timestamp": "t"}, "unreadCount": 1},
        {"conversationId": "conv_9_11", "participant": {"userId": "11"}, "lastMessage": null},
    ]});
    let translator = Dialect::Original.translator().unwrap();
    translator.http("/api/conversations", answer.as_object_mut().unwrap());
    let (first, second) = (&answer["conversations"][0], &answer["conversations"][1]);
    assert_eq!((&first["participantId"], &first["name"]), (&json!("10"), &json!("Bob")));
    assert_eq!((&first["lastMessage"], &first["conversationId"]), (&json!("hi"), &json!("conv_10_9")));
    assert_eq!(second["lastMessage"], "");
}
