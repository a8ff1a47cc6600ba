//! The query lane with users who request too much: they wait, and nobody else does.

use std::collections::HashMap;
use std::time::Duration;

use fred::prelude::*;
use fred::types::CustomCommand;
use serde_json::{Value, json};
use shared::ids::{TokenId, UserId};
use shared::redis::lanes::{self, Backlog, Backlogs};
use shared::stream::{FIELD, Internal, InternalReply};
use sqlx::{Postgres, Transaction};

use crate::harness::{DEADLINE, Harness};

/// Blocks everyone who reads messages until this is dropped. Waits for this many workers first, because a starting worker
/// reads messages, too.
async fn stop_reading(harness: &Harness, workers: usize) -> Transaction<'static, Postgres> {
    harness.until(&format!("SELECT count(DISTINCT owner) = {workers} FROM partition_leases")).await;
    let mut blocking = harness.db.begin().await.unwrap();
    sqlx::query("LOCK TABLE private_messages IN ACCESS EXCLUSIVE MODE").execute(&mut *blocking).await.unwrap();
    blocking
}

/// The query of a page waits for a lock. Background jobs of workers may wait for the same one.
const PAGE_WAITS: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
     AND wait_event_type = 'Lock' AND query LIKE '%visible_count%')";

/// Until the workers have this entry, the lane's newest.
async fn until_delivered(harness: &Harness, entry: &str) {
    let delivered = async {
        loop {
            // The first reader creates the group.
            let groups = harness.redis.xinfo_groups(harness.keys.queries()).await;
            let groups: Vec<HashMap<String, fred::types::Value>> = groups.unwrap_or_default();
            if groups.iter().any(|group| group["last-delivered-id"].as_str().is_some_and(|last| last == entry)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, delivered).await.expect("a worker reads the query");
}

/// An entry that is acknowledged but still present would be read by nobody, and its age would close the lane for good.
#[tokio::test]
async fn a_query_whose_entry_could_not_be_deleted_is_settled_later() {
    let mut harness = Harness::without_worker("undeleted", &[]).await;
    let [alice] = harness.users(["alice"]).await;
    let redis = harness.redis.clone();
    let user = format!("may_not_delete_{}", uuid::Uuid::new_v4().simple());
    let set_user = |right: &'static str| {
        let words = ["SETUSER", &user, "on", "nopass", "~*", "&*", "+@all", right];
        redis.custom::<(), _>(CustomCommand::new_static("ACL", None, false), words.to_vec())
    };
    set_user("-xdel").await.unwrap();
    let address = harness.settings.common.redis_url.expose().rsplit(['@', '/']).find(|part| part.contains(':'));
    let url = format!("redis://{user}:any@{}", address.unwrap());
    let stream = harness.keys.queries();
    harness.set("REDIS_URL", &url);
    harness.add_worker().await;
    harness.expect(alice, json!({"type": "get_user_groups"}), "user_groups").await;
    let length = || async { harness.redis.xlen::<u64, _>(&stream).await.unwrap() };
    assert_eq!(length().await, 1);
    set_user("+xdel").await.unwrap();
    let deleted = async {
        while length().await > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, deleted).await.expect("the entry is read again and deleted");
}

async fn ask_for_pages(harness: &Harness, user: UserId, other: UserId, count: usize) {
    for _ in 0..count {
        let page = harness.prepare(user, &json!({"type": "get_private_messages", "recipientId": other}));
        harness.append(&page).await;
    }
}

#[tokio::test]
async fn a_users_slow_queries_hold_up_that_user_alone() {
    let harness = Harness::start("fair").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.send(alice, bob, "hello").await;
    let blocking = stop_reading(&harness, 1).await;
    ask_for_pages(&harness, alice, bob, 50).await;
    let answered = harness.expect(bob, json!({"type": "get_online_users"}), "online_users");
    tokio::time::timeout(Duration::from_secs(3), answered).await.expect("bob does not wait for alice");
    blocking.rollback().await.unwrap();
}

#[tokio::test]
async fn whose_time_for_queries_is_used_up_waits_alone() {
    let harness = Harness::start_with("usedup", &[("QUERY_TIME_PER_USER", "1ms")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let mut others = 0;
    // Slow enough to use up several minutes' time.
    let blocking = stop_reading(&harness, 1).await;
    let slow = harness.prepare(alice, &json!({"type": "get_private_messages", "recipientId": bob}));
    harness.append(&slow).await;
    harness.until(PAGE_WAITS).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    blocking.rollback().await.unwrap();
    harness.answer(slow.envelope.id).await;
    // What comes as fast as the answer may still begin.
    let mut is_answered = true;
    for _ in 0..3 {
        let next = harness.prepare(alice, &json!({"type": "get_user_groups"}));
        harness.append(&next).await;
        // Each has time for one, which comes after hers.
        for _ in 0..10 {
            others += 1;
            let other = harness.user(&format!("other{others}")).await;
            harness.expect(other, json!({"type": "get_user_groups"}), "user_groups").await;
        }
        is_answered &= harness.was_answered(next.envelope.id);
    }
    assert!(!is_answered, "she has no time left");
}

#[tokio::test]
async fn leases_outlast_a_database_pool_that_is_used_up() {
    const LEASES: Duration = Duration::from_secs(1);
    // One connection for a query and two for sessions, besides the pipelines'.
    let settings = [("DB_MAX_CONNECTIONS", "5"), ("WORKER_PIPELINES", "2"), ("DB_CONNECTION_TIMEOUT", "10s")];
    let harness = Harness::start_with("usedpool", &settings).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.send(alice, bob, "hello").await;
    let blocking = stop_reading(&harness, 1).await;
    let conversation = shared::ids::ConversationId::direct(alice, bob);
    ask_for_pages(&harness, alice, bob, 1).await;
    harness.append(&harness.prepare_internal(bob, Internal::Missing { conversation, from: 1 })).await;
    let last = harness.append(&harness.prepare_internal(bob, crate::sessions::resume(1))).await;
    until_delivered(&harness, &last).await;
    let until = tokio::time::Instant::now() + 3 * LEASES;
    while tokio::time::Instant::now() < until {
        let held = "SELECT bool_and(owner IS NOT NULL AND expires_at > clock_timestamp()) FROM partition_leases";
        assert!(sqlx::query_scalar::<_, bool>(held).fetch_one(&harness.db).await.unwrap(), "a lease ran out");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    blocking.rollback().await.unwrap();
}

#[tokio::test]
async fn signing_in_does_not_wait_for_queries() {
    let harness = Harness::start("sessions_first").await;
    let users = harness.users(["a", "b", "c", "d", "e", "f", "g", "h"]).await;
    harness.send(users[0], users[1], "hello").await;
    for pair in users.windows(2) {
        harness.send(pair[0], pair[1], "hello").await;
    }
    let blocking = stop_reading(&harness, 1).await;
    for pair in users.windows(2) {
        ask_for_pages(&harness, pair[0], pair[1], 5).await;
    }
    let authenticate = Internal::Authenticate { token_id: TokenId("jti".to_owned()) };
    let reply = tokio::time::timeout(Duration::from_secs(3), harness.internal(users[0], authenticate)).await;
    assert!(matches!(reply, Ok(InternalReply::Authenticated { .. })), "{reply:?}");
    blocking.rollback().await.unwrap();
}

/// 5,000 characters of three bytes each.
fn long_text() -> String {
    "\u{8a9e}".repeat(5_000)
}

#[tokio::test]
async fn large_pages_are_cut_and_the_rest_can_be_fetched() {
    let harness = Harness::start("cut").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let sends = 100;
    for _ in 0..sends {
        harness.send(alice, bob, &long_text()).await;
    }
    let seqs = |page: &Value| -> Vec<i64> {
        page["messages"].as_array().unwrap().iter().map(|message| message["seq"].as_i64().unwrap()).collect()
    };
    let conversation = shared::ids::ConversationId::direct(alice, bob);
    let (synced, _) = harness.sync(bob, json!({conversation.to_string(): 0})).await;
    let part = synced.iter().find(|event| event["type"] == "sync_messages").unwrap();
    assert!(part.to_string().len() <= 256 * 1024 && part["hasMore"] == true, "{}", part.to_string().len());
    let around = json!({"type": "get_private_messages", "recipientId": alice, "aroundSeq": 50, "limit": 200});
    let page = harness.expect(bob, around, "private_messages").await;
    let size = page["messages"].to_string().len();
    assert!(size <= 1024 * 1024 && page["hasBefore"] == true && page["hasAfter"] == true, "{size}");
    for forwards in [false, true] {
        let mut request = json!({"type": "get_private_messages", "recipientId": alice, "limit": 200});
        if forwards {
            request["afterSeq"] = json!(0);
        }
        let mut all = Vec::new();
        loop {
            let page = harness.expect(bob, request.clone(), "private_messages").await;
            let size = page["messages"].to_string().len();
            assert!(size <= 1024 * 1024, "{size}");
            let seqs = seqs(&page);
            let limit = if page["hasMore"] == true { seqs.len() } else { 200 };
            assert_eq!((&page["pagination"]["limit"], &page["limit"]), (&json!(limit), &json!(limit)));
            let (first, last) = (seqs[0], seqs[seqs.len() - 1]);
            all.extend(seqs);
            if page["hasMore"] == false {
                break;
            }
            request[if forwards { "afterSeq" } else { "beforeSeq" }] = json!(if forwards { last } else { first });
        }
        all.sort_unstable();
        assert_eq!(all, (1..=sends).collect::<Vec<i64>>());
    }
}

#[tokio::test]
async fn lists_with_long_messages_are_cut_too() {
    const MAX_BYTES: usize = 1024 * 1024;
    let harness = Harness::start("longlists").await;
    let alice = harness.user("alice").await;
    for place in 0..100 {
        let other = harness.user(&format!("user{place}")).await;
        harness.send(other, alice, &long_text()).await;
    }
    let mut inbox = json!({"type": "get_inbox", "limit": 200});
    let mut conversations = json!({"type": "get_conversations", "limit": 200});
    let (mut entries, mut summaries) = (0, 0);
    loop {
        let part = harness.expect(alice, inbox.clone(), "inbox").await;
        assert!(part.to_string().len() <= MAX_BYTES + 200 * 1024, "{}", part.to_string().len());
        entries += part["entries"].as_array().unwrap().len();
        if part["nextCursor"].is_null() {
            break;
        }
        inbox["cursor"] = part["nextCursor"].clone();
    }
    loop {
        let part = harness.expect(alice, conversations.clone(), "conversations").await;
        assert!(part.to_string().len() <= MAX_BYTES + 200 * 1024, "{}", part.to_string().len());
        summaries += part["conversations"].as_array().unwrap().len();
        assert_eq!(part["pagination"]["count"], part["conversations"].as_array().unwrap().len());
        if part["pagination"]["hasMore"] == false {
            break;
        }
        conversations["offset"] = json!(summaries);
    }
    assert_eq!((entries, summaries), (100, 100));
}

#[tokio::test]
async fn pinned_messages_are_cut_and_the_newest_pins_kept() {
    let harness = Harness::start("longpins").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    for _ in 0..80 {
        let sent = harness.send(alice, bob, &long_text()).await;
        let pin =
            json!({"type": "pin_message", "messageId": sent["messageId"], "conversationId": sent["conversationId"]});
        harness.expect(bob, pin, "message_pinned").await;
    }
    let conversation = shared::ids::ConversationId::direct(alice, bob);
    let pins = json!({"type": "get_pinned_messages", "conversationId": conversation});
    let pinned = harness.expect(bob, pins, "pinned_messages").await;
    assert!(pinned["messages"].to_string().len() <= 1024 * 1024);
    let seqs: Vec<i64> = pinned["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_i64().unwrap()).collect();
    let kept = seqs.len() as i64;
    assert_eq!((pinned["hasMore"].clone(), seqs), (json!(true), (81 - kept..=80).collect()));

    let start = json!({"type": "start_conversation", "recipientId": alice});
    let started = harness.expect(bob, start, "conversation_started").await;
    assert_eq!((started["messages"].as_array().unwrap().len(), &started["hasMore"]), (50, &json!(true)));
}

#[tokio::test]
async fn readers_that_are_gone_are_removed_from_the_group() {
    let harness = Harness::without_worker("readers", &[]).await;
    let (stream, redis) = (harness.keys.queries(), &harness.redis);
    let _: () = redis.xgroup_create(&stream, "workers", "0", true).await.unwrap();
    for reader in ["own", "gone", "with-work"] {
        let _: u64 = redis.xgroup_createconsumer(&stream, "workers", reader).await.unwrap();
    }
    let _: String = redis.xadd(&stream, false, None, "*", vec![("e", "x")]).await.unwrap();
    let read = lanes::read_shared(redis, &stream, "workers", "with-work", 1, Duration::from_millis(1)).await.unwrap();
    assert_eq!(read.len(), 1);
    let removed = async {
        loop {
            lanes::delete_idle_consumers(redis, &stream, "workers", "own", Duration::from_millis(20)).await.unwrap();
            let left: Vec<HashMap<String, fred::types::Value>> =
                redis.xinfo_consumers(&stream, "workers").await.unwrap();
            let mut names: Vec<String> = left.iter().filter_map(|reader| reader.get("name")?.as_string()).collect();
            names.sort();
            if names == ["own", "with-work"] {
                break;
            }
        }
    };
    tokio::time::timeout(DEADLINE, removed).await.expect("one goes, and only that one");
}

/// What a gateway sees of the lane; it rejects everybody's queries if the oldest one is too old.
async fn assert_open(harness: &Harness) -> Backlog {
    let backlog = Backlogs::default().of(&harness.redis, &[harness.keys.queries()]).await.unwrap()[0];
    assert!(backlog.age < harness.settings.common.backlog_max_age, "{backlog:?}");
    backlog
}

/// Other workers take over abandoned queries, but not slow ones.
#[tokio::test]
async fn a_slow_query_is_carried_out_once_and_closes_no_lane() {
    const LONGER_THAN_ABANDONED: Duration = Duration::from_secs(7);
    let harness = Harness::start("slowonce").await;
    harness.add_worker().await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.send(alice, bob, "hello").await;
    let blocking = stop_reading(&harness, 2).await;
    let page = harness.prepare(alice, &json!({"type": "get_private_messages", "recipientId": bob}));
    harness.append(&page).await;
    harness.until(PAGE_WAITS).await;
    let until = tokio::time::Instant::now() + LONGER_THAN_ABANDONED;
    while tokio::time::Instant::now() < until {
        assert_open(&harness).await;
        let deliveries: Vec<(String, String, u64, u64)> =
            harness.redis.xpending(&page.stream, "workers", ("-", "+", 10u64)).await.unwrap();
        assert!(deliveries.iter().all(|(_, _, _, times)| *times == 1), "claimed by another: {deliveries:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    blocking.rollback().await.unwrap();
    assert_eq!(harness.answer(page.envelope.id).await["type"], "private_messages");
}

#[tokio::test]
async fn a_dead_workers_query_is_taken_over_and_closes_no_lane() {
    let harness = Harness::start("deadreader").await;
    let alice = harness.user("alice").await;
    // So that the group exists.
    harness.expect(alice, json!({"type": "get_user_groups"}), "user_groups").await;
    let query = harness.prepare(alice, &json!({"type": "get_user_groups"}));
    let entry = harness.wire.entry(&query.stream, &query.envelope, &query.body);
    let dies = "redis.call('XADD', KEYS[1], '*', ARGV[1], ARGV[2])
                redis.call('XREADGROUP', 'GROUP', 'workers', 'dead', 'STREAMS', KEYS[1], '>')";
    let stream = query.stream.as_str();
    let words: Vec<fred::types::Value> =
        vec![dies.into(), "1".into(), stream.into(), FIELD.into(), bytes::Bytes::from(entry).into()];
    let () = harness.redis.custom(CustomCommand::new_static("EVAL", None, false), words).await.unwrap();
    assert!(!harness.was_answered(query.envelope.id));
    while assert_open(&harness).await.entries > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(harness.answer(query.envelope.id).await["type"], "user_groups");
}

/// Otherwise it would reappear on the devices of the user who hid it.
#[tokio::test]
async fn a_lost_message_that_somebody_hid_is_sent_to_nobody_at_once() {
    let harness = Harness::start("lostandhidden").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let sent = harness.send(alice, bob, "hidden").await;
    harness.send(alice, bob, "shown").await;
    let conversation = shared::ids::ConversationId::direct(alice, bob);
    for (hides, events) in [(false, 2), (true, 0)] {
        if hides {
            let hide = json!({"type": "delete_message", "messageId": sent["messageId"], "deleteForEveryone": false});
            harness.expect(bob, hide, "message_deleted").await;
        }
        let reply = harness.internal(alice, Internal::Missing { conversation, from: 1 }).await;
        let InternalReply::Missing(missing) = reply else { panic!("{reply:?}") };
        assert_eq!((missing.events.len(), missing.has_more), (events, hides));
    }
}

/// The clocks of the stores may differ: the numbers tell what came before a member joined.
#[tokio::test]
async fn a_lost_message_reaches_a_member_who_joined_just_before_it() {
    let harness = Harness::start("lostandjoined").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": []});
    let group = harness.expect(alice, create, "group_created").await["groupId"].as_str().unwrap().to_owned();
    let send = json!({"type": "send_group_message", "groupId": group, "content": "x"});
    harness.expect(alice, send.clone(), "group_message_sent").await;
    harness.expect(alice, json!({"type": "add_group_member", "groupId": group, "userId": bob}), "member_added").await;
    sqlx::query("UPDATE group_members SET joined_at = joined_at + interval '30 seconds'")
        .execute(&harness.db)
        .await
        .unwrap();
    harness.expect(alice, send, "group_message_sent").await;
    let conversation = shared::ids::ConversationId::Group(group.parse().unwrap());
    let reply = harness.internal(alice, Internal::Missing { conversation, from: 1 }).await;
    let InternalReply::Missing(missing) = reply else { panic!("{reply:?}") };
    assert_eq!((missing.events.len(), missing.only_after), (2, vec![(bob, 1)]));
}
