//! Sessions: authentication, replay of what was missed, presence across gateways.

use std::time::{Duration, Instant};

use fred::prelude::*;
use serde_json::{Value, json};
use shared::clock::{self, Timestamp};
use shared::ids::{ConnectionId, ConversationId, Epoch, GatewayId, MessageId, TokenId, UserId};
use shared::publication::{Header, Receipt};
use shared::redis::keys::Channel;
use shared::redis::presence::{PresenceScripts, UserSession};
use shared::stream::{Internal, InternalReply, Receipts, ReplayPage};
use uuid::Uuid;

use crate::harness::{Harness, Published};

pub fn resume(connection: u64) -> Internal {
    Internal::Resume {
        token_id: TokenId("t".to_owned()),
        session: Uuid::new_v4(),
        connection: ConnectionId(connection),
        wants_acks: false,
        renewal: false,
    }
}

pub async fn resumed(harness: &Harness, user: UserId, connection: u64) -> (Value, ReplayPage) {
    match harness.internal(user, resume(connection)).await {
        InternalReply::Resumed { auth_success, replay } => (serde_json::from_slice(&auth_success).unwrap(), replay),
        other => panic!("{other:?}"),
    }
}

pub fn contents(page: &ReplayPage) -> Vec<String> {
    let content = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap()["content"].as_str().unwrap().to_owned();
    page.events.iter().map(|event| content(&event.json)).collect()
}

#[tokio::test]
async fn tokens_of_unknown_users_and_revoked_ones_open_nothing() {
    let harness = Harness::start("authenticate").await;
    let alice = harness.user("alice").await;
    let authenticate = |token: &str| Internal::Authenticate { token_id: TokenId(token.to_owned()) };
    let accepted = harness.internal(alice, authenticate("good")).await;
    assert_eq!(accepted, InternalReply::Authenticated { groups: Vec::new() });
    sqlx::query("INSERT INTO jwt_revocation (jti) VALUES ('bad')").execute(&harness.db).await.unwrap();
    for (user, token, code) in [(alice, "bad", "TOKEN_REVOKED"), (UserId(999), "good", "USER_NOT_FOUND")] {
        let InternalReply::Refused { auth_error } = harness.internal(user, authenticate(token)).await else { panic!() };
        let error: Value = serde_json::from_slice(&auth_error).unwrap();
        assert_eq!((&error["type"], &error["code"]), (&json!("auth_error"), &json!(code)));
    }
}

#[tokio::test]
async fn held_ids_are_looked_up_alone_and_together() {
    let harness = Harness::start("held").await;
    let alice = harness.user("alice").await;
    let (direct, message) = (ConversationId::direct(UserId(1), UserId(2)), MessageId(Uuid::from_u128(7)));
    let insert = "INSERT INTO held_conversation_ids (held_id, conversation_id) VALUES ('dm-1-2', 'conv_1_2')";
    sqlx::query(insert).execute(&harness.db).await.unwrap();
    let insert = "INSERT INTO held_message_ids (held_id, message_id) VALUES ('draft 17', $1)";
    sqlx::query(insert).bind(message.0).execute(&harness.db).await.unwrap();
    let (known, unknown) = ("dm-1-2".to_owned(), "draft 17".to_owned());
    for (question, reply) in [
        (Internal::HeldConversation { held: known.clone() }, InternalReply::HeldConversation(Some(direct))),
        (Internal::HeldConversation { held: unknown.clone() }, InternalReply::HeldConversation(None)),
        (Internal::HeldMessage { held: unknown.clone() }, InternalReply::HeldMessage(Some(message))),
        (
            Internal::HeldConversations { held: vec![unknown, known] },
            InternalReply::HeldConversations(vec![None, Some(direct)]),
        ),
    ] {
        assert_eq!(harness.internal(alice, question).await, reply);
    }
}

