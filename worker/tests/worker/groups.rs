//! Groups: membership, roles, their events and rejections, sending and mentions in them.

use serde_json::{Value, json};
use shared::ids::{GroupId, UserId};
use shared::publication::Header;
use shared::redis::keys::Channel;
use uuid::Uuid;

use crate::harness::{Harness, Published};

pub async fn create(harness: &Harness, owner: UserId, members: &[UserId]) -> GroupId {
    let command = json!({"type": "create_group", "groupName": "Climbers", "initialMembers": members});
    let created = harness.expect(owner, command, "group_created").await;
    created["groupId"].as_str().unwrap().parse().unwrap()
}

pub fn command(kind: &str, group: GroupId, user: UserId) -> Value {
    json!({"type": kind, "groupId": group, "userId": user})
}

pub fn text(group: GroupId, content: &str) -> Value {
    json!({"type": "send_group_message", "groupId": group, "content": content})
}

fn usernames(members: &Value) -> Vec<(String, String)> {
    let name =
        |member: &Value| (member["username"].as_str().unwrap().to_owned(), member["role"].as_str().unwrap().to_owned());
    members.as_array().unwrap().iter().map(name).collect()
}

async fn members(harness: &Harness, user: UserId, group: GroupId) -> Vec<(String, String)> {
    let answer = harness.expect(user, json!({"type": "get_group_members", "groupId": group}), "group_members").await;
    usernames(&answer["members"])
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, role)| ((*name).to_owned(), (*role).to_owned())).collect()
}

/// The position of the first publication that matches.
async fn place(harness: &Harness, what: &str, fits: impl Fn(&Published) -> bool) -> usize {
    harness.wait_for(what, &fits).await;
    harness.published().iter().position(fits).unwrap()
}

/// The durable event of this type, from any channel.
async fn durable(harness: &Harness, kind: &str) -> Value {
    harness.wait_for(kind, |p| p.json()["type"] == kind && p.json()["eventId"].is_string()).await.json()
}

pub async fn queued(harness: &Harness, event: &Value) -> Vec<UserId> {
    let id = event["eventId"].as_str().unwrap();
    harness.queued_for(id).await.into_iter().map(UserId).collect()
}

#[tokio::test]
async fn a_new_group_has_its_creator_as_owner_and_tells_members() {
    let harness = Harness::start("creategroup").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    harness.block(carol, alice).await;
    let command = json!({
        "type": "create_group", "groupName": "Climbers", "groupDescription": "up", "requestId": "r",
        "memberUserIds": [bob, carol, 999_999, alice, bob],
    });
    let created = harness.expect(alice, command, "group_created").await;
    let group: GroupId = created["groupId"].as_str().unwrap().parse().unwrap();
    for part in [&created, &created["group"]] {
        assert_eq!((&part["groupName"], &part["groupDescription"]), (&json!("Climbers"), &json!("up")));
        assert_eq!((&part["createdBy"], &part["maxMembers"]), (&json!(alice), &json!(50)));
        assert_eq!(part["memberCount"], 2);
        assert_eq!(usernames(&part["members"]), pairs(&[("alice", "owner"), ("bob", "member")]));
    }
    let skipped = json!([
        {"userId": carol, "reason": "USER_BLOCKED"}, {"userId": "999999", "reason": "RESOURCE_NOT_FOUND"},
    ]);
    assert_eq!(created["skippedMembers"], skipped);
    let told = harness.event(Channel::User(bob), "group_created").await;
    assert_eq!((&told["groupId"], told.get("skippedMembers"), told.get("requestId")), (&json!(group), None, None));
    assert_eq!(queued(&harness, &told).await, [bob]);
    let is_joined =
        |user: UserId| move |p: &Published| p.channel == Channel::User(user) && p.header == Header::Joined { group };
    for user in [alice, bob] {
        let joined = place(&harness, "joined", is_joined(user)).await;
        let event = place(&harness, "group_created", |p| {
            p.channel == Channel::User(user) && p.json()["type"] == "group_created"
        });
        assert!(joined < event.await);
    }
    assert!(!harness.published().iter().any(is_joined(carol)));

    let groups = harness.expect(bob, json!({"type": "get_user_groups"}), "user_groups").await;
    let listed = &groups["groups"][0];
    assert_eq!(
        (&listed["groupId"], &listed["role"], &listed["myRole"]),
        (&json!(group), &json!("member"), &json!("member"))
    );
    assert_eq!((&listed["memberCount"], &listed["lastSeq"], &listed["unreadCount"]), (&json!(2), &json!(0), &json!(0)));
    let info = harness.expect(bob, json!({"type": "get_group_info", "groupId": group}), "group_info").await;
    assert_eq!((&info["memberCount"], &info["createdBy"]), (&json!(2), &json!(alice)));
    harness.refused(carol, json!({"type": "get_group_info", "groupId": group}), "RESOURCE_NOT_FOUND").await;
}

