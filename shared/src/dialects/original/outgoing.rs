//! Events of `chat.v1` as the original's clients read them. Events without a counterpart there, and equal ones, are
//! sent as they are except for their ids; clients ignore unknown types. Fields are added and moved, and hardly any are
//! removed.

use serde_json::{Value, json};

use super::super::Object;
use super::ids;
use crate::ids::UserId;

/// The user who caused an event, if it looks different to that user or has another name.
pub fn actor(event: &Object) -> Option<UserId> {
    let field = match kind(event) {
        "new_message" | "new_group_message" | "group_announcement" => "senderId",
        "message_read" => "readBy",
        "member_left" => "userId",
        _ => return None,
    };
    event.get(field)?.as_str()?.parse().ok()
}

/// A direct answer. A sent message is confirmed by its echo, which contains everything; for some changes, the user who
/// made them is told twice.
pub fn answer(answer: &Object) -> Vec<Value> {
    match kind(answer) {
        // A repetition has no echo, and a request with an id expects it back.
        "message_sent" | "group_message_sent" | "announcement_sent"
            if !answer.contains_key("requestId") && !answer.contains_key("duplicate") =>
        {
            Vec::new()
        }
        "member_added" | "member_removed" | "member_promoted" | "member_demoted" | "message_pinned"
        | "message_unpinned" | "group_deleted" => {
            let told = event(answer, false);
            vec![told.clone(), told]
        }
        "group_info_updated" => {
            let mut updated = event(answer, true);
            updated["type"] = json!("group_updated");
            vec![updated]
        }
        _ => vec![event(answer, true)],
    }
}

/// An event for the user who caused it (`own`), or for others.
pub fn event(event: &Object, own: bool) -> Value {
    let mut shown = event.clone();
    match kind(event) {
        "new_message" => shown = direct_message(event, own),
        "new_group_message" => {
            shown = nested_message(event, if own { "group_message_sent" } else { "new_group_message" });
        }
        "group_announcement" => {
            shown = nested_message(event, if own { "announcement_sent" } else { "new_announcement" });
            set(&mut shown, "announcementId", event.get("messageId").cloned().unwrap_or_default());
        }
        "message_sent" => rename(&mut shown, "private_message_sent"),
        "private_messages" => {
            rename(&mut shown, "private_message_history");
            messages_in(&mut shown);
        }
        "group_messages" | "sync_messages" => messages_in(&mut shown),
        "conversation_started" => conversation_started(&mut shown),
        "message_read" if own => rename(&mut shown, "message_marked_read"),
        "user_typing" => user_typing(&mut shown),
        "reaction_added" | "reaction_removed" | "group_reaction_added" | "group_reaction_removed" => {
            set(&mut shown, "reaction", reaction(event));
        }
        "pinned_messages" => newest_pin(&mut shown),
        "mentioned_in_group" => {
            if let Some(Value::Object(message)) = shown.get_mut("message") {
                *message = self::message(message);
            }
        }
        "group_created" => group_created(&mut shown),
        "group_info" => group_info(&mut shown),
        "group_info_updated" => group_info_updated(&mut shown),
        "group_members" => members_in(&mut shown),
        "user_groups" => user_groups(&mut shown),
        "member_left" if own => rename(&mut shown, "left_group"),
        "group_deleted" => {
            let permanent = event.get("permanent") == Some(&json!(true));
            let text =
                if permanent { "Group deleted for good" } else { "Group deleted (can be restored within 30 days)" };
            set(&mut shown, "message", json!(text));
        }
        "online_users" => {
            for user in objects(&mut shown, "users") {
                set(user, "online", json!(true));
            }
        }
        "auth_success" => {
            if let Some(Value::Object(user)) = shown.get_mut("user") {
                split_name(user);
            }
        }
        "error" if shown.get("code").is_some_and(|code| code == "PERMISSION_DENIED") => {
            set(&mut shown, "code", json!("INSUFFICIENT_PERMISSIONS"));
        }
        _ => {}
    }
    ids::show_in(&mut shown);
    Value::Object(shown)
}

fn conversation_started(event: &mut Object) {
    messages_in(event);
    for name in ["recipient", "participant"] {
        if let Some(user) = event.get_mut(name).and_then(Value::as_object_mut) {
            copy(user, "userId", "id");
        }
    }
}

fn user_typing(event: &mut Object) {
    rename(event, "typing_indicator");
    copy(event, "userId", "senderId");
    copy(event, "username", "senderUsername");
    if event.get("conversationId").and_then(Value::as_str).is_some_and(|id| id.starts_with("group_")) {
        copy(event, "conversationId", "groupId");
    }
}

fn reaction(event: &Object) -> Value {
    let field = |name: &str| event.get(name).cloned().unwrap_or_default();
    json!({
        "userId": field("userId"),
        "username": field("username"),
        "reaction": field("reaction"),
        "timestamp": field("timestamp"),
    })
}

