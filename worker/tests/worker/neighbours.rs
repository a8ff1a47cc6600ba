//! What others do to the database while we run: the main backend changes its tables, rights are lost, the server
//! becomes read-only, a pooler is in between. No command fails because of it, and none becomes a dead letter.

use std::time::Duration;

use devstack::Scratch;
use fred::prelude::*;
use serde_json::json;
use shared::clock::Timestamp;
use shared::ids::UserId;
use sqlx::Executor as _;

use crate::harness::{DEADLINE, Harness};
use crate::main_backend::sign_in;

/// A bit of everything at the same time: sends, other commands of the ordered lane, and queries. Each must succeed.
async fn everything(harness: &Harness, alice: UserId, bob: UserId) {
    let message = harness.send(alice, bob, "x").await["messageId"].clone();
    let mut commands = Vec::new();
    for number in 0..8 {
        for message in [
            json!({"type": "send_private_message", "recipientId": bob, "content": format!("{number} @bob")}),
            json!({"type": "add_reaction", "messageId": message, "reaction": format!("r{number}")}),
            json!({"type": "get_private_messages", "recipientId": bob, "limit": 5}),
            json!({"type": "get_conversations"}),
        ] {
            let prepared = harness.prepare(alice, &message);
            harness.append(&prepared).await;
            commands.push((message, prepared.envelope.id));
        }
    }
    for (message, command) in commands {
        let answer = harness.answer(command).await;
        assert_ne!(answer["type"], "error", "{message} was answered {answer}");
    }
    assert_eq!(harness.dead_letters().await, 0);
}

#[tokio::test]
async fn a_column_that_changes_its_type_fails_no_command() {
    let harness = Harness::start("columntype").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    // On as many sessions as are used afterwards.
    everything(&harness, alice, bob).await;
    for change in [
        "ALTER TABLE users_auth ALTER COLUMN username TYPE varchar(100)",
        "ALTER TABLE user_profile_info ALTER COLUMN display_name TYPE varchar(100)",
        "ALTER TABLE users_auth ALTER COLUMN username TYPE text",
    ] {
        harness.db.execute(change).await.unwrap();
        everything(&harness, alice, bob).await;
    }
}

#[tokio::test]
async fn a_table_that_is_swapped_holds_commands_up_and_fails_none() {
    let harness = Harness::start("tableswap").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    everything(&harness, alice, bob).await;
    harness.db.execute("ALTER TABLE users_auth RENAME TO users_auth_old").await.unwrap();
    let message = json!({"type": "send_private_message", "recipientId": bob, "content": "meanwhile"});
    let send = harness.prepare(alice, &message);
    let group = harness.prepare(alice, &json!({"type": "create_group", "groupName": "g", "memberIds": [bob]}));
    harness.append(&send).await;
    harness.append(&group).await;
    // Longer than the attempts after which a command with its own fault is given up.
    until_retried(&harness, "send_private_message").await;
    harness.db.execute("ALTER TABLE users_auth_old RENAME TO users_auth").await.unwrap();
    assert_eq!(harness.answer(send.envelope.id).await["type"], "message_sent");
    assert_ne!(harness.answer(group.envelope.id).await["type"], "error");
    everything(&harness, alice, bob).await;
}

#[tokio::test]
async fn lost_rights_hold_commands_up_and_fail_none() {
    let mut harness = Harness::without_worker("lostrights", &[]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let database = harness.database_url().rsplit('/').next().unwrap().to_owned();
    let role = format!("worker_{database}");
    let script = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'for-tests';
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"
    );
    harness.db.execute(script.as_str()).await.unwrap();
    let host = harness.database_url().split_once('@').unwrap().1.to_owned();
    harness.set("DATABASE_URL", &format!("postgres://{role}:for-tests@{host}"));
    harness.add_worker().await;
    everything(&harness, alice, bob).await;
    harness.db.execute(format!("REVOKE ALL ON users_auth FROM {role}").as_str()).await.unwrap();
    let message = json!({"type": "send_private_message", "recipientId": bob, "content": "meanwhile"});
    let send = harness.prepare(alice, &message);
    harness.append(&send).await;
    until_retried(&harness, "send_private_message").await;
    harness.db.execute(format!("GRANT ALL ON users_auth TO {role}").as_str()).await.unwrap();
    assert_eq!(harness.answer(send.envelope.id).await["type"], "message_sent");
    everything(&harness, alice, bob).await;
}

