//! Queries that a streaming replica answers: it may stand still, fall silent, die or be promoted, and nobody can tell from an answer.

use std::time::Duration;

use devstack::wait::SOON;
use devstack::{Postgres, Proxy, Scratch, Weather, testing, wait};
use serde_json::{Value, json};
use shared::ids::UserId;
use shared::stream::{HttpRequest, Internal};
use sqlx::Executor as _;

use crate::harness::{DEADLINE, Harness};

const DATABASE: &str = "chat";

/// A worker whose queries a replica answers, through a proxy.
struct Site {
    harness: Harness,
    primary: Postgres,
    replica: Postgres,
    network: Proxy,
    _stores: [Scratch; 2],
}

impl Site {
    async fn start(label: &str, settings: &[(&str, &str)]) -> Site {
        let stores = [Scratch::new(label).unwrap(), Scratch::new(&format!("{label}-replica")).unwrap()];
        let primary = testing::start_postgres(&stores[0]).unwrap();
        let url = primary.create_database(DATABASE).unwrap();
        let replica = primary.replicate(stores[1].dir()).unwrap();
        let network = Proxy::start(replica.port()).unwrap();
        let replica_url = replica.url_at(network.port(), DATABASE);
        let settings = [settings, &[("DATABASE_REPLICA_URL", &replica_url)]].concat();
        let harness = Harness::in_database(&url, &settings, "").await;
        harness.add_worker().await;
        Site { harness, primary, replica, network, _stores: stores }
    }

    fn answered_by(&self, database: &str) -> u64 {
        self.harness.counted("chat_worker_queries_total", &[&format!("database=\"{database}\"")])
    }

    fn fallbacks(&self, reason: &str) -> u64 {
        self.harness.counted("chat_worker_replica_fallbacks_total", &[&format!("reason=\"{reason}\"")])
    }

    /// Asks until the replica answers; returns that answer.
    async fn ask_replica(&self, user: UserId, query: &Value) -> Value {
        let asking = async {
            loop {
                let before = self.answered_by("replica");
                let answer = self.harness.command(user, query.clone()).await;
                if self.answered_by("replica") > before {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, asking).await.unwrap_or_else(|_| panic!("the replica never answers {query}"))
    }

    /// Lets the replica receive, and show nothing of it.
    fn pause(&self) {
        self.replica.query(DATABASE, "SELECT pg_wal_replay_pause()").unwrap();
        let state = || self.replica.query(DATABASE, "SELECT pg_get_wal_replay_pause_state()");
        wait::until("the replica stands still", SOON, || Ok((state()?.trim() == "paused").then_some(()))).unwrap();
    }

    fn resume(&self) {
        self.replica.query(DATABASE, "SELECT pg_wal_replay_resume()").unwrap();
    }
}

fn page(other: UserId) -> Value {
    json!({"type": "get_private_messages", "recipientId": other})
}

fn contents(page: &Value) -> Vec<String> {
    let messages = page["messages"].as_array().unwrap_or_else(|| panic!("{page}"));
    messages.iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_answers_every_query() {
    let site = Site::start("allqueries", &[("BUILTIN_AUTH", "true")]).await;
    let harness = &site.harness;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let conversation = harness.send(bob, alice, "hello").await["conversationId"].clone();
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob]});
    let group = harness.expect(alice, create, "group_created").await["groupId"].clone();
    let body =
        json!({"community": {"communityId": "c1", "name": "C"}, "members": [{"userId": alice, "role": "owner"}]});
    let body = body.to_string().into();
    harness.internal(UserId(0), Internal::Http(HttpRequest::CommunitySync { body })).await;
    for query in [
        json!({"type": "start_conversation", "recipientId": bob}),
        page(bob),
        json!({"type": "get_pinned_messages", "conversationId": conversation}),
        json!({"type": "get_conversations"}),
        json!({"type": "get_inbox"}),
        json!({"type": "get_group_messages", "groupId": group}),
        json!({"type": "get_user_groups"}),
        json!({"type": "get_group_members", "groupId": group}),
        json!({"type": "get_group_info", "groupId": group}),
        json!({"type": "get_banned_members", "groupId": group}),
        json!({"type": "get_communities"}),
        json!({"type": "get_community_members", "communityId": "c1"}),
        json!({"type": "get_community_progress", "communityId": "c1"}),
        json!({"type": "get_online_users"}),
        json!({"type": "find_users", "query": "bo"}),
        json!({"type": "get_blocked_users"}),
        json!({"type": "get_sign_ins"}),
    ] {
        let answer = site.ask_replica(alice, &query).await;
        assert_ne!(answer["type"], "error", "{query}: {answer}");
    }
    let synced = async {
        let before = site.answered_by("replica");
        while site.answered_by("replica") == before {
            let (series, _) = harness.sync(alice, json!({conversation.as_str().unwrap(): 0})).await;
            assert_eq!(series[0]["messages"][0]["content"], "hello");
        }
    };
    tokio::time::timeout(DEADLINE, synced).await.expect("the replica answers a sync");
}