#[tokio::test]
async fn a_redelivered_creation_makes_no_second_group() {
    let harness = Harness::start("createtwice").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let prepared = harness.prepare(alice, &json!({"type": "create_group", "groupName": "x", "initialMembers": [bob]}));
    harness.append(&prepared).await;
    let first = harness.answer(prepared.envelope.id).await;
    harness.append(&prepared).await;
    create(&harness, alice, &[]).await;
    let groups = harness.expect(alice, json!({"type": "get_user_groups"}), "user_groups").await;
    assert_eq!(groups["groups"].as_array().unwrap().len(), 2);
    assert_eq!(first["groupId"], format!("group_{}", prepared.envelope.id));
}

#[tokio::test]
async fn a_group_has_no_more_members_than_it_may() {
    let harness = Harness::start("full").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let small = json!({"type": "create_group", "groupName": "x", "maxMembers": 2, "initialMembers": [bob, carol]});
    harness.refused(alice, small, "TOO_MANY_MEMBERS").await;
    // Users who are left out take no place.
    let skipping =
        json!({"type": "create_group", "groupName": "x", "maxMembers": 2, "initialMembers": [bob, "999999"]});
    let created = harness.expect(alice, skipping, "group_created").await;
    assert_eq!((&created["memberCount"], &created["skippedMembers"][0]["userId"]), (&json!(2), &json!("999999")));
    let small = json!({"type": "create_group", "groupName": "x", "maxMembers": 2, "initialMembers": [bob]});
    let group: GroupId =
        harness.expect(alice, small, "group_created").await["groupId"].as_str().unwrap().parse().unwrap();
    harness.refused(alice, command("add_group_member", group, carol), "GROUP_FULL").await;
    let update = |max: u32| json!({"type": "update_group", "groupId": group, "maxMembers": max});
    let refused = harness.refused(alice, update(1), "VALIDATION_ERROR").await;
    assert_eq!(refused["field"], "maxMembers");
    assert_eq!(harness.expect(alice, update(3), "group_info_updated").await["maxMembers"], 3);
    harness.expect(alice, command("add_group_member", group, carol), "member_added").await;
}

