//! Webhooks: what a receiver gets, for which events, and what happens if it does not accept it.

use std::collections::HashMap;
use std::time::Duration;

use devstack::{Post, Receiver, Reply};
use serde_json::{Value, json};
use shared::ids::{ConnectionId, UserId};
use shared::redis::presence::{PresenceScripts, UserSession};
use shared::webhooks::{WebhookSecret, signatures};

use crate::harness::{DEADLINE, Harness};
use crate::sessions::resumed;

const SECRETS: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw,dGhlIG9sZCBzZWNyZXQsIGxvbmcgZW5vdWdo";

/// Starts a worker whose settings name an endpoint.
async fn start(label: &str, events: &str, settings: &[(&str, &str)]) -> (Harness, Receiver) {
    let receiver = Receiver::start().unwrap();
    let url = receiver.url();
    let own = [
        ("WEBHOOK_URL", url.as_str()),
        ("WEBHOOK_SECRETS", SECRETS),
        ("WEBHOOK_EVENTS", events),
        ("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8"),
        ("WEBHOOK_MAX_PAUSE", "100ms"),
        ("WEBHOOK_TIMEOUT", "500ms"),
    ];
    let settings: Vec<(&str, &str)> = own.iter().chain(settings).copied().collect();
    let harness = Harness::start_with(label, &settings).await;
    harness.until("SELECT EXISTS (SELECT FROM webhook_endpoints)").await;
    (harness, receiver)
}

fn json_of(post: &Post) -> Value {
    serde_json::from_str(&post.body).unwrap()
}

fn taken(receiver: &Receiver) -> Vec<Value> {
    receiver.taken().iter().map(json_of).collect()
}