/// In the standing replica's place the primary answers, and a page cached on the way is never older than what was written.
async fn writes_are_shown_at_once(label: &str, settings: &[(&str, &str)]) {
    let site = Site::start(label, settings).await;
    let harness = &site.harness;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let first = harness.send(alice, bob, "first").await["messageId"].clone();
    assert_eq!(contents(&site.ask_replica(bob, &page(alice)).await), ["first"]);
    for stands_still in [false, true] {
        if stands_still {
            site.ask_replica(bob, &page(alice)).await;
            site.pause();
        }
        let (lagging, at_replica) = (site.fallbacks("lagging"), site.answered_by("replica"));
        for round in 0..20 {
            let content = format!("{stands_still} {round}");
            let edit = json!({"type": "edit_message", "messageId": first, "content": content});
            harness.expect(alice, edit, "message_edited").await;
            let shown = harness.expect(bob, page(alice), "private_messages").await;
            assert_eq!(contents(&shown), std::slice::from_ref(&content));
            let conversations = harness.expect(bob, json!({"type": "get_conversations"}), "conversations").await;
            assert_eq!(conversations["conversations"][0]["lastMessage"]["content"], json!(content));
        }
        if stands_still {
            // On a slow machine the first attempt may have failed, and others waited because of it.
            let asking = async {
                while site.fallbacks("lagging") == lagging {
                    harness.expect(bob, page(alice), "private_messages").await;
                }
            };
            tokio::time::timeout(DEADLINE, asking).await.expect("the replica lags");
            assert_eq!(site.answered_by("replica"), at_replica);
        }
    }
    site.resume();
    assert_eq!(contents(&site.ask_replica(bob, &page(alice)).await), ["true 19"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_read_though_the_replica_lags() {
    writes_are_shown_at_once("lagging", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_read_though_a_pooled_replica_lags() {
    writes_are_shown_at_once("pooledlag", &[("DB_STATEMENT_CACHE", "0")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lags_lets_nobody_read_who_may_not() {
    let site = Site::start("removed", &[]).await;
    let harness = &site.harness;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob]});
    let group = harness.expect(alice, create, "group_created").await["groupId"].clone();
    let send = json!({"type": "send_group_message", "groupId": group, "content": "x"});
    harness.expect(alice, send, "group_message_sent").await;
    let read = json!({"type": "get_group_messages", "groupId": group});
    assert_eq!(contents(&site.ask_replica(bob, &read).await), ["x"]);
    site.ask_replica(carol, &json!({"type": "get_inbox"})).await;
    site.pause();
    let remove = json!({"type": "remove_group_member", "groupId": group, "userId": bob});
    harness.expect(alice, remove, "member_removed").await;
    harness.refused(bob, read, "RESOURCE_NOT_FOUND").await;
    sqlx::query("DELETE FROM users_auth WHERE user_id = $1").bind(carol.0).execute(&harness.db).await.unwrap();
    harness.refused(carol, json!({"type": "get_inbox"}), "PERMISSION_DENIED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_dies_or_falls_silent_costs_no_errors() {
    const SILENT_WITHIN: Duration = Duration::from_secs(10);
    let mut site = Site::start("dying", &[("DB_CONNECTION_TIMEOUT", "30s")]).await;
    let [alice, bob] = site.harness.users(["alice", "bob"]).await;
    site.harness.send(alice, bob, "hello").await;
    for dies in [true, false] {
        site.ask_replica(bob, &page(alice)).await;
        let (failed, paused) = (site.fallbacks("failed"), site.fallbacks("paused"));
        match dies {
            true => site.replica.kill().unwrap(),
            false => site.network.set(Weather::Cut),
        }
        // The first attempts may find a query under way, or a session that is still open.
        let asking = async {
            while site.fallbacks("failed") < failed + 3 {
                assert_eq!(contents(&site.harness.expect(bob, page(alice), "private_messages").await), ["hello"]);
            }
        };
        tokio::time::timeout(SILENT_WITHIN, asking).await.expect("nobody waits for what does not answer");
        assert!(site.fallbacks("paused") > paused);
        match dies {
            true => site.replica.start().unwrap(),
            false => site.network.set(Weather::Fair),
        }
    }
    assert_eq!(contents(&site.ask_replica(bob, &page(alice)).await), ["hello"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_the_replica_does_not_finish_is_not_lost() {
    let site = Site::start("unfinished", &[]).await;
    let harness = &site.harness;
    let alice = harness.user("alice").await;
    let readers = harness.users(["a", "b", "c", "d", "e"]).await;
    for reader in readers {
        harness.send(alice, reader, "hello").await;
    }
    // A lock on the whole table is taken at the replica, too.
    let mut locking = harness.db.begin().await.unwrap();
    locking.execute("LOCK TABLE private_messages IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let held = "SELECT count(*) FROM pg_locks WHERE relation = 'private_messages'::regclass AND granted AND mode LIKE 'AccessE%'";
    let locked = || Ok((site.replica.query(DATABASE, held)?.trim() == "1").then_some(()));
    wait::until("the lock at the replica", SOON, locked).unwrap();
    let mut asked = Vec::new();
    for reader in readers {
        site.ask_replica(reader, &json!({"type": "get_communities"})).await;
        let failed = site.fallbacks("failed");
        let page = harness.prepare(reader, &page(alice));
        harness.append(&page).await;
        asked.push(page.envelope.id);
        let waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'private_messages'::regclass AND NOT granted";
        harness.until(&format!("SELECT ({waiting}) = {}", asked.len())).await;
        // Unless it lagged at that moment.
        if site.fallbacks("failed") > failed {
            break;
        }
    }
    assert!(site.fallbacks("failed") > 0, "the replica never began");
    locking.rollback().await.unwrap();
    for page in asked {
        assert_eq!(contents(&harness.answer(page).await), ["hello"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_promoted_is_not_asked() {
    let site = Site::start("promoted", &[]).await;
    let [alice, bob] = site.harness.users(["alice", "bob"]).await;
    site.harness.send(alice, bob, "before").await;
    site.ask_replica(bob, &page(alice)).await;
    site.replica.query(DATABASE, "SELECT pg_promote()").unwrap();
    let at_replica = site.answered_by("replica");
    site.harness.send(alice, bob, "after").await;
    let shown = site.harness.expect(bob, page(alice), "private_messages").await;
    assert_eq!(contents(&shown), ["before", "after"]);
    assert!(site.fallbacks("diverged") + site.fallbacks("failed") > 0 && site.answered_by("replica") == at_replica);
}

/// The replica has received more than the standby that takes over, and it still follows the dead primary: the numbers of its log are
/// higher than those of the new primary.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_of_another_history_is_not_asked() {
    let mut site = Site::start("otherhistory", &[]).await;
    let harness = &site.harness;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.send(alice, bob, "kept").await;
    site.ask_replica(bob, &page(alice)).await;
    let scratch = Scratch::new("otherhistory-standby").unwrap();
    let mut standby = site.primary.replicate(scratch.dir()).unwrap();
    let sql = |server: &Postgres, query: &str| server.query(DATABASE, query).unwrap().trim().to_owned();
    sql(&standby, "ALTER SYSTEM SET primary_conninfo = ''");
    sql(&standby, "SELECT pg_reload_conf()");
    let cut_off = || Ok((standby.query(DATABASE, "SELECT count(*) FROM pg_stat_wal_receiver")? == "0").then_some(()));
    wait::until("the standby is cut off", SOON, cut_off).unwrap();
    harness.send(alice, bob, "lost").await;
    for _ in 0..4 {
        sql(&site.primary, "SELECT pg_logical_emit_message(true, 'test', repeat('x', 4000000))");
    }
    assert_eq!(contents(&site.ask_replica(bob, &page(alice)).await), ["kept", "lost"]);

    site.primary.kill().unwrap();
    standby.promote_to(site.primary.port()).unwrap();
    let position = "pg_wal_lsn_diff(coalesce(pg_last_wal_replay_lsn(), '0/0'), '0/0')";
    let of_replica = sql(&site.replica, &format!("SELECT {position}"));
    let is_behind = format!("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') < {of_replica}");
    let at_replica = site.answered_by("replica");
    let answered = async {
        loop {
            let answer = site.harness.command(bob, page(alice)).await;
            if answer["type"] == "private_messages" {
                return answer;
            }
        }
    };
    let shown = tokio::time::timeout(DEADLINE, answered).await.expect("the new primary answers");
    assert_eq!(contents(&shown), ["kept"]);
    let again = tokio::time::timeout(DEADLINE, async {
        while site.fallbacks("diverged") == 0 {
            let answer = site.harness.expect(bob, page(alice), "private_messages").await;
            assert_eq!(contents(&answer), ["kept"]);
        }
    });
    again.await.expect("the replica's epoch is looked at");
    assert_eq!(sql(&standby, &is_behind), "t", "the test is about a replica that is ahead");
    assert_eq!(site.answered_by("replica"), at_replica);
}

/// What a list marks is marked at the primary.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_read_from_the_replica_marks_quiet_conversations() {
    let site = Site::start("marking", &[]).await;
    let harness = &site.harness;
    let alice = harness.user("alice").await;
    for number in 0..70 {
        let other = harness.user(&format!("user{number}")).await;
        harness.send(other, alice, "x").await;
    }
    harness.db.execute("UPDATE conversations SET last_message_at = last_message_at - interval '1 hour'").await.unwrap();
    for list in ["get_inbox", "get_conversations"] {
        harness.db.execute("UPDATE conversation_members SET quiet_since = NULL, quiet_unread = FALSE").await.unwrap();
        let answer = site.ask_replica(alice, &json!({"type": list})).await;
        assert_ne!(answer["type"], "error", "{answer}");
        let marked = format!(
            "SELECT count(*) = 70 FROM conversation_members WHERE user_id = {alice} AND quiet_since IS NOT NULL"
        );
        harness.until(&marked).await;
    }
}