#[tokio::test]
async fn an_added_member_misses_only_what_comes_after_joining() {
    let harness = Harness::start("addmember").await;
    let [alice, bob, carol, dave] = harness.users(["alice", "bob", "carol", "dave"]).await;
    let group = create(&harness, alice, &[bob]).await;
    harness.expect(alice, text(group, "before"), "group_message_sent").await;
    harness.follow(alice, carol).await;
    let added = harness.expect(alice, command("add_group_member", group, carol), "member_added").await;
    assert_eq!(added["user"], json!({"userId": carol, "username": "carol"}));
    assert_eq!((&added["role"], &added["addedBy"], added.get("warning")), (&json!("member"), &json!(alice), None));

    let created = harness.event(Channel::User(carol), "group_created").await;
    assert_eq!(created["memberCount"], 3);
    assert_eq!(queued(&harness, &created).await, [carol]);
    let event = harness.event(Channel::Group(group), "member_added").await;
    assert_eq!(queued(&harness, &event).await, [bob, carol]);
    // In a replay, which is ordered by ids, the new member gets the group first.
    assert!(created["eventId"].as_str() < event["eventId"].as_str());
    harness.event(Channel::User(carol), "member_added").await;
    let joined =
        place(&harness, "joined", |p| p.channel == Channel::User(carol) && p.header == Header::Joined { group });
    let told = place(&harness, "created", |p| p.channel == Channel::User(carol) && p.json()["type"] == "group_created");
    assert!(joined.await < told.await);

    let groups = harness.expect(carol, json!({"type": "get_user_groups"}), "user_groups").await;
    assert_eq!((&groups["groups"][0]["lastSeq"], &groups["groups"][0]["unreadCount"]), (&json!(1), &json!(0)));
    harness.expect(bob, text(group, "after"), "group_message_sent").await;
    let groups = harness.expect(carol, json!({"type": "get_user_groups"}), "user_groups").await;
    assert_eq!(groups["groups"][0]["unreadCount"], 1);
    let page = json!({"type": "get_group_messages", "groupId": group});
    let page = harness.expect(carol, page, "group_messages").await;
    assert_eq!((&page["messages"][0]["content"], &page["hasMore"]), (&json!("before"), &json!(false)));

    // By default, a user who adds somebody without following them is warned, and nobody else is told.
    let added = harness.expect(alice, command("add_group_member", group, dave), "member_added").await;
    assert_eq!(added["warning"], "NOT_FOLLOWING");
    let event =
        harness.wait_for("dave's", |p| p.channel == Channel::Group(group) && p.json()["userId"] == json!(dave)).await;
    assert_eq!(event.json().get("warning"), None);
}

#[tokio::test]
async fn who_may_be_added_and_by_whom() {
    let harness = Harness::start_with("mayadd", &[("FOLLOW_POLICY", "enforce")]).await;
    let [alice, bob, carol, dave] = harness.users(["alice", "bob", "carol", "dave"]).await;
    let created = json!({"type": "create_group", "groupName": "x", "initialMembers": [bob]});
    let created = harness.expect(alice, created, "group_created").await;
    assert_eq!(created["skippedMembers"][0]["reason"], "NOT_FOLLOWING");
    let group: GroupId = created["groupId"].as_str().unwrap().parse().unwrap();
    harness.follow(alice, bob).await;
    harness.expect(alice, command("add_group_member", group, bob), "member_added").await;
    harness.block(dave, alice).await;
    harness.follow(alice, dave).await;
    for (user, code) in [
        (UserId(999_999), "RESOURCE_NOT_FOUND"),
        (bob, "VALIDATION_ERROR"),
        (alice, "VALIDATION_ERROR"),
        (carol, "NOT_FOLLOWING"),
        (dave, "USER_BLOCKED"),
    ] {
        let refused = harness.refused(alice, command("add_group_member", group, user), code).await;
        assert_eq!(refused["field"], "userId", "{user}");
    }
    harness.refused(bob, command("add_group_member", group, carol), "PERMISSION_DENIED").await;
    harness.refused(carol, command("add_group_member", group, carol), "RESOURCE_NOT_FOUND").await;
    sqlx::query("UPDATE group_members SET can_add_members = TRUE WHERE user_id = $1")
        .bind(bob.0)
        .execute(&harness.db)
        .await
        .unwrap();
    harness.follow(bob, carol).await;
    harness.expect(bob, command("add_group_member", group, carol), "member_added").await;
}

