//! Failures inside a worker: a message that cannot be stored at first, a lease that expires and is renewed, a read
//! whose reply is lost. Nothing is overtaken, and nothing stays in the stream for good.

use devstack::{Durability, Scratch, testing};
use fred::prelude::*;
use serde_json::json;
use shared::clock::Timestamp;
use shared::lifecycle::Lifecycle;
use shared::redis::client::RedisOptions;
use shared::redis::lanes;
use sqlx::Executor as _;
use std::time::Duration;

use crate::harness::Harness;

/// Makes storing a message fail with this SQLSTATE while `failures` has rows. Each failure takes a number, which a
/// rollback does not return.
async fn make_storing_fail(harness: &Harness, sqlstate: &str) {
    let script = format!(
        "CREATE TABLE failures (client_message_id text, up_to bigint);
         CREATE SEQUENCE failed;
         CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF EXISTS (SELECT FROM failures f WHERE f.client_message_id = NEW.client_message_id)
                 AND nextval('failed') <= (SELECT max(up_to) FROM failures)
             THEN RAISE EXCEPTION 'a test wants this' USING ERRCODE = '{sqlstate}'; END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER fail BEFORE INSERT ON private_messages FOR EACH ROW EXECUTE FUNCTION fail()"
    );
    harness.db.execute(script.as_str()).await.unwrap();
}

#[tokio::test]
async fn a_retried_message_is_not_overtaken_in_its_conversation() {
    let harness = Harness::without_worker("overtaking", &[]).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    // A fault of the statement itself, twice: in the batch, and then alone.
    make_storing_fail(&harness, "22023").await;
    harness.db.execute("INSERT INTO failures VALUES ('n-2', 2)").await.unwrap();
    let mut sent = Vec::new();
    for number in 1..=5 {
        for to in [bob, carol] {
            let name = if to == bob { format!("n-{number}") } else { format!("other-{number}") };
            let message = json!({"type": "send_message", "recipientId": to, "content": "x", "clientMessageId": name});
            let prepared = harness.prepare(alice, &message);
            harness.append(&prepared).await;
            sent.push((number, prepared.envelope.id));
        }
    }
    harness.add_worker().await;
    for (number, command) in sent {
        let answer = harness.answer(command).await;
        assert_eq!(answer["seq"], number, "{answer}");
    }
    let failures: i64 = sqlx::query_scalar("SELECT last_value FROM failed").fetch_one(&harness.db).await.unwrap();
    assert!(failures >= 2, "the message failed in the batch and alone");
}

#[tokio::test]
async fn entries_left_by_an_expired_lease_are_applied_on_renewal() {
    let harness = Harness::start("renewal").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    assert_eq!(harness.send(alice, bob, "first").await["seq"], 1);
    make_storing_fail(&harness, "40001").await;
    harness.db.execute("INSERT INTO failures VALUES ('late', 1000000)").await.unwrap();
    // Leases can be checked but not renewed: they expire, and since there is no other worker, nobody takes them.
    let mut held = harness.db.begin().await.unwrap();
    held.execute("SELECT FROM partition_leases FOR SHARE").await.unwrap();
    let message = json!({"type": "send_message", "recipientId": bob, "content": "x", "clientMessageId": "late"});
    let prepared = harness.prepare(alice, &message);
    harness.append(&prepared).await;
    // The longest pause between two attempts is a second: by then the worker has given up.
    harness.until("SELECT bool_and(expires_at < now() - interval '1500 ms') FROM partition_leases").await;
    harness.db.execute("DELETE FROM failures").await.unwrap();
    held.rollback().await.unwrap();
    assert_eq!(harness.answer(prepared.envelope.id).await["seq"], 2);
}

