//! Moderation: mutes, bans and slow mode in groups, and reports of messages.

use serde_json::{Value, json};
use shared::http::ReportState;
use shared::ids::{ApiKeyId, ConnectionId, ConnectionRef, GroupId, ReportId, UserId};
use shared::publication::Header;
use shared::redis::keys::Channel;
use shared::stream::{Body, HttpRequest, Internal, InternalReply, ReportPosition};

use crate::groups::{command, create, queued, text};
use crate::harness::{Harness, Prepared};

fn mute(group: GroupId, user: UserId) -> Value {
    json!({"type": "mute_member", "groupId": group, "userId": user, "seconds": 3600, "reason": "cool down"})
}

fn ban(group: GroupId, user: UserId) -> Value {
    json!({"type": "ban_member", "groupId": group, "userId": user, "seconds": 3600, "reason": "spam"})
}

fn slow(group: GroupId, seconds: u32) -> Value {
    json!({"type": "set_slow_mode", "groupId": group, "seconds": seconds})
}

async fn run(harness: &Harness, sql: &str) {
    sqlx::raw_sql(sql).execute(&harness.db).await.unwrap();
}

/// Lets what has an end have ended.
async fn end_sanctions(harness: &Harness) {
    run(harness, "UPDATE group_sanctions SET ends_at = now() WHERE ends_at IS NOT NULL").await;
}

async fn audited(harness: &Harness) -> Vec<String> {
    let query = "SELECT actor || ' ' || action || ' ' || coalesce(target_user_id, 0) FROM audit_log ORDER BY audit_id";
    sqlx::query_scalar(query).fetch_all(&harness.db).await.unwrap()
}

fn assert_waits(error: &Value, most: i64) {
    let wait = error["retryAfter"].as_i64().unwrap();
    assert!((most - 20..=most).contains(&wait), "{error}");
}

/// A command as a backend's, in the user's name.
fn as_backend(harness: &Harness, user: UserId, command: &Value) -> Prepared {
    let mut prepared = harness.prepare(user, command);
    prepared.envelope.reply_to = ConnectionRef { connection: ConnectionId(0), ..prepared.envelope.reply_to };
    prepared
}