#[tokio::test]
async fn a_removed_member_hears_of_it_and_of_nothing_later_or_before() {
    let harness = Harness::start("remove").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = create(&harness, alice, &[bob, carol]).await;
    let other = create(&harness, alice, &[bob]).await;
    harness.expect(alice, text(group, "@bob hello"), "group_message_sent").await;
    let removed = harness.expect(alice, command("remove_group_member", group, bob), "member_removed").await;
    assert_eq!((&removed["username"], &removed["removedBy"]), (&json!("bob"), &json!(alice)));
    let event = harness.event(Channel::Group(group), "member_removed").await;
    assert_eq!(queued(&harness, &event).await, [bob, carol]);
    let own = place(&harness, "own", |p| p.channel == Channel::User(bob) && p.json()["type"] == "member_removed").await;
    let left = place(&harness, "left", |p| p.channel == Channel::User(bob) && p.header == Header::Left { group }).await;
    assert!(own < left);
    let header = harness
        .published()
        .into_iter()
        .find(|p| p.channel == Channel::Group(group) && p.json()["type"] == "member_removed");
    let Some(Published { header: Header::Event(header), .. }) = header else { panic!() };
    assert_eq!(header.exclude_users, [bob], "bob gets it on the own channel");

    // What waited from before is gone (his invitation, the mention), but not what came from the other group.
    let waiting: Vec<Option<String>> = sqlx::query_scalar(
        "SELECT l.conversation_id FROM event_queue q JOIN event_log l USING (event_id) WHERE q.user_id = $1 ORDER BY 1",
    )
    .bind(bob.0)
    .fetch_all(&harness.db)
    .await
    .unwrap();
    let mut expected = vec![Some(group.to_string()), Some(other.to_string())];
    expected.sort();
    assert_eq!(waiting, expected);
    let cursors: i64 = sqlx::query_scalar("SELECT count(*) FROM conversation_members WHERE user_id = $1")
        .bind(bob.0)
        .fetch_one(&harness.db)
        .await
        .unwrap();
    assert_eq!(cursors, 1);
    harness.expect(alice, text(group, "@bob @carol later"), "group_message_sent").await;
    for message in [
        text(group, "x"),
        json!({"type": "get_group_messages", "groupId": group}),
        json!({"type": "get_group_members", "groupId": group}),
        json!({"type": "leave_group", "groupId": group}),
    ] {
        harness.refused(bob, message, "RESOURCE_NOT_FOUND").await;
    }
    assert_eq!(harness.events(Channel::User(bob), "mentioned_in_group").len(), 1);
    // Back again, like any new member.
    harness.expect(alice, command("add_group_member", group, bob), "member_added").await;
    let groups = harness.expect(bob, json!({"type": "get_user_groups"}), "user_groups").await;
    assert!(groups["groups"].as_array().unwrap().iter().all(|group| group["unreadCount"] == 0));
}