#[tokio::test]
async fn a_read_that_comes_late_takes_nothing_away() {
    let harness = Harness::start("lostread").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let prepared = harness.prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": "x"}));
    harness.append(&prepared).await;
    harness.answer(prepared.envelope.id).await;
    let groups = || async {
        let groups: Vec<std::collections::HashMap<String, Value>> =
            harness.redis.xinfo_groups(&prepared.stream).await.unwrap();
        groups.iter().filter_map(|group| group.get("name")?.as_string()).collect::<Vec<String>>()
    };
    let before = groups().await;
    assert_eq!(before.len(), 1, "{before:?}");
    // The reader's next read fails, as if its connection had broken.
    let _: i64 = harness.redis.xgroup_destroy(&prepared.stream, before[0].as_str()).await.unwrap();
    let again = tokio::time::timeout(crate::harness::DEADLINE, async {
        loop {
            let now = groups().await;
            if !now.is_empty() {
                break now;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert_ne!(again.await.unwrap(), before);
    let late =
        lanes::read(&harness.redis, std::slice::from_ref(&prepared.stream), &before[0], 10, Duration::from_millis(1))
            .await;
    assert!(late.unwrap_err().details().starts_with("NOGROUP"));
    assert_eq!(harness.send(alice, bob, "y").await["seq"], 2);
}

/// Otherwise it runs once Redis is back, and what it takes is lost until some worker claims it.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_was_given_up_while_redis_was_away_takes_nothing() {
    const BLOCK: Duration = Duration::from_millis(50);
    const BLOCKED_WITHIN: Duration = Duration::from_secs(20);
    let scratch = Scratch::new("given-up").unwrap();
    let mut redis = testing::start_redis_with(&scratch, Durability::Durable).unwrap();
    let options = RedisOptions { url: redis.url(), tls_ca: None, command_timeout: Duration::from_millis(300) };
    let lifecycle = Lifecycle::new(Duration::ZERO);
    let reader = options.blocking_client(BLOCK, &lifecycle).unwrap();
    reader.wait_for_connect().await.unwrap();
    redis.command(&["XGROUP", "CREATE", "stream", "group", "$", "MKSTREAM"]).unwrap();
    redis.command(&["XADD", "stream", "*", shared::stream::FIELD, "entry"]).unwrap();

    redis.kill().unwrap();
    let deadline = tokio::time::Instant::now() + BLOCKED_WITHIN;
    // The reader first learns that the connection is gone, and then nothing.
    while !matches!(lanes::read_shared(&reader, "stream", "group", "reader", 1, BLOCK).await,
        Err(error) if *error.kind() == ErrorKind::Timeout)
    {
        assert!(tokio::time::Instant::now() < deadline, "a read without Redis does not time out");
    }
    redis.start().unwrap();
    // What was sent before runs before this is answered.
    let pending = loop {
        match reader.xpending::<Value, _, _, _>("stream", "group", ()).await {
            Ok(pending) => break pending.into_array(),
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
    };
    assert_eq!(pending[0].as_i64(), Some(0), "a read that was abandoned has it");
}

/// Runs a statement in its own transaction, until that is dropped.
async fn locking<'a>(harness: &'a Harness, statement: &str) -> sqlx::Transaction<'a, sqlx::Postgres> {
    let mut locking = harness.db.begin().await.unwrap();
    locking.execute(statement).await.unwrap();
    locking
}

/// The database counts a statement's time from its arrival, which a busy machine delays.
const STATEMENT_ON_ITS_WAY: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_message_that_waited_beyond_its_deadline_is_not_stored() {
    let harness = Harness::start("latelock").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.send(alice, bob, "first").await;
    // Locked rows are waited for repeatedly, a locked table in the middle of the statement.
    for lock in ["SELECT FROM conversations FOR UPDATE", "LOCK TABLE private_messages IN ACCESS EXCLUSIVE MODE"] {
        let locked = locking(&harness, lock).await;
        let message = json!({"type": "send_message", "recipientId": bob, "content": "late", "clientMessageId": "late"});
        let mut prepared = harness.prepare(alice, &message);
        prepared.envelope.deadline = Timestamp::now().plus(Duration::from_millis(1_200));
        harness.append(&prepared).await;
        while Timestamp::now() <= prepared.envelope.deadline.plus(STATEMENT_ON_ITS_WAY) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        locked.rollback().await.unwrap();
        let answer = harness.answer(prepared.envelope.id).await;
        assert_eq!(answer["code"], "SERVICE_UNAVAILABLE", "{lock}: {answer}");
    }
    let again = json!({"type": "send_message", "recipientId": bob, "content": "late", "clientMessageId": "late"});
    assert_eq!(harness.expect(alice, again, "message_sent").await["seq"], 2);
}

#[tokio::test]
async fn a_command_that_waited_beyond_its_deadline_is_not_applied() {
    let harness = Harness::start("latecommand").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let message = harness.send(alice, bob, "first").await["messageId"].clone();
    let locked = locking(&harness, "LOCK TABLE message_reactions IN ACCESS EXCLUSIVE MODE").await;
    let mut prepared = harness.prepare(bob, &json!({"type": "add_reaction", "messageId": message, "reaction": "+"}));
    prepared.envelope.deadline = Timestamp::now().plus(Duration::from_millis(800));
    harness.append(&prepared).await;
    while Timestamp::now() <= prepared.envelope.deadline.plus(STATEMENT_ON_ITS_WAY) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    locked.rollback().await.unwrap();
    assert_eq!(harness.answer(prepared.envelope.id).await["code"], "SERVICE_UNAVAILABLE");
    harness.until("SELECT NOT EXISTS (SELECT FROM message_reactions)").await;
}

/// Runs with one pipeline, which all partitions share.
#[tokio::test]
async fn a_locked_conversation_holds_up_no_other() {
    let harness = Harness::start_with("lockedrow", &[("WORKER_PIPELINES", "1")]).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let first = harness.send(alice, bob, "first").await;
    let conversation = first["conversationId"].as_str().unwrap();
    let of_carol = harness.send(alice, carol, "first").await["messageId"].clone();
    let lock = format!("SELECT FROM conversations WHERE conversation_id = '{conversation}' FOR UPDATE");
    let locked = locking(&harness, &lock).await;
    let mut waiting = Vec::new();
    for number in 2..5 {
        let prepared = harness.prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": "x"}));
        harness.append(&prepared).await;
        waiting.push((number, prepared.envelope.id));
    }
    let edit = json!({"type": "edit_message", "messageId": first["messageId"], "content": "edited"});
    let edit = harness.prepare(alice, &edit);
    harness.append(&edit).await;
    // For longer than all commands of the locked conversation would wait on their own.
    let began = tokio::time::Instant::now();
    for number in 2..12 {
        assert_eq!(harness.send(alice, carol, "x").await["seq"], number);
        let reaction = json!({"type": "add_reaction", "messageId": of_carol, "reaction": format!("r{number}")});
        harness.expect(carol, reaction, "reaction_added").await;
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(8), "others waited for {took:?}");
    assert!(!harness.was_answered(waiting[0].1), "a message of the locked conversation was stored");
    locked.rollback().await.unwrap();
    for (number, command) in waiting {
        assert_eq!(harness.answer(command).await["seq"], number);
    }
    assert_eq!(harness.answer(edit.envelope.id).await["type"], "message_edited");
}

#[tokio::test]
async fn lost_rights_on_one_table_hold_up_no_other_command() {
    let harness = Harness::start_with("onetable", &[("WORKER_PIPELINES", "1")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let message = harness.send(alice, bob, "first").await["messageId"].clone();
    // As if the right to write there were missing.
    let script = "CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE EXCEPTION 'permission denied' USING ERRCODE = 'insufficient_privilege';
         END $$;
         CREATE TRIGGER forbid BEFORE INSERT ON message_reactions FOR EACH ROW EXECUTE FUNCTION forbid()";
    harness.db.execute(script).await.unwrap();
    let reaction = harness.prepare(bob, &json!({"type": "add_reaction", "messageId": message, "reaction": "+"}));
    harness.append(&reaction).await;
    let group = harness.expect(alice, json!({"type": "create_group", "groupName": "g"}), "group_created").await;
    let began = tokio::time::Instant::now();
    for number in 1..12 {
        let said = json!({"type": "send_group_message", "groupId": group["groupId"], "content": "x"});
        assert_eq!(harness.command(alice, said).await["seq"], number);
    }
    assert!(began.elapsed() < Duration::from_secs(8), "others waited for {:?}", began.elapsed());
    assert!(!harness.was_answered(reaction.envelope.id));
    harness.db.execute("DROP TRIGGER forbid ON message_reactions").await.unwrap();
    assert_eq!(harness.answer(reaction.envelope.id).await["type"], "reaction_added");
}