#[tokio::test]
async fn a_muted_member_cannot_write_and_is_told_for_how_long() {
    let harness = Harness::start("mute").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = create(&harness, alice, &[bob, carol]).await;
    let own = harness.expect(bob, text(group, "first"), "group_message_sent").await["messageId"].clone();
    let reaction = json!({"type": "add_group_reaction", "messageId": own, "reaction": "x"});
    harness.expect(bob, reaction.clone(), "group_reaction_added").await;

    let muted = harness.expect(alice, mute(group, bob), "member_muted").await;
    assert_eq!(
        (&muted["userId"], &muted["mutedBy"], &muted["reason"]),
        (&json!(bob), &json!(alice), &json!("cool down"))
    );
    assert!(muted["until"].is_string() && muted["version"].is_i64());
    let told = harness.event(Channel::Group(group), "member_muted").await;
    assert_eq!(queued(&harness, &told).await, [bob, carol]);

    let refused = harness.refused(bob, text(group, "second"), "MEMBER_MUTED").await;
    assert_waits(&refused, 3600);
    assert_eq!(refused["field"], "groupId");
    let edit = json!({"type": "edit_group_message", "messageId": own, "content": "else"});
    assert_waits(&harness.refused(bob, edit.clone(), "MEMBER_MUTED").await, 3600);
    let other = json!({"type": "add_group_reaction", "messageId": own, "reaction": "y"});
    harness.refused(bob, other, "MEMBER_MUTED").await;
    // What is there may go, direct messages are not the group's business, and others may write.
    let take_back = json!({"type": "remove_group_reaction", "messageId": own});
    harness.expect(bob, take_back, "group_reaction_removed").await;
    harness.send(bob, carol, "hello").await;
    harness.expect(carol, text(group, "third"), "group_message_sent").await;

    let members = harness.expect(carol, json!({"type": "get_group_members", "groupId": group}), "group_members").await;
    let mutes: Vec<&Value> = members["members"].as_array().unwrap().iter().map(|member| &member["mute"]).collect();
    assert_eq!(mutes, [&Value::Null, &json!({"until": muted["until"], "reason": "cool down"}), &Value::Null]);
    let info = |user| harness.expect(user, json!({"type": "get_group_info", "groupId": group}), "group_info");
    assert_eq!(info(bob).await["mute"]["reason"], "cool down");
    assert_eq!(info(carol).await.get("mute"), None);
    // A device that was away learns of it by `sync`.
    let since = json!({group.to_string(): {"seq": 1, "version": muted["version"].as_i64().unwrap() - 1}});
    for (user, mute) in [(bob, json!("cool down")), (carol, Value::Null)] {
        let (answers, _) = harness.sync(user, since.clone()).await;
        let changes = answers.iter().find(|answer| answer["type"] == "sync_changes").unwrap();
        assert_eq!(changes["info"]["groupId"], json!(group), "{changes}");
        assert_eq!(changes["info"]["mute"]["reason"], mute, "{changes}");
    }
    // At rest the reason is sealed.
    let stored: Vec<u8> =
        sqlx::query_scalar("SELECT reason FROM group_sanctions").fetch_one(&harness.db).await.unwrap();
    assert!(!stored.windows(4).any(|window| window == b"cool"));

    // The time is the database's.
    end_sanctions(&harness).await;
    harness.expect(bob, text(group, "fourth"), "group_message_sent").await;
    harness.expect(bob, edit, "group_message_edited").await;
    assert_eq!(info(bob).await.get("mute"), None);
    let members = harness.expect(carol, json!({"type": "get_group_members", "groupId": group}), "group_members").await;
    assert!(members["members"].as_array().unwrap().iter().all(|member| member.get("mute").is_none()), "{members}");
    harness.refused(alice, command("unmute_member", group, bob), "VALIDATION_ERROR").await;
    assert_eq!(audited(&harness).await, [format!("user:{alice} mute_member {bob}")]);
}

#[tokio::test]
async fn a_mute_without_an_end_outlives_the_membership() {
    let harness = Harness::start("mutestays").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let group = create(&harness, alice, &[bob]).await;
    let muted = harness.expect(alice, command("mute_member", group, bob), "member_muted").await;
    assert_eq!((muted.get("until"), muted.get("reason")), (None, None));
    harness.expect(bob, json!({"type": "leave_group", "groupId": group}), "member_left").await;
    harness.expect(alice, command("add_group_member", group, bob), "member_added").await;
    let refused = harness.refused(bob, text(group, "x"), "MEMBER_MUTED").await;
    assert_eq!(refused.get("retryAfter"), None);
    let unmuted = harness.expect(alice, command("unmute_member", group, bob), "member_unmuted").await;
    assert_eq!(unmuted["unmutedBy"], json!(alice));
    harness.event(Channel::Group(group), "member_unmuted").await;
    harness.expect(bob, text(group, "x"), "group_message_sent").await;
    // Nobody could end the mute of an owner.
    harness.expect(alice, command("mute_member", group, bob), "member_muted").await;
    harness.expect(alice, command("transfer_ownership", group, bob), "ownership_transferred").await;
    harness.expect(bob, text(group, "mine"), "group_message_sent").await;
    let info = harness.expect(bob, json!({"type": "get_group_info", "groupId": group}), "group_info").await;
    assert_eq!(info.get("mute"), None);
    // As after the owner's account was deleted.
    harness.expect(bob, command("mute_member", group, alice), "member_muted").await;
    harness.refused(alice, text(group, "x"), "MEMBER_MUTED").await;
    run(&harness, "UPDATE group_members SET role = CASE role WHEN 'owner' THEN 'admin' ELSE 'owner' END").await;
    let sent = harness.expect(alice, text(group, "mine again"), "group_message_sent").await;
    let edit = json!({"type": "edit_group_message", "messageId": sent["messageId"], "content": "x"});
    harness.expect(alice, edit, "group_message_edited").await;
}