#[tokio::test]
async fn roles_and_what_each_may() {
    let harness = Harness::start("roles").await;
    let [owner, admin, other_admin, member, outsider] =
        harness.users(["owner", "admin", "other_admin", "member", "outsider"]).await;
    let group = create(&harness, owner, &[admin, other_admin, member]).await;
    let promoted = harness.expect(owner, command("promote_member", group, admin), "member_promoted").await;
    assert_eq!((&promoted["newRole"], &promoted["promotedBy"]), (&json!("admin"), &json!(owner)));
    let event = durable(&harness, "member_promoted").await;
    assert_eq!(queued(&harness, &event).await, [admin, other_admin, member]);
    harness.expect(owner, command("promote_member", group, other_admin), "member_promoted").await;

    let info = json!({"type": "update_group_info", "groupId": group, "groupName": "y"});
    let delete = json!({"type": "delete_group", "groupId": group});
    let announce = json!({"type": "send_announcement", "groupId": group, "content": "x"});
    let (denied, invalid, unknown) = ("PERMISSION_DENIED", "VALIDATION_ERROR", "RESOURCE_NOT_FOUND");
    let refused = [
        (member, command("remove_group_member", group, admin), denied),
        (member, command("promote_member", group, admin), denied),
        (member, info.clone(), denied),
        (member, announce.clone(), denied),
        (member, delete.clone(), denied),
        (admin, command("remove_group_member", group, owner), denied),
        (admin, command("remove_group_member", group, other_admin), denied),
        (admin, command("promote_member", group, member), denied),
        (admin, command("demote_member", group, other_admin), denied),
        (admin, command("transfer_ownership", group, member), denied),
        (admin, delete.clone(), denied),
        (owner, command("promote_member", group, admin), invalid),
        (owner, command("demote_member", group, member), invalid),
        (owner, command("promote_member", group, owner), invalid),
        (owner, command("demote_member", group, owner), invalid),
        (owner, command("remove_group_member", group, owner), invalid),
        (owner, command("transfer_ownership", group, owner), invalid),
        (owner, command("promote_member", group, outsider), unknown),
        (owner, command("remove_group_member", group, outsider), unknown),
        (owner, json!({"type": "leave_group", "groupId": group}), "OWNER_CANNOT_LEAVE"),
        (outsider, command("remove_group_member", group, member), unknown),
        (outsider, info.clone(), unknown),
        (outsider, announce.clone(), unknown),
        (outsider, delete, unknown),
        (outsider, text(group, "x"), unknown),
        (outsider, json!({"type": "get_group_messages", "groupId": group}), unknown),
    ];
    for (user, message, code) in refused {
        harness.refused(user, message, code).await;
    }

    let updated = harness.expect(admin, info, "group_info_updated").await;
    assert_eq!((&updated["groupName"], &updated["updatedBy"]), (&json!("y"), &json!(admin)));
    assert_eq!(queued(&harness, &durable(&harness, "group_info_updated").await).await, [owner, other_admin, member]);
    harness.expect(admin, command("remove_group_member", group, member), "member_removed").await;
    let demoted = harness.expect(owner, command("demote_member", group, other_admin), "member_demoted").await;
    assert_eq!((&demoted["newRole"], &demoted["demotedBy"]), (&json!("member"), &json!(owner)));
    let can_add: bool = sqlx::query_scalar("SELECT can_add_members FROM group_members WHERE user_id = $1")
        .bind(other_admin.0)
        .fetch_one(&harness.db)
        .await
        .unwrap();
    assert!(!can_add);
    let transferred = harness.expect(owner, command("transfer_ownership", group, admin), "ownership_transferred").await;
    assert_eq!((&transferred["fromUserId"], &transferred["toUserId"]), (&json!(owner), &json!(admin)));
    assert_eq!(
        members(&harness, owner, group).await,
        pairs(&[("admin", "owner"), ("owner", "admin"), ("other_admin", "member")])
    );
    let left = harness.expect(owner, json!({"type": "leave_group", "groupId": group}), "member_left").await;
    assert_eq!(left["username"], "owner");
    assert_eq!(queued(&harness, &durable(&harness, "member_left").await).await, [admin, other_admin]);
    harness.wait_for("left", |p| p.channel == Channel::User(owner) && p.header == Header::Left { group }).await;
    harness.refused(owner, text(group, "x"), unknown).await;
}