fn kind(event: &Object) -> &str {
    event.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn set(object: &mut Object, name: &str, value: Value) {
    object.insert(name.to_owned(), value);
}

fn rename(event: &mut Object, kind: &str) {
    set(event, "type", json!(kind));
}

fn copy(object: &mut Object, from: &str, to: &str) {
    let value = object.get(from).cloned().unwrap_or_default();
    set(object, to, value);
}

/// The objects of a list.
fn objects<'a>(object: &'a mut Object, list: &str) -> impl Iterator<Item = &'a mut Object> {
    let items = object.get_mut(list).and_then(Value::as_array_mut);
    items.into_iter().flatten().filter_map(Value::as_object_mut)
}

// Messages.

/// A message object as it is nested in events and listed in histories.
fn message(flat: &Object) -> Object {
    let mut message = flat.clone();
    for name in ["type", "eventId", "requestId"] {
        message.remove(name);
    }
    copy(&mut message, "messageId", "id");
    copy(&mut message, "senderUsername", "username");
    copy(&mut message, "createdAt", "timestamp");
    copy(&mut message, "replyToMessageId", "replyTo");
    message.entry("editedAt").or_insert(Value::Null);
    message
}

fn messages_in(event: &mut Object) {
    for listed in objects(event, "messages") {
        *listed = message(listed);
    }
}

/// An event with little more than the message.
fn nested_message(event: &Object, kind: &str) -> Object {
    let mut nested = Object::new();
    for name in ["messageId", "conversationId", "groupId", "timestamp", "eventId", "version"] {
        if let Some(value) = event.get(name) {
            set(&mut nested, name, value.clone());
        }
    }
    rename(&mut nested, kind);
    set(&mut nested, "message", Value::Object(message(event)));
    nested
}

fn direct_message(event: &Object, own: bool) -> Object {
    if own {
        let mut sent = nested_message(event, "private_message_sent");
        let reply_to = event.get("replyToMessageId").cloned().unwrap_or_default();
        set(&mut sent, "replyTo", reply_to);
        return sent;
    }
    let mut new = nested_message(event, "new_private_message");
    if let Some(Value::Object(quoted)) = event.get("replyTo") {
        let mut preview = quoted.clone();
        copy(&mut preview, "senderUsername", "username");
        copy(&mut preview, "createdAt", "timestamp");
        set(&mut new, "replyTo", Value::Object(preview));
    }
    new
}

/// Keeps only the last pinned message, or null.
fn newest_pin(event: &mut Object) {
    rename(event, "pinned_message");
    let pins = event.remove("messages").unwrap_or_default();
    let pinned_at = |pin: &&Value| pin["pinnedAt"].as_str().unwrap_or_default().to_owned();
    let newest = pins.as_array().into_iter().flatten().max_by_key(pinned_at).and_then(Value::as_object);
    let shown = newest.map(|pin| {
        let mut shown = pin.clone();
        copy(&mut shown, "senderUsername", "username");
        set(&mut shown, "isAnnouncement", json!(pin.get("kind").is_some_and(|kind| kind == "announcement")));
        Value::Object(shown)
    });
    set(event, "message", shown.unwrap_or_default());
}

// Groups.

/// There were no owners: the creator was an admin.
fn role_in(object: &mut Object) {
    for name in ["role", "myRole"] {
        if object.get(name).is_some_and(|role| role == "owner") {
            set(object, name, json!("admin"));
        }
    }
}

fn members_in(object: &mut Object) {
    for member in objects(object, "members") {
        role_in(member);
        set(member, "canSendMessages", json!(true));
    }
}

fn group_created(event: &mut Object) {
    let ids = objects(event, "members").filter_map(|member| member.get("userId").cloned()).collect();
    set(event, "members", Value::Array(ids));
    if let Some(Value::Object(group)) = event.get_mut("group") {
        members_in(group);
    }
}

/// What a group is, for an object of its own.
const GROUP: [&str; 9] = [
    "groupId",
    "groupName",
    "groupDescription",
    "createdBy",
    "maxMembers",
    "createdAt",
    "memberCount",
    "members",
    "metadata",
];

fn group_of(event: &mut Object) -> Object {
    let mut group = Object::new();
    for name in GROUP {
        if let Some(value) = event.get(name) {
            set(&mut group, name, value.clone());
        }
    }
    set(&mut group, "isActive", json!(true));
    members_in(&mut group);
    group
}

fn group_info(event: &mut Object) {
    let group = group_of(event);
    event.remove("members");
    set(event, "group", Value::Object(group));
}

fn group_info_updated(event: &mut Object) {
    let updates = group_of(event);
    set(event, "updates", Value::Object(updates));
}

fn user_groups(event: &mut Object) {
    for group in objects(event, "groups") {
        role_in(group);
        // A number as text, as its database returned it.
        if let Some(count) = group.get("memberCount").and_then(Value::as_i64) {
            set(group, "memberCount", json!(count.to_string()));
        }
    }
}

/// The display name was composed of the two.
fn split_name(user: &mut Object) {
    let name = user.get("displayName").and_then(Value::as_str).unwrap_or_default();
    let (first, last) = name.split_once(' ').unwrap_or((name, ""));
    let (first, last) = (json!(first), json!(last));
    user.entry("firstName").or_insert(first);
    user.entry("lastName").or_insert(last);
}