/// Waits until this many deliveries were accepted, not counting repetitions.
async fn wait_for(receiver: &Receiver, count: usize) -> Vec<Value> {
    let waited = tokio::time::timeout(DEADLINE, async {
        loop {
            let taken = without_repetitions(taken(receiver));
            if taken.len() >= count {
                return taken;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{count} deliveries; there were {:#?}", taken(receiver)))
}

fn without_repetitions(mut bodies: Vec<Value>) -> Vec<Value> {
    let mut seen = std::collections::HashSet::new();
    bodies.retain(|body| seen.insert(body["id"].as_str().unwrap().to_owned()));
    bodies
}

fn types(bodies: &[Value]) -> Vec<&str> {
    bodies.iter().map(|body| body["type"].as_str().unwrap()).collect()
}

fn contents(bodies: &[Value]) -> Vec<&str> {
    bodies.iter().filter_map(|body| body["data"]["content"].as_str()).collect()
}

#[tokio::test]
async fn events_are_delivered_in_order_and_signed() {
    let (harness, receiver) = start("hooks", "all", &[]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let sent = harness.send(alice, bob, "hello").await;
    let message = sent["messageId"].clone();
    // Another test checks pushes.
    let about = |kind: &str| json!({"type": kind, "messageId": message});
    let with = |mut command: Value, field: &str, value: Value| {
        command[field] = value;
        command
    };
    harness.expect(bob, with(about("add_reaction"), "reaction", json!("👍")), "reaction_added").await;
    harness.expect(alice, with(about("edit_message"), "content", json!("hello again")), "message_edited").await;
    harness.expect(alice, with(about("delete_message"), "deleteForEveryone", json!(true)), "message_deleted").await;
    let is_push = |body: &Value| body["type"] == "push.wanted";
    let waited = tokio::time::timeout(DEADLINE, async {
        while taken(&receiver).iter().filter(|body| !is_push(body)).count() < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("four events: {:#?}", taken(&receiver)));
    let mut bodies = taken(&receiver);
    bodies.retain(|body| !is_push(body));
    assert_eq!(types(&bodies), ["message.created", "reaction.added", "message.edited", "message.deleted"]);
    assert_eq!(bodies[1]["data"]["reaction"], "👍");
    for body in &bodies {
        assert_eq!(body["data"]["messageId"], message, "{body}");
        assert_eq!(body["data"].get("eventId"), None);
    }
    let secrets = WebhookSecret::parse_pair(SECRETS).unwrap();
    for post in receiver.taken() {
        let (id, at) = (post.header("webhook-id"), post.header("webhook-timestamp").parse().unwrap());
        assert_eq!(id, json_of(&post)["id"]);
        assert_eq!(post.header("webhook-signature"), signatures(&secrets, id, at, post.body.as_bytes()));
        assert_eq!(post.header("content-type"), "application/json");
    }
    harness.until("SELECT count(*) = 0 FROM webhook_deliveries").await;
    harness.until("SELECT count(*) = 0 FROM webhook_topics").await;
}

#[tokio::test]
async fn nothing_is_stored_where_nobody_has_subscribed() {
    let harness = Harness::start("hooksnone").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.send(alice, bob, "hello").await;
    harness.until("SELECT NOT is_called FROM webhook_deliveries_delivery_id_seq").await;
}

#[tokio::test]
async fn what_is_stored_for_delivery_is_not_readable() {
    let (harness, receiver) = start("hookssealed", "all", &[]).await;
    receiver.behave(|_| Reply::Status(500));
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let sent = harness.send(alice, bob, "a secret word").await;
    let reaction = json!({"type": "add_reaction", "messageId": sent["messageId"], "reaction": "secret-re"});
    harness.expect(bob, reaction, "reaction_added").await;
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT row_to_json(d)::text || encode(coalesce(body, ''), 'escape') FROM webhook_deliveries d",
    )
    .fetch_all(&harness.db)
    .await
    .unwrap();
    assert!(rows.len() >= 3 && rows.iter().all(|row| !row.contains("secret")), "{rows:#?}");
    let secrets: String = sqlx::query_scalar("SELECT encode(secrets, 'escape') FROM webhook_endpoints")
        .fetch_one(&harness.db)
        .await
        .unwrap();
    assert!(!secrets.contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
}

/// The receiver fails in every possible way, and then works.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_gets_everything_in_order_later() {
    let elsewhere = Receiver::start().unwrap();
    let (harness, receiver) = start("hooksfail", "message.created", &[]).await;
    harness.add_worker().await;
    let target = elsewhere.url();
    let count = std::sync::atomic::AtomicUsize::new(0);
    receiver.behave(move |_| match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        count if count > 40 => Reply::Status(200),
        count => match count % 6 {
            0 => Reply::Status(500),
            1 => Reply::Close,
            2 => Reply::Redirect(target.clone()),
            3 => Reply::Flood,
            4 => Reply::Hang,
            _ => Reply::After(Duration::from_millis(100), Box::new(Reply::Status(204))),
        },
    });
    let people = harness.users(["a", "b", "c", "d"]).await;
    for round in 0..5 {
        for pair in people.windows(2) {
            harness.send(pair[0], pair[1], &format!("{round}")).await;
        }
    }
    let bodies = wait_for(&receiver, 15).await;
    let mut by_conversation: HashMap<String, Vec<&str>> = HashMap::new();
    for body in &bodies {
        let conversation = body["data"]["conversationId"].as_str().unwrap().to_owned();
        by_conversation.entry(conversation).or_default().push(body["data"]["content"].as_str().unwrap());
    }
    assert_eq!(by_conversation.len(), 3);
    for (conversation, contents) in by_conversation {
        assert_eq!(contents, ["0", "1", "2", "3", "4"], "{conversation}");
    }
    assert_eq!(elsewhere.posts(), 0, "redirects are not followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_fails_holds_up_no_other() {
    let (harness, receiver) = start("hookspoison", "message.created", &[("WEBHOOK_MAX_PAUSE", "1h")]).await;
    receiver.behave(|post| match json_of(post)["data"]["content"] == "poison" {
        true => Reply::Hang,
        false => Reply::Status(200),
    });
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    harness.send(alice, bob, "poison").await;
    harness.send(alice, bob, "behind it").await;
    for round in 0..20 {
        harness.send(alice, carol, &round.to_string()).await;
    }
    let bodies = wait_for(&receiver, 20).await;
    assert!(contents(&bodies).iter().enumerate().all(|(n, content)| *content == n.to_string()), "{bodies:#?}");
    harness.until("SELECT count(*) = 2 FROM webhook_deliveries").await;
    harness.until("SELECT bool_or(attempts > 0 AND last_error LIKE 'no answer%') FROM webhook_deliveries").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_down_is_asked_rarely_and_slows_nobody() {
    let (harness, receiver) = start("hooksdown", "message.created", &[("WEBHOOK_MAX_PAUSE", "2s")]).await;
    let other = Receiver::start().unwrap();
    let sealed =
        "INSERT INTO webhook_endpoints SELECT gen_random_uuid(), 'other', $1, events, secrets FROM webhook_endpoints";
    sqlx::query(sealed).bind(other.url()).execute(&harness.db).await.unwrap();
    // Sealed under another id.
    let id: uuid::Uuid = sqlx::query_scalar("SELECT endpoint_id FROM webhook_endpoints WHERE name = 'other'")
        .fetch_one(&harness.db)
        .await
        .unwrap();
    sqlx::query("UPDATE webhook_endpoints SET secrets = $1 WHERE endpoint_id = $2")
        .bind(harness.keyring.seal_blob(id, SECRETS.as_bytes()))
        .bind(id)
        .execute(&harness.db)
        .await
        .unwrap();
    receiver.behave(|_| Reply::Status(503));
    let before = receiver.posts();
    let alice = harness.user("alice").await;
    for n in 0..30 {
        let friend = harness.user(&format!("friend{n}")).await;
        harness.send(alice, friend, "hello").await;
    }
    wait_for(&other, 30).await;
    let tries = receiver.posts() - before;
    assert!(tries < 30, "{tries} tries of an endpoint that is down");
    // Once it is back, it gets all of them.
    receiver.behave(|_| Reply::Status(200));
    sqlx::query("UPDATE webhook_topics SET blocked_until = now()").execute(&harness.db).await.unwrap();
    wait_for(&receiver, 30).await;
}

#[tokio::test]
async fn what_is_not_taken_in_time_is_set_aside_and_the_rest_goes_on() {
    let settings = [("WEBHOOK_RETRY_FOR", "2s")];
    let (harness, receiver) = start("hooksaside", "message.created", &settings).await;
    receiver.behave(|post| Reply::Status(if json_of(post)["data"]["content"] == "poison" { 400 } else { 200 }));
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.send(alice, bob, "poison").await;
    harness.until("SELECT count(*) = 1 FROM webhook_deliveries WHERE set_aside_at IS NOT NULL").await;
    harness.send(alice, bob, "fine").await;
    assert_eq!(contents(&wait_for(&receiver, 1).await), ["fine"]);
    harness.until("SELECT last_error LIKE '%400%' AND attempts > 0 FROM webhook_deliveries").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_settles_what_it_has_delivered() {
    let receiver = Receiver::start().unwrap();
    let settings = [
        ("WEBHOOK_URL", receiver.url()),
        ("WEBHOOK_SECRETS", SECRETS.to_owned()),
        ("WEBHOOK_EVENTS", "message.created".to_owned()),
        ("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8".to_owned()),
    ];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let harness = Harness::without_worker("hooksdrain", &settings).await;
    let worker = harness.add_worker().await;
    harness.until("SELECT EXISTS (SELECT FROM webhook_endpoints)").await;
    let (answer, answers) = std::sync::mpsc::channel();
    let answers = std::sync::Mutex::new(answers);
    receiver.behave(move |_| {
        let _ = answers.lock().unwrap().recv_timeout(DEADLINE);
        Reply::Status(200)
    });
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.send(alice, bob, "hello").await;
    let asked = tokio::time::timeout(DEADLINE, async {
        while receiver.posts() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    asked.await.unwrap();
    worker.start_draining();
    answer.send(()).unwrap();
    harness.until("SELECT count(*) = 0 FROM webhook_deliveries").await;
}

#[tokio::test]
async fn addresses_that_are_not_public_are_not_connected_to() {
    for (label, scheme) in [("hooksssrf", "http"), ("hooksssrfs", "https")] {
        let receiver = Receiver::start().unwrap();
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
            let url = format!("{scheme}://{host}:{}/", receiver.port());
            let settings = [
                ("WEBHOOK_URL", url.as_str()),
                ("WEBHOOK_SECRETS", SECRETS),
                ("WEBHOOK_EVENTS", "message.created"),
                ("WEBHOOK_ALLOWED_NETWORKS", "10.0.0.0/8"),
            ];
            let harness = Harness::start_with(label, &settings).await;
            let [alice, bob] = harness.users(["alice", "bob"]).await;
            harness.send(alice, bob, "hello").await;
            harness.until("SELECT coalesce(last_error, '') LIKE '%is not public%' FROM webhook_deliveries").await;
        }
        assert_eq!(receiver.connections(), 0);
    }
}

#[tokio::test]
async fn content_deleted_meanwhile_is_not_delivered() {
    let (harness, receiver) = start("hooksgone", "message.created,message.deleted", &[]).await;
    receiver.behave(|_| Reply::Status(500));
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let sent = harness.send(alice, bob, "regretted").await;
    let delete = json!({"type": "delete_message", "messageId": sent["messageId"], "deleteForEveryone": true});
    harness.expect(alice, delete, "message_deleted").await;
    // A delivery that was in progress already has its content.
    tokio::time::sleep(Duration::from_millis(200)).await;
    receiver.behave(|_| Reply::Status(200));
    let bodies = wait_for(&receiver, 2).await;
    assert_eq!(types(&bodies), ["message.created", "message.deleted"]);
    let data = json!({"messageId": sent["messageId"], "conversationId": sent["conversationId"], "content": null, "removed": true});
    assert_eq!(bodies[0]["data"], data);
}

#[tokio::test]
async fn groups_and_memberships_are_reported_once_each() {
    let (harness, receiver) = start("hooksgroups", "message.created,group.created,group.updated,group.deleted,group.owner_changed,member.added,member.removed,member.left,member.promoted,member.demoted,member.muted,member.unmuted,member.banned,member.unbanned", &[]).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob]});
    let created = harness.expect(alice, create, "group_created").await;
    let group = created["groupId"].clone();
    let command = |kind: &str, user: UserId| json!({"type": kind, "groupId": group, "userId": user});
    harness.expect(alice, command("add_group_member", carol), "member_added").await;
    harness.expect(alice, command("promote_member", bob), "member_promoted").await;
    harness.expect(alice, command("demote_member", bob), "member_demoted").await;
    let rename = json!({"type": "update_group_info", "groupId": group, "groupName": "h"});
    harness.expect(alice, rename, "group_info_updated").await;
    harness.expect(alice, command("mute_member", carol), "member_muted").await;
    harness.expect(alice, command("unmute_member", carol), "member_unmuted").await;
    harness.expect(alice, command("ban_member", carol), "member_banned").await;
    harness.expect(alice, command("unban_member", carol), "member_unbanned").await;
    harness.expect(alice, command("transfer_ownership", bob), "ownership_transferred").await;
    harness.expect(alice, json!({"type": "leave_group", "groupId": group}), "member_left").await;
    harness.expect(bob, json!({"type": "delete_group", "groupId": group}), "group_deleted").await;
    let bodies = wait_for(&receiver, 13).await;
    let expected = [
        "group.created",
        "member.added",
        "member.promoted",
        "member.demoted",
        "group.updated",
        "member.muted",
        "member.unmuted",
        "member.banned",
        "member.removed",
        "member.unbanned",
        "group.owner_changed",
        "member.left",
        "group.deleted",
    ];
    assert_eq!(types(&bodies), expected);
    assert!(bodies.iter().all(|body| body["data"]["groupId"] == group), "{bodies:#?}");
    assert_eq!(bodies[1]["data"]["userId"], carol.to_string());
}

#[tokio::test]
async fn a_report_is_delivered_with_the_message_as_it_is_then() {
    let (harness, receiver) = start("hooksreport", "all", &[]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let report =
        |message: &Value, reason: &str| json!({"type": "report_message", "messageId": message, "reason": reason});
    let reports = || {
        let mut reports = without_repetitions(taken(&receiver));
        reports.retain(|body| body["type"] == "message.reported");
        reports
    };
    let sent = harness.send(alice, bob, "buy this").await["messageId"].clone();
    let reported = harness.expect(bob, report(&sent, "spam"), "message_reported").await;
    // A repetition is no second report.
    harness.expect(bob, report(&sent, "spam"), "message_reported").await;
    harness.until("SELECT count(*) = 0 FROM webhook_deliveries").await;
    let data = reports().pop().unwrap()["data"].clone();
    assert_eq!(reports().len(), 1);
    assert_eq!((&data["reportId"], &data["reason"]), (&reported["reportId"], &json!("spam")));
    assert_eq!((&data["senderId"], &data["reporterId"]), (&json!(alice), &json!(bob)));
    assert_eq!((&data["messageId"], &data["message"]["content"]), (&sent, &json!("buy this")));

    receiver.behave(|_| Reply::Status(500));
    let sent = harness.send(alice, bob, "and this").await["messageId"].clone();
    harness.expect(bob, report(&sent, "spam again"), "message_reported").await;
    harness.expect(alice, json!({"type": "delete_message", "messageId": sent}), "message_deleted").await;
    receiver.behave(|_| Reply::Status(200));
    harness.until("SELECT count(*) = 0 FROM webhook_deliveries").await;
    let data = reports().pop().unwrap()["data"].clone();
    assert_eq!((&data["reason"], &data["message"]), (&json!("spam again"), &Value::Null));
}

#[tokio::test]
async fn a_push_is_wanted_for_those_who_are_away_and_have_not_muted() {
    let (harness, receiver) = start("hookspush", "message.created,push.wanted", &[]).await;
    let [alice, there, away, muted] = harness.users(["alice", "there", "away", "muted"]).await;
    let presence = PresenceScripts::new(harness.keys.clone());
    let session = |user, connection| UserSession { user, connection: ConnectionId(connection) };
    let sessions = [session(alice, 1), session(there, 2), session(away, 3)];
    presence.open(&harness.redis, harness.gateway, &sessions).await.unwrap();
    // Within the grace period others still see this user online.
    presence.close(&harness.redis, harness.gateway, &[sessions[2]], Duration::from_secs(600)).await.unwrap();
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [there, away, muted]});
    let group = harness.expect(alice, create, "group_created").await["groupId"].clone();
    let mute =
        json!({"type": "set_conversation_settings", "conversationId": group, "mutedUntil": "2100-01-01T00:00:00Z"});
    harness.expect(muted, mute, "conversation_settings").await;
    let send = json!({"type": "send_group_message", "groupId": group, "content": "hello"});
    harness.expect(alice, send, "group_message_sent").await;
    // To users who need not be notified.
    harness.send(alice, there, "you are here").await;
    harness.until("SELECT count(*) = 0 FROM webhook_deliveries").await;
    let mut pushes: Vec<Value> = taken(&receiver);
    pushes.retain(|body| body["type"] == "push.wanted");
    let data: Vec<(&Value, &Value)> =
        pushes.iter().map(|push| (&push["data"]["recipientIds"], &push["data"]["message"]["content"])).collect();
    assert_eq!(data, [(&json!([away.to_string()]), &json!("hello"))]);
}

#[tokio::test]
async fn a_user_back_after_days_has_returned() {
    let (harness, receiver) = start("hooksback", "user.returned,user.online", &[]).await;
    let [back, regular] = harness.users(["back", "regular"]).await;
    for (user, days) in [(back, 8), (regular, 6)] {
        sqlx::query("INSERT INTO user_status (user_id, last_seen_at) VALUES ($1, now() - make_interval(days => $2))")
            .bind(user.0)
            .bind(days)
            .execute(&harness.db)
            .await
            .unwrap();
    }
    for (connection, user) in [back, regular].into_iter().enumerate() {
        resumed(&harness, user, connection as u64 + 1).await;
    }
    let bodies = wait_for(&receiver, 3).await;
    let told = |user: UserId| -> Vec<&str> {
        types(&bodies)
            .into_iter()
            .zip(&bodies)
            .filter(|(_, b)| b["data"]["userId"] == user.to_string())
            .map(|(t, _)| t)
            .collect()
    };
    assert_eq!(told(back), ["user.online", "user.returned"]);
    assert_eq!(told(regular), ["user.online"]);
    assert!(bodies.iter().any(|body| body["data"]["lastSeenAt"].is_string()));
}