#[tokio::test]
async fn group_messages_arrive_once_and_mentions_are_told() {
    let harness = Harness::start("groupsend").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let _outsider = harness.user("dave").await;
    let group = create(&harness, alice, &[bob, carol]).await;
    let message = json!({
        "type": "send_group_message", "groupId": group, "content": "@BOB and @dave, not a@carol.org or @alice",
        "clientMessageId": "c1",
    });
    let sent = harness.expect(alice, message.clone(), "group_message_sent").await;
    assert_eq!((&sent["seq"], &sent["groupId"]), (&json!(1), &json!(group)));
    let event = harness.event(Channel::Group(group), "new_group_message").await;
    assert_eq!((&event["conversationId"], &event["groupId"]), (&json!(group), &json!(group)));
    assert_eq!(event["mentions"], json!([{"type": "user", "userId": bob, "username": "bob"}]));
    let mention = harness.event(Channel::User(bob), "mentioned_in_group").await;
    assert_eq!(mention["messageId"], sent["messageId"]);
    assert_eq!((&mention["mentionedBy"], &mention["mentionedByUsername"]), (&json!(alice), &json!("alice")));
    assert_eq!(queued(&harness, &mention).await, [bob]);
    let again = harness.expect(alice, message, "group_message_sent").await;
    assert_eq!((&again["duplicate"], &again["messageId"]), (&json!(true), &sent["messageId"]));
    assert_eq!(harness.events(Channel::Group(group), "new_group_message").len(), 1);

    let all = harness.expect(bob, text(group, "@all, please"), "group_message_sent").await;
    let of = |user| move |p: &Published| p.channel == Channel::User(user) && p.json()["messageId"] == all["messageId"];
    harness.wait_for("alice's mention", of(alice)).await;
    assert!(harness.events(Channel::User(bob), "mentioned_in_group").len() == 1, "not the sender");

    let announce = json!({"type": "send_announcement", "groupId": group, "content": "hear"});
    let sent = harness.expect(alice, announce, "announcement_sent").await;
    assert_eq!(sent["seq"], 3);
    let event = harness.event(Channel::Group(group), "group_announcement").await;
    assert_eq!((&event["kind"], &event["content"], &event["seq"]), (&json!("announcement"), &json!("hear"), &json!(3)));
    let page = json!({"type": "get_group_messages", "groupId": group, "limit": 2});
    let page = harness.expect(carol, page, "group_messages").await;
    assert_eq!((&page["hasMore"], &page["pagination"]["total"]), (&json!(true), &json!(3)));
    assert_eq!(page["messages"][1]["kind"], "announcement");
    // A reply stays within its conversation.
    let other = create(&harness, alice, &[bob]).await;
    let reply = |group| json!({"type": "send_group_message", "groupId": group, "content": "x", "replyToMessageId": sent["messageId"]});
    harness.expect(bob, reply(group), "group_message_sent").await;
    let refused = harness.refused(bob, reply(other), "VALIDATION_ERROR").await;
    assert_eq!(refused["field"], "replyToMessageId");
}