#[tokio::test]
async fn owners_and_admins_moderate_those_below_them() {
    let harness = Harness::start("moderators").await;
    let [alice, bob, carol, dave, eve] = harness.users(["alice", "bob", "carol", "dave", "eve"]).await;
    let group = create(&harness, alice, &[bob, carol, dave]).await;
    for admin in [bob, carol] {
        harness.expect(alice, command("promote_member", group, admin), "member_promoted").await;
    }
    for kind in ["mute_member", "unmute_member", "ban_member", "unban_member"] {
        harness.refused(dave, command(kind, group, bob), "PERMISSION_DENIED").await;
        harness.refused(eve, command(kind, group, dave), "RESOURCE_NOT_FOUND").await;
        for above in [alice, carol] {
            harness.refused(bob, command(kind, group, above), "PERMISSION_DENIED").await;
        }
        harness.refused(bob, command(kind, group, bob), "VALIDATION_ERROR").await;
    }
    harness.refused(dave, slow(group, 5), "PERMISSION_DENIED").await;
    harness.refused(dave, json!({"type": "get_banned_members", "groupId": group}), "PERMISSION_DENIED").await;
    harness.refused(bob, command("mute_member", group, eve), "RESOURCE_NOT_FOUND").await;
    harness.refused(bob, command("ban_member", group, UserId(999_999)), "RESOURCE_NOT_FOUND").await;
    harness.expect(alice, command("mute_member", group, bob), "member_muted").await;
    harness.refused(bob, text(group, "x"), "MEMBER_MUTED").await;
    harness.refused(carol, command("unmute_member", group, bob), "PERMISSION_DENIED").await;
    harness.expect(carol, command("mute_member", group, dave), "member_muted").await;
    harness.expect(alice, command("ban_member", group, carol), "member_banned").await;
}

#[tokio::test]
async fn a_banned_member_is_removed_and_stays_out_until_the_end() {
    let harness = Harness::start("ban").await;
    let [alice, bob, carol, dave] = harness.users(["alice", "bob", "carol", "dave"]).await;
    let group = create(&harness, alice, &[bob, carol]).await;
    let banned = harness.expect(alice, ban(group, bob), "member_banned").await;
    assert_eq!(
        (&banned["userId"], &banned["bannedBy"], &banned["reason"]),
        (&json!(bob), &json!(alice), &json!("spam"))
    );

    // Both events reach the members and the user, the removal last, and then nothing more.
    let seen = |channel: Channel| -> Vec<Value> {
        let of_channel = harness.published().into_iter().filter(|published| published.channel == channel);
        let events = of_channel.map(|published| published.json());
        events.filter(|event| event["type"].as_str().is_some_and(|kind| kind.starts_with("member_"))).collect()
    };
    harness.wait_for("left", |p| p.channel == Channel::User(bob) && p.header == Header::Left { group }).await;
    let kinds = |events: &[Value]| -> Vec<Value> { events.iter().map(|event| event["type"].clone()).collect() };
    let (to_bob, to_group) = (seen(Channel::User(bob)), seen(Channel::Group(group)));
    let expected = [json!("member_banned"), json!("member_removed")];
    assert_eq!((kinds(&to_bob), kinds(&to_group)), (expected.to_vec(), expected.to_vec()));
    assert!(to_bob[0]["eventId"].as_str() < to_bob[1]["eventId"].as_str(), "the order of a replay");
    assert!(to_bob[0]["version"].as_i64() < to_bob[1]["version"].as_i64());
    for event in &to_group {
        assert_eq!(queued(&harness, event).await, [bob, carol]);
    }
    harness.refused(bob, text(group, "x"), "RESOURCE_NOT_FOUND").await;
    assert_waits(&harness.refused(alice, command("add_group_member", group, bob), "MEMBER_BANNED").await, 3600);
    // Somebody who is not a member can be banned, too; the user is not told.
    harness.expect(alice, command("ban_member", group, dave), "member_banned").await;
    harness.refused(alice, command("add_group_member", group, dave), "MEMBER_BANNED").await;
    assert_eq!(harness.events(Channel::User(dave), "member_banned").len(), 0);

    let list = |cursor: Value| json!({"type": "get_banned_members", "groupId": group, "limit": 1, "cursor": cursor});
    let first = harness.expect(alice, list(Value::Null), "banned_members").await;
    let second = harness.expect(alice, list(first["nextCursor"].clone()), "banned_members").await;
    assert_eq!((&first["members"][0]["userId"], &first["members"][0]["reason"]), (&json!(bob), &json!("spam")));
    assert_eq!((&second["members"][0]["userId"], second["members"][0].get("until")), (&json!(dave), None));
    assert_eq!(second.get("nextCursor"), None);

    end_sanctions(&harness).await;
    let left = harness.expect(alice, list(Value::Null), "banned_members").await;
    assert_eq!((&left["members"][0]["userId"], left.get("nextCursor")), (&json!(dave), None));
    harness.expect(alice, command("add_group_member", group, bob), "member_added").await;
    harness.expect(alice, command("unban_member", group, dave), "member_unbanned").await;
    harness.refused(alice, command("unban_member", group, dave), "VALIDATION_ERROR").await;
    harness.expect(alice, command("add_group_member", group, dave), "member_added").await;
    let expected = [format!("ban_member {bob}"), format!("ban_member {dave}"), format!("unban_member {dave}")];
    assert_eq!(audited(&harness).await, expected.map(|action| format!("user:{alice} {action}")));
}