/// Waits until a command of this kind was tried more often than one with its own fault would be.
async fn until_retried(harness: &Harness, command: &str) {
    let attempts = u64::from(harness.settings.dlq_attempts) + 2;
    let before = harness.retried(command);
    let waited = tokio::time::timeout(DEADLINE, async {
        while harness.retried(command) < before + attempts && harness.dead_letters().await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap();
}

#[tokio::test]
async fn prepared_statements_that_are_gone_fail_no_command() {
    let harness = Harness::start("deallocated").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    everything(&harness, alice, bob).await;
    // Each send makes its session forget its prepared statements, like poolers that reset their server sessions.
    let script = "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             EXECUTE 'DEALLOCATE ALL';
             RETURN NULL;
         END $$;
         CREATE TRIGGER forget AFTER INSERT ON private_messages FOR EACH STATEMENT EXECUTE FUNCTION forget()";
    harness.db.execute(script).await.unwrap();
    everything(&harness, alice, bob).await;
    everything(&harness, alice, bob).await;
}

#[tokio::test]
async fn sessions_that_became_read_only_are_ended() {
    let harness = Harness::start("readonly").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    everything(&harness, alice, bob).await;
    let database = harness.database_url().rsplit('/').next().unwrap().to_owned();
    let set = format!("ALTER DATABASE {database} SET default_transaction_read_only = on");
    harness.db.execute(set.as_str()).await.unwrap();
    harness
        .db
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'chat-worker' AND datname = current_database()",
        )
        .await
        .unwrap();
    // A worker that cannot write sends no heartbeat.
    let started = Timestamp::now();
    let waited = tokio::time::timeout(DEADLINE, async {
        loop {
            let beats: Vec<(String, f64)> =
                harness.redis.zrange(harness.keys.heartbeats("worker"), 0, -1, None, false, None, true).await.unwrap();
            let newest = beats.iter().map(|(_, at)| *at as i64).max().unwrap_or(0);
            let now = Timestamp::now().0;
            if now - newest > 2_500 && now - started.0 > 2_500 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.expect("the worker continues to send heartbeats");
    let reset = format!(
        "SET default_transaction_read_only = off; ALTER DATABASE {database} RESET default_transaction_read_only"
    );
    harness.db.execute(reset.as_str()).await.unwrap();
    everything(&harness, alice, bob).await;
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_works_without_kept_statements() {
    let mut harness = Harness::without_worker("pgbouncer", &[("DB_STATEMENT_CACHE", "0")]).await;
    let scratch = Scratch::new("pgbouncer").unwrap();
    let mut bouncer = devstack::testing::start_pgbouncer(&scratch, harness.database_url()).unwrap();
    let url = bouncer.url(harness.database_url());
    harness.set("DATABASE_URL", &url);
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.add_worker().await;
    for _ in 0..5 {
        everything(&harness, alice, bob).await;
        for user in [alice, bob, alice, bob] {
            sign_in(&harness, user).await;
        }
    }
    bouncer.stop().unwrap();
}

/// Reads a column with its own type, so that a prepared statement no longer fits after the type has changed.
#[tokio::test]
async fn a_plan_that_no_longer_fits_is_replaced_at_once() {
    let harness = Harness::start("cachedplan").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob]});
    let group = harness.expect(alice, create, "group_created").await["groupId"].clone();
    let look = async || {
        let mut looks = Vec::new();
        for _ in 0..8 {
            for message in [
                json!({"type": "get_group_info", "groupId": group}),
                json!({"type": "update_group_info", "groupId": group, "groupDescription": "d"}),
                json!({"type": "send_group_message", "groupId": group, "content": "x"}),
                json!({"type": "get_user_groups"}),
            ] {
                let prepared = harness.prepare(alice, &message);
                harness.append(&prepared).await;
                looks.push((message, prepared.envelope.id));
            }
        }
        for (message, command) in looks {
            let answer = harness.answer(command).await;
            assert_ne!(answer["type"], "error", "{message} was answered {answer}");
        }
    };
    look().await;
    for kind in ["varchar(1000)", "text", "varchar(500)"] {
        let opened = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'chat-worker'
                      AND datname = current_database() AND backend_start > $1";
        let changed: time::OffsetDateTime =
            sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&harness.db).await.unwrap();
        harness.db.execute(format!("ALTER TABLE group_chats ALTER COLUMN name TYPE {kind}").as_str()).await.unwrap();
        let began = tokio::time::Instant::now();
        look().await;
        assert!(began.elapsed() < Duration::from_secs(5), "{kind}: {:?}", began.elapsed());
        let anew: i64 = sqlx::query_scalar(opened).bind(changed).fetch_one(&harness.db).await.unwrap();
        assert!(anew > 0, "{kind}: all statements still fit, so this tests nothing");
    }
    assert_eq!(harness.dead_letters().await, 0);
}