#[tokio::test]
async fn groups_are_founded_at_the_pace_of_people() {
    let harness = Harness::start_with("founders", &[("GROUP_CREATE_LIMIT", "2")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let create = json!({"type": "create_group", "groupName": "g"});
    for _ in 0..2 {
        harness.expect(alice, create.clone(), "group_created").await;
    }
    let error = harness.refused(alice, create.clone(), "RATE_LIMIT_EXCEEDED").await;
    assert!((3_500..=3_600).contains(&error["retryAfter"].as_i64().unwrap()), "{error}");
    harness.expect(bob, create.clone(), "group_created").await;
    sqlx::query("UPDATE group_chats SET created_at = created_at - interval '1 hour'")
        .execute(&harness.db)
        .await
        .unwrap();
    harness.expect(alice, create, "group_created").await;
}

#[tokio::test]
async fn groups_per_user_are_limited() {
    let harness = Harness::start_with("joiners", &[("MAX_GROUPS_PER_USER", "1")]).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let create = |members: &[UserId]| json!({"type": "create_group", "groupName": "g", "initialMembers": members});
    let created = harness.expect(alice, create(&[bob]), "group_created").await;
    for member in [alice, bob] {
        harness.refused(member, create(&[]), "PERMISSION_DENIED").await;
    }
    let other = harness.expect(carol, create(&[bob]), "group_created").await;
    assert_eq!(other["skippedMembers"], json!([{"userId": bob, "reason": "PERMISSION_DENIED"}]));
    let add = json!({"type": "add_group_member", "groupId": other["groupId"], "userId": bob});
    harness.refused(carol, add.clone(), "PERMISSION_DENIED").await;
    // A deleted group no longer counts.
    harness.expect(alice, json!({"type": "delete_group", "groupId": created["groupId"]}), "group_deleted").await;
    harness.expect(carol, add, "member_added").await;
    harness.expect(alice, create(&[]), "group_created").await;
}

#[tokio::test]
async fn strangers_fill_at_most_half_of_a_users_groups() {
    let harness = Harness::start_with("filled", &[("MAX_GROUPS_PER_USER", "4")]).await;
    let [alice, stranger, friend] = harness.users(["alice", "stranger", "friend"]).await;
    harness.follow(alice, friend).await;
    let create = |members: &[UserId]| json!({"type": "create_group", "groupName": "g", "initialMembers": members});
    let skipped = json!([{"userId": alice, "reason": "PERMISSION_DENIED"}]);
    for _ in 0..2 {
        let created = harness.expect(stranger, create(&[alice]), "group_created").await;
        assert_eq!(created["memberCount"], 2);
    }
    let last = harness.expect(stranger, create(&[alice]), "group_created").await;
    assert_eq!(last["skippedMembers"], skipped);
    let add = json!({"type": "add_group_member", "groupId": last["groupId"], "userId": alice});
    harness.refused(stranger, add.clone(), "PERMISSION_DENIED").await;
    // The other half is left for herself and those whom she follows.
    harness.expect(alice, create(&[]), "group_created").await;
    harness.refused(stranger, add, "PERMISSION_DENIED").await;
    assert_eq!(harness.expect(friend, create(&[alice]), "group_created").await["memberCount"], 2);
    assert_eq!(harness.expect(friend, create(&[alice]), "group_created").await["skippedMembers"], skipped);
    harness.refused(alice, create(&[]), "PERMISSION_DENIED").await;
}

#[tokio::test]
async fn strangers_add_nobody_who_is_added_by_followed_users_only() {
    let harness = Harness::start_with("adding", &[("GROUP_ADD_POLICY", "followed")]).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    // Bob follows Alice, so she may add him.
    harness.follow(bob, alice).await;
    harness.follow(alice, carol).await;
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob, carol]});
    let created = harness.expect(alice, create, "group_created").await;
    assert_eq!(created["memberCount"], 2);
    assert_eq!(created["skippedMembers"], json!([{"userId": carol, "reason": "PERMISSION_DENIED"}]));
    let add = json!({"type": "add_group_member", "groupId": created["groupId"], "userId": carol});
    harness.refused(alice, add.clone(), "PERMISSION_DENIED").await;
    harness.follow(carol, alice).await;
    harness.expect(alice, add, "member_added").await;
}

/// Adds users who have nothing to do with the others, without sending events.
pub async fn add_many(harness: &Harness, group: GroupId, count: i32) {
    sqlx::query(
        "WITH users AS (
             INSERT INTO users_auth (username, email) SELECT 'm' || n, n || '@example.org' FROM generate_series(1, $2) AS n
             RETURNING user_id
         )
         INSERT INTO group_members (group_id, user_id, role, can_add_members) SELECT $1, user_id, 'member', false FROM users",
    )
    .bind(group.to_string())
    .bind(count)
    .execute(&harness.db)
    .await
    .unwrap();
}