#[tokio::test]
async fn a_ban_holds_against_the_community() {
    let harness = Harness::start("bancommunity").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let members = json!([{"userId": alice, "role": "owner"}, {"userId": bob, "role": "member"}]);
    let body = json!({"community": {"communityId": "c1", "name": "Runners"}, "members": members});
    let push = || HttpRequest::CommunitySync { body: body.to_string().into() };
    let (_, answer) = http(&harness, push()).await;
    let group: GroupId = answer["defaultGroupId"].as_str().unwrap().parse().unwrap();
    harness.expect(alice, mute(group, bob), "member_muted").await;
    harness.refused(bob, text(group, "x"), "MEMBER_MUTED").await;
    harness.expect(alice, command("unmute_member", group, bob), "member_unmuted").await;
    harness.expect(alice, ban(group, bob), "member_banned").await;
    assert_eq!(http(&harness, push()).await.0, 200);
    harness.refused(bob, text(group, "x"), "RESOURCE_NOT_FOUND").await;
    end_sanctions(&harness).await;
    assert_eq!(http(&harness, push()).await.0, 200);
    harness.expect(bob, text(group, "x"), "group_message_sent").await;
}

#[tokio::test]
async fn slow_mode_gives_each_member_one_turn_in_its_time() {
    let harness = Harness::start("slow").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = create(&harness, alice, &[bob, carol]).await;
    harness.expect(bob, text(group, "free"), "group_message_sent").await;
    let updated = harness.expect(alice, slow(group, 60), "group_info_updated").await;
    assert_eq!(updated["slowModeSeconds"], 60);
    assert_eq!(harness.event(Channel::Group(group), "group_info_updated").await["slowModeSeconds"], 60);
    let info = harness.expect(bob, json!({"type": "get_group_info", "groupId": group}), "group_info").await;
    assert_eq!(info["slowModeSeconds"], 60);

    let first = json!({"type": "send_group_message", "groupId": group, "content": "1", "clientMessageId": "one"});
    harness.expect(bob, first.clone(), "group_message_sent").await;
    assert_waits(&harness.refused(bob, text(group, "2"), "SLOW_MODE").await, 60);
    // A repetition is no second message, others have turns of their own, and moderators need none.
    assert_eq!(harness.expect(bob, first, "group_message_sent").await["duplicate"], true);
    harness.expect(carol, text(group, "3"), "group_message_sent").await;
    for content in ["4", "5"] {
        harness.expect(alice, text(group, content), "group_message_sent").await;
    }
    harness.send(bob, carol, "direct").await;
    // A message that is rejected takes no turn.
    run(&harness, "UPDATE group_members SET turn_at = now() - interval '61 s'").await;
    let reply = json!({"type": "send_group_message", "groupId": group, "content": "6", "replyToMessageId":
        format!("msg_{}", uuid::Uuid::nil())});
    harness.refused(bob, reply, "RESOURCE_NOT_FOUND").await;
    harness.expect(bob, text(group, "7"), "group_message_sent").await;
    harness.refused(bob, text(group, "8"), "SLOW_MODE").await;
    harness.expect(alice, slow(group, 0), "group_info_updated").await;
    harness.expect(bob, text(group, "9"), "group_message_sent").await;
    let expected = format!("user:{alice} set_slow_mode 0");
    assert_eq!(audited(&harness).await, [expected.clone(), expected]);
}

