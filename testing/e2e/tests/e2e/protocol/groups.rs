//! Groups: every command, its answer, and the event on the other gateway.

use anyhow::Result;
use client::event_type;
use serde_json::{Value, json};

use super::Kind::{Bool, Int, List, Map, Str, Time};
use super::{Fields, MESSAGE, Person, SOON, has_fields};

const CREATED: Fields = &[
    ("groupId", Str),
    ("groupName", Str),
    ("groupDescription", Str),
    ("createdBy", Str),
    ("maxMembers", Int),
    ("memberCount", Int),
    ("members", List),
    ("group", Map),
];

struct Group {
    owner: Person,
    member: Person,
    id: Value,
}

impl Group {
    /// Creates a group with an owner on one gateway and a member on the other.
    async fn new() -> Result<Group> {
        let (mut owner, mut member) = (Person::connect("owner", 0).await?, Person::connect("member", 1).await?);
        let create = json!({
            "type": "create_group", "groupName": "A group", "groupDescription": "of two", "initialMembers": [member.user.id],
        });
        let created = owner.ask(create, "group_created", CREATED).await?;
        member.sees_durable("group_created", ("groupId", &created["groupId"]), CREATED).await?;
        Ok(Group { owner, member, id: created["groupId"].clone() })
    }

    async fn tell(&mut self, content: &str) -> Result<Value> {
        let send = json!({"type": "send_group_message", "groupId": self.id, "content": content});
        let sent = self.owner.ask(send, "group_message_sent", &[]).await?;
        self.owner.sees("new_group_message", ("messageId", &sent["messageId"]), MESSAGE).await?;
        self.member.sees("new_group_message", ("messageId", &sent["messageId"]), MESSAGE).await?;
        Ok(sent["messageId"].clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_created_and_listed() -> Result<()> {
    let mut blocked = Person::connect("blocked", 1).await?;
    let (mut owner, mut member) = (Person::connect("owner", 0).await?, Person::connect("member", 1).await?);
    super::fleet()?.sql(&format!(
        "INSERT INTO blocked_relationships (blocker_id, blocked_id) VALUES ({}, {})",
        blocked.user.id, owner.user.id
    ))?;
    let create = json!({
        "type": "create_group", "groupName": "Name", "groupDescription": "Text", "maxMembers": 10,
        "memberUserIds": [member.id(), blocked.id(), 999_999_999],
    });
    let created = owner.ask(create, "group_created", CREATED).await?;
    let id = created["groupId"].clone();
    assert_eq!((&created["memberCount"], &created["maxMembers"]), (&json!(2), &json!(10)));
    assert_eq!(created["createdBy"], owner.id());
    let skipped = created["skippedMembers"].as_array().cloned().unwrap_or_default();
    assert_eq!(skipped.len(), 2, "{created}");
    for entry in &skipped {
        has_fields(entry, &[("userId", Str), ("reason", Str)])?;
    }
    for entry in created["members"].as_array().into_iter().flatten() {
        has_fields(entry, &[("userId", Str), ("username", Str), ("role", Str), ("joinedAt", Time)])?;
    }
    has_fields(&created["group"], &CREATED[..7])?;
    member.sees_durable("group_created", ("groupId", &id), CREATED).await?;

    let members = json!({"type": "get_group_members", "groupId": id});
    let members = member.ask(members, "group_members", &[("groupId", Str), ("members", List)]).await?;
    for entry in members["members"].as_array().into_iter().flatten() {
        has_fields(
            entry,
            &[
                ("userId", Str),
                ("username", Str),
                ("displayName", Str),
                ("role", Str),
                ("joinedAt", Time),
                ("online", Bool),
            ],
        )?;
        assert_eq!(entry["online"], true);
    }
    let info = &[
        ("groupId", Str),
        ("groupName", Str),
        ("groupDescription", Str),
        ("createdBy", Str),
        ("maxMembers", Int),
        ("memberCount", Int),
        ("createdAt", Time),
    ];
    member.ask(json!({"type": "get_group_info", "groupId": id}), "group_info", info).await?;
    let send = json!({"type": "send_group_message", "groupId": id, "content": "hello"});
    owner.ask(send, "group_message_sent", &[]).await?;
    let groups = member.ask(json!({"type": "get_user_groups"}), "user_groups", &[("groups", List)]).await?;
    let entry = &groups["groups"][0];
    has_fields(
        entry,
        &[
            ("groupId", Str),
            ("groupName", Str),
            ("groupDescription", Str),
            ("createdBy", Str),
            ("role", Str),
            ("myRole", Str),
            ("memberCount", Int),
            ("maxMembers", Int),
            ("joinedAt", Time),
            ("lastSeq", Int),
            ("unreadCount", Int),
        ],
    )?;
    assert_eq!((&entry["myRole"], &entry["lastSeq"], &entry["unreadCount"]), (&json!("member"), &json!(1), &json!(1)));
    assert_eq!(blocked.ask(json!({"type": "get_user_groups"}), "user_groups", &[]).await?["groups"], json!([]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_and_announcements_reach_all_members() -> Result<()> {
    let mut group = Group::new().await?;
    let mut device = group.owner.device(1).await?;
    let sent = &[("messageId", Str), ("groupId", Str), ("seq", Int)];
    for (place, (command, answer, event, kind)) in [
        ("send_group_message", "group_message_sent", "new_group_message", "text"),
        ("send_announcement", "announcement_sent", "group_announcement", "announcement"),
    ]
    .into_iter()
    .enumerate()
    {
        let send = json!({"type": command, "groupId": group.id, "content": "to all 🎈"});
        let answer = group.owner.ask(send, answer, sent).await?;
        assert_eq!(answer["seq"], place + 1);
        if place == 0 {
            has_fields(&answer, &[("createdAt", Time)])?;
        }
        for person in [&mut group.owner, &mut device, &mut group.member] {
            let event = person.sees(event, ("messageId", &answer["messageId"]), MESSAGE).await?;
            assert_eq!((&event["groupId"], &event["conversationId"]), (&group.id, &group.id));
            assert_eq!((&event["kind"], &event["content"]), (&json!(kind), &json!("to all 🎈")));
        }
    }
    let page = json!({"type": "get_group_messages", "groupId": group.id});
    let fields = &[("groupId", Str), ("messages", List), ("pagination", Map), ("hasMore", Bool)];
    let page = group.member.ask(page, "group_messages", fields).await?;
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(2));
    assert_eq!(page["messages"][1]["kind"], "announcement");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mentions_are_members_only_whole_words_and_never_the_sender() -> Result<()> {
    let mut group = Group::new().await?;
    let name = group.member.user.name.clone();
    let owner = group.owner.user.name.clone();
    let user = json!([{"type": "user", "userId": group.member.id(), "username": name}]);
    let everyone = json!([{"type": "everyone", "userIds": [group.member.id()]}]);
    let cases = [
        (format!("hi @{name}!"), &user),
        (format!("hi @{} and @{name}", name.to_uppercase()), &user),
        ("@everyone".to_owned(), &everyone),
        ("now, @all.".to_owned(), &everyone),
        (format!("x@{name} @{name}x @{owner} @nobody"), &Value::Null),
    ];
    for (content, expected) in cases {
        let send = json!({"type": "send_group_message", "groupId": group.id, "content": content});
        let sent = group.owner.ask(send, "group_message_sent", &[]).await?;
        let event = group.member.sees("new_group_message", ("messageId", &sent["messageId"]), MESSAGE).await?;
        let found = if event["mentions"] == json!([]) { &Value::Null } else { &event["mentions"] };
        assert_eq!(found, expected, "{content}");
        if !expected.is_null() {
            let fields = &[("messageId", Str), ("groupId", Str), ("mentionedBy", Str), ("mentionedByUsername", Str)];
            let event =
                group.member.sees_durable("mentioned_in_group", ("messageId", &sent["messageId"]), fields).await?;
            assert_eq!(
                (&event["mentionedBy"], &event["mentionedByUsername"]),
                (&json!(group.owner.id()), &json!(owner))
            );
        }
    }
    for person in [&mut group.owner, &mut group.member] {
        assert!(!person.unread().await?.iter().any(|event| event_type(event) == "mentioned_in_group"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_edited_reacted_to_pinned_read_and_deleted() -> Result<()> {
    let mut group = Group::new().await?;
    let id = group.tell("first").await?;
    let edited = &[("messageId", Str), ("groupId", Str), ("content", Str), ("newContent", Str), ("editedAt", Time)];
    for field in ["content", "newContent"] {
        let edit = json!({"type": "edit_group_message", "messageId": id, field: field});
        group.owner.ask(edit, "group_message_edited", edited).await?;
        group.member.sees_durable("group_message_edited", ("newContent", &json!(field)), edited).await?;
    }

    let reacted = &[("messageId", Str), ("groupId", Str), ("userId", Str), ("username", Str), ("reaction", Str)];
    for (field, emoji) in [("reaction", "👍"), ("emoji", "🎉")] {
        let add = json!({"type": "add_group_reaction", "messageId": id, field: emoji});
        group.member.ask(add, "group_reaction_added", reacted).await?;
        group.owner.sees_durable("group_reaction_added", ("reaction", &json!(emoji)), reacted).await?;
    }
    let remove = json!({"type": "remove_group_reaction", "messageId": id});
    group.member.ask(remove.clone(), "group_reaction_removed", reacted).await?;
    group.owner.sees_durable("group_reaction_removed", ("messageId", &id), reacted).await?;
    group.member.refused(remove, "RESOURCE_NOT_FOUND").await?;

    for (command, event, by) in
        [("pin_message", "message_pinned", "pinnedBy"), ("unpin_message", "message_unpinned", "unpinnedBy")]
    {
        let fields = &[("messageId", Str), ("conversationId", Str), ("groupId", Str), (by, Str)];
        let command = json!({"type": command, "messageId": id, "groupId": group.id});
        group.owner.ask(command, event, fields).await?;
        group.member.sees_durable(event, ("messageId", &id), fields).await?;
        let pinned = json!({"type": "get_pinned_messages", "groupId": group.id});
        let fields = &[("conversationId", Str), ("groupId", Str), ("messages", List)];
        let pinned = group.member.ask(pinned, "pinned_messages", fields).await?;
        assert_eq!(pinned["messages"].as_array().map(Vec::len), Some(usize::from(by == "pinnedBy")));
    }

    let read = &[("messageId", Str), ("groupId", Str), ("readBy", Str), ("seq", Int)];
    let mark = json!({"type": "mark_message_read", "messageId": id, "groupId": group.id});
    group.member.ask(mark, "message_read", read).await?;
    group.owner.sees("message_read", ("messageId", &id), read).await?;

    let typing = json!({"type": "typing", "groupId": group.id, "isTyping": true});
    group.member.client.send(typing).await?;
    let event = group.owner.client.expect("user_typing", |_| true, SOON).await?;
    assert_eq!((&event["userId"], &event["conversationId"]), (&json!(group.member.id()), &group.id));

    let deleted = &[("messageId", Str), ("groupId", Str), ("deletedBy", Str), ("deleteForEveryone", Bool)];
    let hide = json!({"type": "delete_group_message", "messageId": id, "deleteForEveryone": false});
    group.member.ask(hide, "group_message_deleted", deleted).await?;
    let page = json!({"type": "get_group_messages", "groupId": group.id});
    assert_eq!(group.member.ask(page.clone(), "group_messages", &[]).await?["messages"], json!([]));
    assert_eq!(
        group.owner.ask(page.clone(), "group_messages", &[]).await?["messages"].as_array().map(Vec::len),
        Some(1)
    );
    let delete = json!({"type": "delete_group_message", "messageId": id});
    let answer = group.owner.ask(delete, "group_message_deleted", deleted).await?;
    assert_eq!(answer["deleteForEveryone"], true);
    group.member.sees_durable("group_message_deleted", ("messageId", &id), deleted).await?;
    assert_eq!(group.owner.ask(page, "group_messages", &[]).await?["messages"], json!([]));
    let again = group.owner.unread().await?;
    let second = |event: &Value| matches!(event_type(event), "group_message_edited" | "message_pinned");
    assert!(!again.iter().any(second), "{again:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_rise_fall_and_leave() -> Result<()> {
    let mut group = Group::new().await?;
    let mut guest = Person::connect("guest", 1).await?;
    let (gid, guest_id) = (group.id.clone(), json!(guest.id()));
    let command = |name: &str| json!({"type": name, "groupId": gid, "userId": guest_id});
    let added = &[("groupId", Str), ("userId", Str), ("username", Str), ("user", Map), ("role", Str), ("addedBy", Str)];
    let answer = group.owner.ask(command("add_group_member"), "member_added", added).await?;
    assert_eq!(answer["warning"], "NOT_FOLLOWING");
    let event = group.member.sees_durable("member_added", ("userId", &guest_id), added).await?;
    has_fields(&event["user"], &[("userId", Str), ("username", Str)])?;
    assert_eq!(event.get("warning"), None, "the others are not warned");
    guest.sees_durable("group_created", ("groupId", &group.id), CREATED).await?;
    guest.sees_durable("member_added", ("userId", &guest_id), added).await?;
    group.owner.refused(command("add_group_member"), "VALIDATION_ERROR").await?;

    let promoted = &[("groupId", Str), ("userId", Str), ("newRole", Str), ("promotedBy", Str)];
    let answer = group.owner.ask(command("promote_member"), "member_promoted", promoted).await?;
    assert_eq!(answer["newRole"], "admin");
    for person in [&mut group.member, &mut guest] {
        person.sees_durable("member_promoted", ("userId", &guest_id), promoted).await?;
    }
    group.owner.refused(command("promote_member"), "VALIDATION_ERROR").await?;
    let demoted = &[("groupId", Str), ("userId", Str), ("newRole", Str), ("demotedBy", Str)];
    let answer = group.owner.ask(command("demote_member"), "member_demoted", demoted).await?;
    assert_eq!(answer["newRole"], "member");
    group.member.sees_durable("member_demoted", ("userId", &guest_id), demoted).await?;
    group.owner.refused(command("demote_member"), "VALIDATION_ERROR").await?;

    let left = &[("groupId", Str), ("userId", Str), ("username", Str)];
    guest.ask(json!({"type": "leave_group", "groupId": group.id}), "member_left", left).await?;
    group.member.sees_durable("member_left", ("userId", &guest_id), left).await?;

    let given = &[("groupId", Str), ("fromUserId", Str), ("toUserId", Str)];
    let transfer = json!({"type": "transfer_ownership", "groupId": group.id, "userId": group.member.user.id});
    group.owner.ask(transfer, "ownership_transferred", given).await?;
    group.member.sees_durable("ownership_transferred", ("groupId", &group.id), given).await?;
    let groups = group.owner.ask(json!({"type": "get_user_groups"}), "user_groups", &[]).await?;
    assert_eq!(groups["groups"][0]["myRole"], "admin");
    let groups = group.member.ask(json!({"type": "get_user_groups"}), "user_groups", &[]).await?;
    assert_eq!(groups["groups"][0]["myRole"], "owner");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_renamed_and_deleted() -> Result<()> {
    let mut group = Group::new().await?;
    let updated =
        &[("groupId", Str), ("groupName", Str), ("groupDescription", Str), ("maxMembers", Int), ("updatedBy", Str)];
    for command in ["update_group_info", "update_group"] {
        let update = json!({"type": command, "groupId": group.id, "groupName": command});
        let answer = group.owner.ask(update, "group_info_updated", updated).await?;
        assert_eq!((&answer["groupName"], &answer["groupDescription"]), (&json!(command), &json!("of two")));
        group.member.sees_durable("group_info_updated", ("groupName", &json!(command)), updated).await?;
    }
    let update = json!({"type": "update_group", "groupId": group.id, "groupDescription": "", "maxMembers": 7});
    let answer = group.owner.ask(update, "group_info_updated", &[]).await?;
    assert_eq!((&answer["groupName"], &answer["maxMembers"]), (&json!("update_group"), &json!(7)));

    let deleted = &[("groupId", Str), ("deletedBy", Str), ("permanent", Bool)];
    let answer =
        group.owner.ask(json!({"type": "delete_group", "groupId": group.id}), "group_deleted", deleted).await?;
    assert_eq!(answer["permanent"], false);
    group.member.sees_durable("group_deleted", ("groupId", &group.id), deleted).await?;
    for person in [&mut group.owner, &mut group.member] {
        person.refused(json!({"type": "get_group_info", "groupId": group.id}), "RESOURCE_NOT_FOUND").await?;
        assert_eq!(person.ask(json!({"type": "get_user_groups"}), "user_groups", &[]).await?["groups"], json!([]));
    }
    let mut group = Group::new().await?;
    let delete = json!({"type": "delete_group", "groupId": group.id, "permanent": true});
    group.owner.ask(delete, "group_deleted", deleted).await?;
    let event = group.member.sees_durable("group_deleted", ("groupId", &group.id), deleted).await?;
    assert_eq!(event["permanent"], true);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_hears_of_it_and_of_nothing_later() -> Result<()> {
    let mut group = Group::new().await?;
    let mut guest = Person::connect("guest", 1).await?;
    let guest_id = json!(guest.id());
    let add = json!({"type": "add_group_member", "groupId": group.id, "userId": guest_id});
    group.owner.ask(add, "member_added", &[]).await?;
    guest.sees("member_added", ("userId", &guest_id), &[]).await?;
    guest.sees("group_created", ("groupId", &group.id), &[]).await?;
    let removed = &[("groupId", Str), ("userId", Str), ("username", Str), ("removedBy", Str)];
    let remove = json!({"type": "remove_group_member", "groupId": group.id, "userId": guest_id});
    group.owner.ask(remove, "member_removed", removed).await?;
    for person in [&mut group.member, &mut guest] {
        person.sees_durable("member_removed", ("userId", &guest_id), removed).await?;
    }
    let id = group.tell("@everyone without the guest").await?;
    let edit = json!({"type": "edit_group_message", "messageId": id, "content": "edited"});
    group.owner.ask(edit, "group_message_edited", &[]).await?;
    group.member.sees("group_message_edited", ("messageId", &id), &[]).await?;
    let heard = guest.unread().await?;
    assert!(heard.is_empty(), "{heard:?}");
    let mut again = guest.device(0).await?;
    let later = |event: &Value| matches!(event_type(event), "new_group_message" | "group_message_edited");
    let heard = again.unread().await?;
    assert!(!heard.iter().any(later), "{heard:?}");
    Ok(())
}