#[tokio::test]
async fn deliveries_count_for_each_member_reached() {
    let harness = Harness::start_with("reach", &[("DELIVERIES_PER_MINUTE", "400")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let large = create(&harness, alice, &[bob]).await;
    add_many(&harness, large, 198).await;
    let sent = harness.expect(bob, text(large, "x"), "group_message_sent").await;
    let reaction = json!({"type": "add_group_reaction", "messageId": sent["messageId"], "emoji": "\u{1f44d}"});
    let answer = harness.command(bob, reaction.clone()).await;
    assert_ne!(answer["type"], "error", "{answer}");
    // 400 deliveries use up this minute's allowance.
    let removal = json!({"type": "remove_group_reaction", "messageId": sent["messageId"], "emoji": "\u{1f44d}"});
    for message in [removal, text(large, "y")] {
        let error = harness.refused(bob, message, "RATE_LIMIT_EXCEEDED").await;
        assert!((1..=60).contains(&error["retryAfter"].as_i64().unwrap()), "{error}");
    }
    let stored: i64 =
        sqlx::query_scalar("SELECT count(*) FROM message_reactions").fetch_one(&harness.db).await.unwrap();
    assert_eq!(stored, 1, "rejected commands have no effect");
    harness.expect(alice, text(large, "z"), "group_message_sent").await;
    harness.send(bob, alice, "direct messages are not affected").await;
}

/// To send many at once reaches no more members, and no transaction stores more than one mention of everyone.
#[tokio::test]
async fn deliveries_count_within_a_batch() {
    let harness = Harness::without_worker("reachatonce", &[("DELIVERIES_PER_MINUTE", "3000")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let group = GroupId(Uuid::now_v7());
    let setup = format!(
        "INSERT INTO conversations (conversation_id) VALUES ('{group}');
         INSERT INTO group_chats (group_id, name, created_by, max_members) VALUES ('{group}', 'Climbers', {alice}, 1000);
         INSERT INTO group_members (group_id, user_id, role) VALUES ('{group}', {alice}, 'owner'), ('{group}', {bob}, 'member');
         CREATE TABLE stored_together (part bigint, many bigint);
         CREATE FUNCTION note_stored() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO stored_together SELECT txid_current(), count(*) FROM stored;
             RETURN NULL;
         END $$;
         CREATE TRIGGER note_stored AFTER INSERT ON event_queue REFERENCING NEW TABLE AS stored
         FOR EACH STATEMENT EXECUTE FUNCTION note_stored()"
    );
    sqlx::raw_sql(&setup).execute(&harness.db).await.unwrap();
    add_many(&harness, group, 198).await;
    let mut sent = Vec::new();
    for (user, count, content) in [(alice, 10, "@everyone"), (bob, 20, "x")] {
        for _ in 0..count {
            let message = harness.prepare(user, &text(group, content));
            harness.append(&message).await;
            sent.push((user, message.envelope.id));
        }
    }
    harness.add_worker().await;
    let mut stored = [0, 0];
    for (user, id) in sent {
        let answer = harness.answer(id).await;
        match answer["type"].as_str().unwrap() {
            "group_message_sent" => stored[usize::from(user == bob)] += 1,
            _ => assert_eq!(answer["code"], "RATE_LIMIT_EXCEEDED", "{answer}"),
        }
    }
    // Each reaches 200, and to mention everyone counts for five times as many more.
    assert_eq!(stored, [3, 15]);
    let most: i64 = sqlx::query_scalar(
        "SELECT max(many)::bigint FROM (SELECT sum(many) AS many FROM stored_together GROUP BY part) p",
    )
    .fetch_one(&harness.db)
    .await
    .unwrap();
    assert_eq!(most, 199);
}

#[tokio::test]
async fn members_say_how_far_they_have_read_since_they_joined() {
    let harness = Harness::start("groupread").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = create(&harness, alice, &[bob]).await;
    harness.expect(alice, text(group, "before carol"), "group_message_sent").await;
    harness.expect(alice, command("add_group_member", group, carol), "member_added").await;
    let sent = harness.expect(alice, text(group, "for both"), "group_message_sent").await;
    let list = json!({"type": "get_group_members", "groupId": group});
    let read = async || {
        let answer = harness.expect(alice, list.clone(), "group_members").await;
        let of = |member: &Value| (member["username"].as_str().unwrap().to_owned(), member["readSeq"].as_i64());
        answer["members"].as_array().unwrap().iter().map(of).collect::<std::collections::BTreeMap<_, _>>()
    };
    // What was there when she joined, Carol need not have read.
    assert_eq!((read().await["bob"], read().await["carol"]), (None, None));
    let mark = json!({"type": "mark_message_read", "messageId": sent["messageId"], "groupId": group});
    harness.expect(carol, mark, "message_read").await;
    assert_eq!((read().await["bob"], read().await["carol"]), (None, sent["seq"].as_i64()));
}