/// All of it is in one batch, because there was no worker when it was sent.
#[tokio::test]
async fn a_batch_is_moderated_message_by_message() {
    let harness = Harness::without_worker("slowbatch", &[]).await;
    let worker = harness.add_worker().await;
    let [alice, bob, carol, dave] = harness.users(["alice", "bob", "carol", "dave"]).await;
    let group = create(&harness, alice, &[bob, carol, dave]).await;
    harness.expect(alice, slow(group, 60), "group_info_updated").await;
    harness.expect(alice, mute(group, carol), "member_muted").await;
    worker.start_draining();
    harness.until("SELECT bool_and(owner IS NULL) FROM partition_leases").await;
    let mut sent = Vec::new();
    for (user, content) in [(bob, "1"), (carol, "2"), (bob, "3"), (dave, "4"), (alice, "5"), (dave, "6")] {
        let prepared = harness.prepare(user, &text(group, content));
        harness.append(&prepared).await;
        sent.push(prepared.envelope.id);
    }
    let direct = harness.prepare(bob, &json!({"type": "send_private_message", "recipientId": carol, "content": "7"}));
    harness.append(&direct).await;
    harness.add_worker().await;
    let mut answers = Vec::new();
    for id in sent {
        let answer = harness.answer(id).await;
        answers.push(answer.get("code").unwrap_or(&answer["type"]).as_str().unwrap().to_owned());
    }
    const SENT: &str = "group_message_sent";
    assert_eq!(answers, [SENT, "MEMBER_MUTED", "SLOW_MODE", SENT, SENT, "SLOW_MODE"]);
    assert_eq!(harness.answer(direct.envelope.id).await["type"], "message_sent");
    let seqs: Vec<i64> = sqlx::query_scalar("SELECT seq FROM private_messages WHERE conversation_id = $1 ORDER BY seq")
        .bind(group.to_string())
        .fetch_all(&harness.db)
        .await
        .unwrap();
    assert_eq!(seqs, [1, 2, 3], "numbers have no gap where a message was rejected");
}

#[tokio::test]
async fn the_product_writes_where_its_user_may_not() {
    let harness = Harness::start("mutedsystem").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let group = create(&harness, alice, &[bob]).await;
    harness.expect(alice, slow(group, 60), "group_info_updated").await;
    harness.expect(alice, mute(group, bob), "member_muted").await;
    // As the user it has the user's rights.
    let as_user = as_backend(&harness, bob, &text(group, "as bob"));
    harness.append(&as_user).await;
    for content in ["notice", "and another"] {
        let prepared = as_backend(&harness, bob, &text(group, content));
        let (command, _) = prepared.body.into_command().unwrap();
        harness.append(&Prepared { body: Body::of_command(command, true), ..prepared }).await;
    }
    harness.until("SELECT count(*) = 2 FROM private_messages").await;
    let contents = json!({"type": "get_group_messages", "groupId": group});
    let page = harness.expect(alice, contents, "group_messages").await;
    let contents: Vec<&str> =
        page["messages"].as_array().unwrap().iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(contents, ["notice", "and another"]);
}