/// However long the messages are, since pages of many sessions are in memory together.
#[tokio::test]
async fn a_page_of_a_replay_has_a_bound_in_bytes() {
    const MAX_BYTES: usize = 256 * 1024 + 32 * 1024;
    let harness = Harness::start("replaybytes").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let long = "\u{8a9e}".repeat(4_990);
    for i in 0..60 {
        harness.send(alice, bob, &format!("{i} {long}")).await;
    }
    let (_, first) = resumed(&harness, bob, 1).await;
    let (mut seen, mut pages, mut page) = (Vec::new(), 0, first);
    loop {
        let bytes: usize = page.events.iter().map(|event| event.json.len()).sum();
        assert!(bytes <= MAX_BYTES, "{bytes} bytes in {} events", page.events.len());
        seen.extend(contents(&page).iter().map(|content| content.split(' ').next().unwrap().to_owned()));
        pages += 1;
        let Some(cursor) = page.next else { break };
        let InternalReply::Replayed(next) = harness.internal(bob, Internal::Replay { cursor }).await else { panic!() };
        page = next;
    }
    assert_eq!(seen, (0..60).map(|i| i.to_string()).collect::<Vec<_>>());
    assert!(pages >= 3, "{pages} pages");
}

#[tokio::test]
async fn what_was_missed_is_replayed_in_order_until_it_was_received() {
    let harness = Harness::start_with("replay", &[("REPLAY_LIMIT", "250")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    for i in 0..240 {
        harness
            .append(
                &harness
                    .prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": format!("{i}")})),
            )
            .await;
    }
    harness.send(alice, bob, "240").await;
    let (success, first) = resumed(&harness, bob, 1).await;
    assert_eq!(success["queuedEvents"], 241);
    assert_eq!(success["user"]["username"], "bob");
    let mut seen = contents(&first);
    let mut next = first.next;
    while let Some(cursor) = next {
        let InternalReply::Replayed(page) = harness.internal(bob, Internal::Replay { cursor }).await else { panic!() };
        seen.extend(contents(&page));
        next = page.next;
    }
    assert_eq!(seen, (0..=240).map(|i| i.to_string()).collect::<Vec<_>>());
    // The user's own messages are not replayed.
    assert_eq!(resumed(&harness, alice, 2).await.0["queuedEvents"], 0);

    let Receipt::Message { conversation, .. } = first.events[0].receipt else { panic!() };
    let receipts =
        Receipts { user: bob, conversations: vec![(conversation, 239), (conversation, 100)], events: vec![] };
    harness.append(&harness.prepare_internal(bob, Internal::RecordReceipts { receipts: vec![receipts] })).await;
    harness.until(&format!("SELECT delivered_seq = 239 FROM conversation_members WHERE user_id = {bob}")).await;
    let (success, page) = resumed(&harness, bob, 3).await;
    assert_eq!((&success["queuedEvents"], contents(&page)), (&json!(2), vec!["239".to_owned(), "240".to_owned()]));

    // What was received in another epoch had the same number but was another message.
    let epoch = sqlx::query_scalar("SELECT epoch FROM store_epoch").fetch_one(&harness.db).await.map(Epoch).unwrap();
    let received_in = |epoch| {
        let receipts = Receipts { user: bob, conversations: vec![(conversation, 240)], events: vec![] };
        harness.prepare_internal(bob, Internal::RecordReceiptsIn { epoch, receipts: vec![receipts] })
    };
    harness.append(&received_in(Epoch(Uuid::new_v4()))).await;
    tokio::time::timeout(crate::harness::DEADLINE, async {
        while harness.redis.xlen::<u64, _>(harness.keys.queries()).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(resumed(&harness, bob, 4).await.0["queuedEvents"], 2);
    harness.append(&received_in(epoch)).await;
    harness.until(&format!("SELECT delivered_seq = 240 FROM conversation_members WHERE user_id = {bob}")).await;
}

#[tokio::test]
async fn only_the_newest_are_replayed_and_that_is_said() {
    let harness = Harness::start_with("truncated", &[("REPLAY_LIMIT", "3")]).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    for (from, content) in [(alice, "a1"), (carol, "c1"), (alice, "a2"), (carol, "c2")] {
        harness.send(from, bob, content).await;
    }
    let (success, page) = resumed(&harness, bob, 1).await;
    assert_eq!((&success["queuedEvents"], &success["replayTruncated"]), (&json!(3), &json!(true)));
    assert_eq!(contents(&page), ["c1", "a2", "c2"]);
}

#[tokio::test]
async fn presence_changes_once_over_all_connections_and_gateways() {
    let harness = Harness::start_with("presence", &[("OFFLINE_GRACE_PERIOD", "300ms")]).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    harness.block(carol, alice).await;
    resumed(&harness, bob, 1).await;
    resumed(&harness, alice, 2).await;
    resumed(&harness, alice, 3).await;
    let is_alices = |event: &Value, kind: &str| event["type"] == kind && event["user"]["userId"] == alice.to_string();
    let online = harness.wait_for("user_online", |p| is_alices(&p.json(), "user_online")).await;
    assert_eq!(online.channel, Channel::Presence);
    let Header::Event(header) = &online.header else { panic!() };
    assert_eq!(header.exclude_users, [carol, alice]);

    let list = harness.expect(bob, json!({"type": "get_online_users"}), "online_users").await;
    assert_eq!((&list["count"], &list["users"][0]["username"]), (&json!(1), &json!("alice")));
    let list = harness.expect(carol, json!({"type": "get_online_users"}), "online_users").await;
    assert_eq!(list["count"], 1, "carol does not see alice, whom she blocks: {list}");

    let presence = PresenceScripts::new(harness.keys.clone());
    let grace = Duration::from_millis(300);
    let session = |connection| UserSession { user: alice, connection: ConnectionId(connection) };
    presence.close(&harness.redis, harness.gateway, &[session(2)], grace).await.unwrap();
    // Back within the grace period, which must be longer than a busy machine's delays: nobody is told anything.
    presence.close(&harness.redis, harness.gateway, &[session(3)], Duration::from_secs(60)).await.unwrap();
    resumed(&harness, alice, 4).await;
    presence.close(&harness.redis, harness.gateway, &[session(4)], grace).await.unwrap();
    harness.wait_for("user_offline", |p| is_alices(&p.json(), "user_offline")).await;
    let count = |kind: &str| harness.published().iter().filter(|p| is_alices(&p.json(), kind)).count();
    assert_eq!((count("user_online"), count("user_offline")), (1, 1));
    resumed(&harness, alice, 5).await;
    harness.wait_for("another user_online", |_| count("user_online") == 2).await;
}

/// As by a failover of Redis to a machine whose clock is ahead.
#[tokio::test]
async fn a_clock_that_is_set_forward_ends_no_grace_period() {
    const GRACE: Duration = Duration::from_secs(3);
    let harness = Harness::start_with("setclock", &[("OFFLINE_GRACE_PERIOD", "3s")]).await;
    let alice = harness.user("alice").await;
    resumed(&harness, alice, 1).await;
    harness.wait_for("user_online", |p| p.json()["type"] == "user_online").await;
    let presence = PresenceScripts::new(harness.keys.clone());
    let session = UserSession { user: alice, connection: ConnectionId(1) };
    let left = Instant::now();
    presence.close(&harness.redis, harness.gateway, &[session], GRACE).await.unwrap();
    let ahead_us = (Timestamp::now().0 + 60_000) * 1_000;
    // The worker asks Redis every second, whose clock was not set, and ends grace periods twice as often.
    while left.elapsed() < GRACE / 2 {
        let asked = Instant::now();
        clock::follow(ahead_us + left.elapsed().as_micros() as i64, asked, asked);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    harness.wait_for("user_offline", |p| p.json()["type"] == "user_offline").await;
    assert!(left.elapsed() >= GRACE, "{:?}", left.elapsed());
}

/// As by a failover of Redis to a machine whose clock is behind: what ends in an hour ends within a grace period.
#[tokio::test]
async fn a_clock_that_is_set_back_prolongs_grace_periods_once() {
    let harness = Harness::without_worker("setbackclock", &[]).await;
    let alice = UserId(1);
    let presence = PresenceScripts::new(harness.keys.clone());
    let session = UserSession { user: alice, connection: ConnectionId(1) };
    presence.open(&harness.redis, harness.gateway, &[session]).await.unwrap();
    presence.close(&harness.redis, harness.gateway, &[session], Duration::from_secs(3_600)).await.unwrap();
    let longest = Duration::from_millis(200);
    let began = Instant::now();
    loop {
        if presence.end_graces(&harness.redis, longest, 10).await.unwrap() == [alice] {
            break;
        }
        assert!(began.elapsed() < crate::harness::DEADLINE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(began.elapsed() >= longest);
}

#[tokio::test]
async fn of_many_online_some_are_listed_and_contacts_first() {
    let harness = Harness::start_with("listed", &[("ONLINE_USERS_LIMIT", "3")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.send(alice, bob, "a contact").await;
    let crowd = harness.users(["c", "d", "e", "f", "g"]).await;
    for user in crowd.into_iter().chain([bob]) {
        resumed(&harness, user, user.0 as u64).await;
    }
    let list = harness.expect(alice, json!({"type": "get_online_users"}), "online_users").await;
    let ids: Vec<&str> =
        list["users"].as_array().unwrap().iter().map(|user| user["userId"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), &list["count"], &list["hasMore"]), (3, &json!(3), &json!(true)), "{list}");
    assert!(ids.contains(&bob.to_string().as_str()), "{list}");
}

#[tokio::test]
async fn online_users_come_in_parts_without_gaps_or_doubles() {
    let harness = Harness::start_with("onlineparts", &[("ONLINE_USERS_LIMIT", "10")]).await;
    let [alice, blocked, blocking] = harness.users(["alice", "blocked", "blocking"]).await;
    harness.block(alice, blocked).await;
    harness.block(blocking, alice).await;
    let mut crowd = Vec::new();
    for number in 0..25 {
        crowd.push(harness.user(&format!("u{number}")).await);
    }
    for user in crowd.iter().copied().chain([alice, blocked, blocking]) {
        resumed(&harness, user, user.0 as u64).await;
    }
    let mut listed: Vec<String> = Vec::new();
    let mut request = json!({"type": "get_online_users", "limit": 4});
    let mut parts = 0;
    loop {
        let part = harness.expect(alice, request.clone(), "online_users").await;
        let users: Vec<String> =
            part["users"].as_array().unwrap().iter().map(|user| user["userId"].as_str().unwrap().to_owned()).collect();
        assert!(users.len() <= 4 && part["count"] == users.len(), "{part}");
        assert_eq!(part["hasMore"], part["nextCursor"].is_string(), "{part}");
        listed.extend(users);
        parts += 1;
        assert!(parts < 10, "the parts do not end");
        if parts == 2 {
            // Others come and go between the parts: whoever stays is neither missed nor doubled.
            let newcomer = harness.user("newcomer").await;
            resumed(&harness, newcomer, 99).await;
            let presence = PresenceScripts::new(harness.keys.clone());
            let gone = listed[0].parse().map(UserId).unwrap();
            let session = UserSession { user: gone, connection: ConnectionId(gone.0 as u64) };
            presence.close(&harness.redis, harness.gateway, &[session], Duration::ZERO).await.unwrap();
            while presence.online_among(&harness.redis, &[gone]).await.unwrap().contains(&gone) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            listed.retain(|user| *user != newcomer.to_string());
        }
        let Some(cursor) = part["nextCursor"].as_str() else { break };
        request = json!({"type": "get_online_users", "limit": 4, "cursor": cursor});
    }
    assert_eq!(parts, 8, "28 or 29 users, four at a time");
    let mut expected: Vec<String> = crowd.iter().map(UserId::to_string).collect();
    expected.sort();
    let newcomers: Vec<String> = listed.iter().filter(|user| !expected.contains(user)).cloned().collect();
    assert!(newcomers.len() <= 1 && !newcomers.contains(&blocked.to_string()), "{newcomers:?}");
    listed.retain(|user| !newcomers.contains(user));
    listed.sort();
    assert_eq!(listed, expected);
    // Who asks for no part gets a bounded list, and learns that there are more.
    let list = harness.expect(alice, json!({"type": "get_online_users"}), "online_users").await;
    assert_eq!((list["users"].as_array().unwrap().len() <= 10, &list["hasMore"]), (true, &json!(true)), "{list}");
    assert!(list["nextCursor"].is_null(), "{list}");
}

#[tokio::test]
async fn a_dead_gateways_users_go_offline_and_others_stay() {
    let harness = Harness::start_with("deadgateway", &[("OFFLINE_GRACE_PERIOD", "100ms")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    resumed(&harness, alice, 1).await;
    resumed(&harness, bob, 2).await;
    // Bob has another session, on a live gateway.
    let other = GatewayId(Uuid::new_v4());
    let presence = PresenceScripts::new(harness.keys.clone());
    presence.open(&harness.redis, other, &[UserSession { user: bob, connection: ConnectionId(1) }]).await.unwrap();
    let long_ago = (Timestamp::now().0 - 60_000) as f64;
    let now = Timestamp::now().0 as f64 + 60_000.0;
    for (gateway, at) in [(harness.gateway, long_ago), (other, now)] {
        let key = harness.keys.heartbeats("gateway");
        let _: i64 = harness.redis.zadd(key, None, None, false, false, (at, gateway.to_string())).await.unwrap();
    }
    let offline = harness.wait_for("user_offline", |p| p.json()["type"] == "user_offline").await;
    assert_eq!(offline.json()["user"]["userId"], alice.to_string());
    let online = presence.online_among(&harness.redis, &[alice, bob]).await.unwrap();
    assert_eq!(online.into_iter().collect::<Vec<_>>(), [bob]);
}

#[tokio::test]
async fn the_sessions_of_all_dead_gateways_end_however_many() {
    let harness = Harness::start_with("manydead", &[("OFFLINE_GRACE_PERIOD", "100ms")]).await;
    let alice = harness.user("alice").await;
    resumed(&harness, alice, 1).await;
    let key = harness.keys.heartbeats("gateway");
    let long_ago = (Timestamp::now().0 - 60_000) as f64;
    // Her gateway is the last of all.
    let others = (0..250).map(|number| (long_ago - 1_000.0 + f64::from(number), Uuid::new_v4().to_string()));
    let dead: Vec<(f64, String)> = others.chain([(long_ago, harness.gateway.to_string())]).collect();
    let _: i64 = harness.redis.zadd(&key, None, None, false, false, dead).await.unwrap();
    let offline = harness.wait_for("user_offline", |p| p.json()["type"] == "user_offline").await;
    assert_eq!(offline.json()["user"]["userId"], alice.to_string());
}

#[tokio::test]
async fn a_session_opened_for_a_gateway_that_is_gone_ends() {
    let harness = Harness::start_with("late_session", &[("OFFLINE_GRACE_PERIOD", "100ms")]).await;
    let alice = harness.user("alice").await;
    // It was dead, and its sessions had ended, before a worker handled its last request.
    let key = harness.keys.heartbeats("gateway");
    let _: i64 = harness.redis.zrem(key, harness.gateway.to_string()).await.unwrap();
    resumed(&harness, alice, 1).await;
    let offline = harness.wait_for("user_offline", |p| p.json()["type"] == "user_offline").await;
    assert_eq!(offline.json()["user"]["userId"], alice.to_string());
}

/// Its process is killed between taking users off the list and announcing it.
#[tokio::test]
async fn who_went_offline_is_announced_though_a_worker_dies() {
    let harness = Harness::start_with("killedworker", &[("OFFLINE_GRACE_PERIOD", "100ms")]).await;
    let alice = harness.user("alice").await;
    resumed(&harness, alice, 1).await;
    harness.wait_for("user_online", |p| p.json()["type"] == "user_online").await;
    let presence = PresenceScripts::new(harness.keys.clone());
    let session = UserSession { user: alice, connection: ConnectionId(1) };
    // Faster than the worker of this test, which looks every half second.
    let taken = loop {
        presence.open(&harness.redis, harness.gateway, &[session]).await.unwrap();
        presence.close(&harness.redis, harness.gateway, &[session], Duration::ZERO).await.unwrap();
        let gone = presence.end_graces(&harness.redis, Duration::from_secs(60), 10).await.unwrap();
        if gone == [alice] {
            break Instant::now();
        }
    };
    assert!(presence.online_among(&harness.redis, &[alice]).await.unwrap().is_empty());
    harness.wait_for("user_offline", |p| p.json()["type"] == "user_offline").await;
    assert!(taken.elapsed() >= Duration::from_secs(3), "not by the worker that took her off the list");
    let grace = harness.keys.grace_periods();
    harness.until(&format!("SELECT NOT online FROM user_status WHERE user_id = {alice}")).await;
    let forgotten = async {
        while harness.redis.zcard::<u64, _>(&grace).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::harness::DEADLINE, forgotten).await.expect("announced once");
}

/// While the database is slow, a session may end, and its grace period with it, before others are told that it began.
#[tokio::test]
async fn who_left_before_being_announced_is_not_shown_as_online() {
    let harness = Harness::start_with("leftearly", &[("OFFLINE_GRACE_PERIOD", "100ms")]).await;
    let alice = harness.user("alice").await;
    let presence = PresenceScripts::new(harness.keys.clone());
    let is_online = async || !presence.online_among(&harness.redis, &[alice]).await.unwrap().is_empty();
    let until = async |online: bool| {
        let changed = async {
            while is_online().await != online {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(crate::harness::DEADLINE, changed).await.expect("the registry changes");
    };
    // Needed for the replay, which comes after the registration and before the announcement.
    let mut holding = harness.db.begin().await.unwrap();
    sqlx::query("LOCK TABLE event_queue IN ACCESS EXCLUSIVE MODE").execute(&mut *holding).await.unwrap();
    let request = harness.prepare_internal(alice, resume(1));
    harness.append(&request).await;
    until(true).await;
    let session = UserSession { user: alice, connection: ConnectionId(1) };
    presence.close(&harness.redis, harness.gateway, &[session], Duration::ZERO).await.unwrap();
    until(false).await;
    // The end of the grace period has been announced, which changed nothing.
    let grace = harness.keys.grace_periods();
    while harness.redis.zcard::<u64, _>(&grace).await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    holding.rollback().await.unwrap();
    let id = request.envelope.id;
    harness.wait_for("the reply", |p| p.header == Header::Internal { command: id }).await;
    let is_told = |p: &Published| !p.payload.is_empty() && p.json()["type"] == "user_online";
    let told = harness.published().iter().filter(|p| !matches!(p.header, Header::Internal { .. })).any(is_told);
    assert!(!told, "nobody would be told that she went");
    harness.until(&format!("SELECT NOT EXISTS (SELECT FROM user_status WHERE online AND user_id = {alice})")).await;
}

/// As if the request had waited for so long in a worker that is slow.
#[tokio::test]
async fn a_session_opened_while_its_gateway_is_buried_ends() {
    let harness = Harness::without_worker("buried", &[]).await;
    let (gateway, key) = (harness.gateway.to_string(), harness.keys.heartbeats("gateway"));
    let presence = PresenceScripts::new(harness.keys.clone());
    let long_ago = (Timestamp::now().0 - 60_000) as f64;
    let _: i64 = harness.redis.zadd(&key, None, None, false, false, (long_ago, gateway.as_str())).await.unwrap();
    // One worker has seen that no session is left; then another one registers a session, and looks at the gateway.
    presence.suspect(&harness.redis, harness.gateway).await.unwrap();
    presence.forget(&harness.redis, &gateway, long_ago).await.unwrap();
    let beat: Option<f64> = harness.redis.zscore(&key, gateway.as_str()).await.unwrap();
    let beat = beat.expect("it is looked at once more");
    presence.forget(&harness.redis, &gateway, beat).await.unwrap();
    assert_eq!(harness.redis.zcard::<u64, _>(&key).await.unwrap(), 0);
    // One that lives is not taken for silent.
    let now = Timestamp::now().0 as f64;
    let _: i64 = harness.redis.zadd(&key, None, None, false, false, (now, gateway.as_str())).await.unwrap();
    presence.suspect(&harness.redis, harness.gateway).await.unwrap();
    assert_eq!(harness.redis.zscore::<f64, _, _>(&key, gateway.as_str()).await.unwrap(), now);
}

#[tokio::test]
async fn a_session_opened_just_before_its_gateway_stops_ends() {
    let harness = Harness::start_with("stopping", &[("OFFLINE_GRACE_PERIOD", "100ms")]).await;
    let alice = harness.user("alice").await;
    resumed(&harness, alice, 1).await;
    // What a gateway does last.
    PresenceScripts::new(harness.keys.clone()).retire(&harness.redis, harness.gateway).await.unwrap();
    let offline = harness.wait_for("user_offline", |p| p.json()["type"] == "user_offline").await;
    assert_eq!(offline.json()["user"]["userId"], alice.to_string());
}

#[tokio::test]
async fn a_gateway_whose_clock_is_slow_keeps_its_users() {
    let harness = Harness::start_with("slowclock", &[("OFFLINE_GRACE_PERIOD", "100ms")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    resumed(&harness, alice, 1).await;
    // Like a gateway of the previous version, whose heartbeats use its own clock.
    let (redis, key, slow) = (harness.redis.clone(), harness.keys.heartbeats("gateway"), harness.gateway);
    let beating = tokio::spawn(async move {
        loop {
            let at = (Timestamp::now().0 - 60_000) as f64;
            let _: i64 = redis.zadd(&key, None, None, false, false, (at, slow.to_string())).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    // A gateway that died at the same time shows when the slow one would have been given up.
    let dead = GatewayId(Uuid::new_v4());
    let presence = PresenceScripts::new(harness.keys.clone());
    presence.open(&harness.redis, dead, &[UserSession { user: bob, connection: ConnectionId(1) }]).await.unwrap();
    sqlx::query("INSERT INTO user_status (user_id, last_seen_at, online) VALUES ($1, now(), TRUE)")
        .bind(bob.0)
        .execute(&harness.db)
        .await
        .unwrap();
    let at = (Timestamp::now().0 - 60_000) as f64;
    let key = harness.keys.heartbeats("gateway");
    let _: i64 = harness.redis.zadd(&key, None, None, false, false, (at, dead.to_string())).await.unwrap();
    let offline = harness.wait_for("user_offline", |p| p.json()["type"] == "user_offline").await;
    assert_eq!(offline.json()["user"]["userId"], bob.to_string());
    beating.abort();
    let online = presence.online_among(&harness.redis, &[alice, bob]).await.unwrap();
    assert_eq!(online.into_iter().collect::<Vec<_>>(), [alice]);
}

#[tokio::test]
async fn sessions_opened_while_the_database_was_away_are_announced() {
    let harness = Harness::start("announced").await;
    let alice = harness.user("alice").await;
    sqlx::query("ALTER TABLE user_status RENAME TO status_of_users").execute(&harness.db).await.unwrap();
    let refused = harness.internal(alice, resume(1)).await;
    assert!(matches!(refused, InternalReply::Unavailable { .. }), "{refused:?}");
    sqlx::query("ALTER TABLE status_of_users RENAME TO user_status").execute(&harness.db).await.unwrap();
    resumed(&harness, alice, 1).await;
    let online = harness.wait_for("user_online", |p| p.json()["type"] == "user_online").await;
    assert_eq!(online.json()["user"]["userId"], alice.to_string());
    // And only once.
    resumed(&harness, alice, 2).await;
    assert_eq!(harness.published().iter().filter(|p| p.json()["type"] == "user_online").count(), 1);
}

#[tokio::test]
async fn a_large_group_makes_nobody_a_contact() {
    let harness = Harness::start_with("crowd", &[("PRESENCE_SCOPE", "contacts")]).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let large = crate::groups::create(&harness, bob, &[alice]).await;
    crate::groups::create(&harness, carol, &[alice]).await;
    let fill =
        "INSERT INTO conversation_members (user_id, conversation_id) SELECT n, $1 FROM generate_series(10001, 10999) n";
    sqlx::query(fill).bind(large.to_string()).execute(&harness.db).await.unwrap();
    let is_told =
        |event: &Published, user| event.channel == Channel::User(user) && event.json()["type"] == "user_online";
    resumed(&harness, alice, 1).await;
    harness.wait_for("carol is told", |event| is_told(event, carol)).await;
    // All are told together, in no particular order.
    harness.send(carol, bob, "after").await;
    let told = harness.published().iter().filter(|event| event.json()["type"] == "user_online").count();
    assert_eq!(told, 1, "of 1,001 members, none is told");
}

/// The number of statements of the database's other users that wait for a lock on the profiles, which every opening
/// session reads.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
     AND wait_event_type = 'Lock' AND query LIKE '%chat_profile%'";

#[tokio::test]
async fn sessions_that_open_at_once_are_looked_up_together() {
    let harness = Harness::without_worker("together", &[]).await;
    let mut requests = Vec::new();
    // As many as have their pages in memory together.
    for number in 0..32 {
        let user = harness.user(&format!("user{number}")).await;
        let request = harness.prepare_internal(user, resume(number));
        harness.append(&request).await;
        requests.push(request.envelope.id);
    }
    let mut held = harness.db.begin().await.unwrap();
    sqlx::query("LOCK TABLE user_profile_info").execute(&mut *held).await.unwrap();
    harness.add_worker().await;
    harness.until(&WAITING.replace("count(*)", "count(*) > 0")).await;
    // If done one by one, as many as there are connections would be waiting by now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let waiting: i64 = sqlx::query_scalar(WAITING).fetch_one(&harness.db).await.unwrap();
    held.rollback().await.unwrap();
    assert_eq!(waiting, 1, "a statement for all of them");
    for id in requests {
        harness.wait_for("a session", |p| p.header == Header::Internal { command: id }).await;
    }
}

#[tokio::test]
async fn later_pages_of_a_replay_are_authorised_again() {
    let harness = Harness::start("removed_meanwhile").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = crate::groups::create(&harness, alice, &[bob]).await;
    for number in 0..150 {
        let text = crate::groups::text(group, &number.to_string());
        if number < 149 {
            harness.append(&harness.prepare(alice, &text)).await;
        } else {
            harness.expect(alice, text, "group_message_sent").await;
        }
    }
    harness.send(carol, bob, "still yours").await;
    let (success, first) = resumed(&harness, bob, 1).await;
    assert_eq!(success["queuedEvents"], 152, "with group_created");
    harness.expect(alice, crate::groups::command("remove_group_member", group, bob), "member_removed").await;
    let cursor = first.next.unwrap();
    let InternalReply::Replayed(page) = harness.internal(bob, Internal::Replay { cursor }).await else { panic!() };
    assert_eq!(contents(&page), ["still yours"]);
    assert_eq!(page.next, None);
}

/// Messages in more conversations than the limit: only the most recently active ones are read.
#[tokio::test]
async fn the_choice_of_what_is_replayed_is_bounded() {
    let harness = Harness::start_with("bounded_choice", &[("REPLAY_LIMIT", "2")]).await;
    let bob = harness.user("bob").await;
    let mut last = Vec::new();
    for number in 0..20 {
        let sender = harness.user(&format!("sender{number}")).await;
        harness.send(sender, bob, &number.to_string()).await;
        last.push(number.to_string());
    }
    let (success, page) = resumed(&harness, bob, 1).await;
    assert_eq!((&success["queuedEvents"], &success["replayTruncated"]), (&json!(2), &json!(true)));
    assert_eq!(contents(&page), last[18..]);
}

#[tokio::test]
async fn a_group_is_replayed_before_its_messages() {
    let harness = Harness::start("groupfirst").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let ahead = |prepared: &mut crate::harness::Prepared| {
        // From a gateway whose clock is ahead of the next one's.
        let hint = prepared.envelope.id.as_u128() as u16;
        prepared.envelope.id = shared::ids::new_command_id(Timestamp::now().plus(Duration::from_secs(2)), hint);
    };
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob]});
    let mut prepared = harness.prepare(alice, &create);
    ahead(&mut prepared);
    harness.append(&prepared).await;
    let group = harness.answer(prepared.envelope.id).await["groupId"].clone();
    let text = json!({"type": "send_group_message", "groupId": group, "content": "x"});
    harness.expect(alice, text.clone(), "group_message_sent").await;
    let mut prepared = harness.prepare(alice, &json!({"type": "add_group_member", "groupId": group, "userId": carol}));
    ahead(&mut prepared);
    harness.append(&prepared).await;
    harness.answer(prepared.envelope.id).await;
    harness.expect(alice, text, "group_message_sent").await;
    for (user, messages) in [(bob, 2), (carol, 1)] {
        let (_, page) = resumed(&harness, user, user.0 as u64).await;
        let kinds: Vec<Value> = page
            .events
            .iter()
            .map(|event| serde_json::from_slice::<Value>(&event.json).unwrap()["type"].clone())
            .filter(|kind| kind == "group_created" || kind == "new_group_message")
            .collect();
        let expected: Vec<&str> =
            ["group_created"].into_iter().chain(std::iter::repeat_n("new_group_message", messages)).collect();
        assert_eq!(kinds, expected, "{user}");
    }
}