async fn http(harness: &Harness, request: HttpRequest) -> (u16, Value) {
    match harness.internal(UserId(0), Internal::Http(request)).await {
        InternalReply::Http { status, json } => (status, serde_json::from_slice(&json).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn report(message: &Value, reason: &str) -> Value {
    json!({"type": "report_message", "messageId": message, "reason": reason})
}

#[tokio::test]
async fn a_message_is_reported_once_by_those_who_can_read_it() {
    let harness = Harness::start_with("report", &[("REPORT_LIMIT", "2")]).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let sent = harness.send(alice, bob, "buy this").await["messageId"].clone();
    harness.refused(carol, report(&sent, "spam"), "RESOURCE_NOT_FOUND").await;
    assert_eq!(harness.refused(alice, report(&sent, "mine"), "VALIDATION_ERROR").await["field"], "messageId");
    let first = harness.expect(bob, report(&sent, "spam, I think"), "message_reported").await;
    let again = harness.expect(bob, report(&sent, "another reason"), "message_reported").await;
    assert_eq!((&first["reportId"], &first["reportedAt"]), (&again["reportId"], &again["reportedAt"]));
    let stored: (String, i64, i64, String, Vec<u8>) =
        sqlx::query_as("SELECT conversation_id, sender_id, reporter_id, state, reason FROM message_reports")
            .fetch_one(&harness.db)
            .await
            .unwrap();
    let conversation = format!("conv_{}_{}", alice.0.min(bob.0), alice.0.max(bob.0));
    assert_eq!((stored.0, stored.1, stored.2, &*stored.3), (conversation, alice.0, bob.0, "open"));
    assert!(!stored.4.windows(4).any(|window| window == b"spam"), "it is sealed");
    assert_eq!(audited(&harness).await, [format!("user:{bob} report_message {alice}")]);
    // The sender is told nothing.
    assert!(harness.published().iter().all(|published| {
        !published.json()["type"]
            .as_str()
            .is_some_and(|kind| kind == "message_reported" && published.channel != Channel::Gateway)
    }));

    // A hidden message cannot be read; the limit is for 24 hours; what was reported is still answered.
    let second = harness.send(alice, bob, "and this").await["messageId"].clone();
    let hide = json!({"type": "delete_message", "messageId": second, "deleteForEveryone": false});
    harness.expect(bob, hide, "message_deleted").await;
    harness.refused(bob, report(&second, "spam"), "RESOURCE_NOT_FOUND").await;
    let third = harness.send(alice, bob, "third").await["messageId"].clone();
    harness.expect(bob, report(&third, "spam"), "message_reported").await;
    let fourth = harness.send(alice, bob, "fourth").await["messageId"].clone();
    assert_waits(&harness.refused(bob, report(&fourth, "spam"), "RATE_LIMIT_EXCEEDED").await, 86_400);
    harness.expect(bob, report(&sent, "spam"), "message_reported").await;
    run(&harness, "UPDATE message_reports SET reported_at = reported_at - interval '1 day'").await;
    harness.expect(bob, report(&fourth, "spam"), "message_reported").await;
}

#[tokio::test]
async fn a_backend_lists_open_reports_and_closes_them() {
    let harness = Harness::start("reports").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let mut messages = Vec::new();
    for content in ["one", "two", "three"] {
        let sent = harness.send(alice, bob, content).await["messageId"].clone();
        harness.expect(bob, report(&sent, &format!("about {content}")), "message_reported").await;
        messages.push(sent);
    }
    let remove = json!({"type": "delete_message", "messageId": messages[1]});
    harness.expect(alice, remove, "message_deleted").await;
    let list = |after: Option<ReportPosition>| http(&harness, HttpRequest::Reports { limit: 2, after });
    let (status, first) = list(None).await;
    assert_eq!(status, 200);
    let shown: Vec<_> =
        first["reports"].as_array().unwrap().iter().map(|one| (&one["reason"], &one["message"]["content"])).collect();
    // What was deleted is not there any more.
    assert_eq!(shown, [(&json!("about one"), &json!("one")), (&json!("about two"), &Value::Null)]);
    assert_eq!((&first["reports"][0]["senderId"], &first["reports"][0]["reporterId"]), (&json!(alice), &json!(bob)));
    let after = <ReportPosition as shared::cursor::Cursor>::parse(first["nextCursor"].as_str().unwrap());
    let (_, second) = list(after).await;
    assert_eq!((&second["reports"][0]["messageId"], second.get("nextCursor")), (&messages[2], None));

    let id = |report: &Value| ReportId(report["reportId"].as_str().unwrap().parse().unwrap());
    let close = |report, state| HttpRequest::CloseReport { report, state, key_id: ApiKeyId("k".to_owned()) };
    let one = id(&first["reports"][0]);
    for state in [ReportState::Resolved, ReportState::Dismissed] {
        assert_eq!(http(&harness, close(one, state)).await.0, 200, "one that is closed stays as it is");
    }
    let stored: (String, String) = sqlx::query_as("SELECT state, closed_by FROM message_reports WHERE state <> 'open'")
        .fetch_one(&harness.db)
        .await
        .unwrap();
    assert_eq!(stored, ("resolved".to_owned(), "key:k".to_owned()));
    assert_eq!(http(&harness, close(ReportId(uuid::Uuid::nil()), ReportState::Resolved)).await.0, 404);
    assert_eq!(list(None).await.1["reports"].as_array().unwrap().len(), 2);
    assert_eq!(audited(&harness).await.pop().unwrap(), format!("key:k report_resolved {alice}"));
}

#[tokio::test]
async fn what_has_ended_or_was_closed_long_ago_is_deleted() {
    let settings = [("AUDIT_RETENTION", "1h"), ("GROUP_PURGE_AFTER", "0")];
    let harness = Harness::without_worker("moderationkept", &settings).await;
    let worker = harness.add_worker().await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = create(&harness, alice, &[bob, carol]).await;
    let gone = create(&harness, alice, &[bob]).await;
    harness.expect(alice, mute(group, bob), "member_muted").await;
    harness.expect(alice, ban(group, carol), "member_banned").await;
    harness.expect(alice, mute(gone, bob), "member_muted").await;
    for content in ["closed", "closed now", "open"] {
        let sent = harness.send(alice, bob, content).await["messageId"].clone();
        harness.expect(bob, report(&sent, content), "message_reported").await;
    }
    worker.start_draining();
    harness.until("SELECT bool_and(owner IS NULL) FROM partition_leases").await;
    for statement in [
        "UPDATE group_sanctions SET ends_at = now() - interval '1 s' WHERE kind = 'mute'",
        "UPDATE message_reports SET state = 'resolved', closed_at = now() WHERE report_id <> (SELECT max(report_id::text)::uuid FROM message_reports)",
        "UPDATE message_reports SET closed_at = now() - interval '2 h' WHERE report_id = (SELECT min(report_id::text)::uuid FROM message_reports)",
    ] {
        run(&harness, statement).await;
    }
    harness.add_worker().await;
    harness.until("SELECT count(*) = 1 FROM group_sanctions").await;
    harness.until("SELECT count(*) = 2 FROM message_reports").await;
    // A group that is purged takes its mutes and bans with it, whether they have ended or not.
    harness.expect(alice, mute(gone, bob), "member_muted").await;
    let delete = json!({"type": "delete_group", "groupId": gone, "permanent": true});
    harness.expect(alice, delete, "group_deleted").await;
    harness.until("SELECT count(*) = 1 AND bool_and(kind = 'ban') FROM group_sanctions").await;
}
