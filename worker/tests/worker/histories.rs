//! The database goes back in time while Redis does not: a dump was restored.

use fred::prelude::*;
use serde_json::{Value, json};
use shared::ids::UserId;
use sqlx::Executor as _;

use crate::harness::Harness;

async fn contents(harness: &Harness, reader: UserId, other: UserId) -> Vec<Value> {
    let page = harness.command(reader, json!({"type": "get_private_messages", "recipientId": other})).await;
    page["messages"].as_array().unwrap().iter().map(|message| message["content"].clone()).collect()
}

#[tokio::test]
async fn nothing_cached_before_a_restore_is_shown_after_it() {
    let harness = Harness::start("restore").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.send(alice, bob, "kept").await;
    harness.db.execute("CREATE TABLE kept AS SELECT * FROM conversations").await.unwrap();
    harness.send(alice, bob, "lost").await;
    assert_eq!(contents(&harness, bob, alice).await, ["kept", "lost"]);
    let told: String = harness.redis.get(harness.keys.store_epoch()).await.unwrap();

    // The state that restoring a dump from before the second message would leave.
    let script = "BEGIN;
        DELETE FROM private_messages WHERE seq = 2;
        UPDATE conversations c SET last_seq = k.last_seq, message_count = k.message_count, version = k.version
            FROM kept k WHERE k.conversation_id = c.conversation_id;
        UPDATE store_epoch SET place = 'where the dump was made';
        COMMIT;
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = 'chat-worker' AND datname = current_database()";
    harness.db.execute(script).await.unwrap();
    let again = harness.send(alice, bob, "new").await;
    assert_eq!(again["seq"], 2, "the number is used again");
    assert_eq!(contents(&harness, bob, alice).await, ["kept", "new"]);
    // Gateways are notified.
    let waited = tokio::time::timeout(crate::harness::DEADLINE, async {
        while harness.redis.get::<String, _>(harness.keys.store_epoch()).await.unwrap() == told {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap();
}

/// Otherwise a user who came online since the dump is never announced as gone, and one who went offline never as back.
#[tokio::test]
async fn a_restored_database_learns_who_is_online() {
    let harness = Harness::start("restoredstatus").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    crate::main_backend::sign_in(&harness, alice).await;
    harness.until(&format!("SELECT online FROM user_status WHERE user_id = {alice}")).await;
    // Once the worker has compared, so that the next comparison is with another history.
    let mark = async || -> Option<String> { harness.redis.get(harness.keys.presence_is_complete()).await.unwrap() };
    let before: String = sqlx::query_scalar("SELECT replace(epoch::text, '-', '') FROM store_epoch")
        .fetch_one(&harness.db)
        .await
        .unwrap();
    let compared = tokio::time::timeout(crate::harness::DEADLINE, async {
        while mark().await.as_deref() != Some(before.as_str()) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    compared.await.unwrap();
    let restored = format!(
        "UPDATE user_status SET online = FALSE WHERE user_id = {alice};
         INSERT INTO user_status (user_id, last_seen_at, online) VALUES ({bob}, now(), TRUE);
         UPDATE store_epoch SET epoch = gen_random_uuid()"
    );
    sqlx::raw_sql(&restored).execute(&harness.db).await.unwrap();
    harness.until(&format!("SELECT online FROM user_status WHERE user_id = {alice}")).await;
    harness.until(&format!("SELECT NOT online FROM user_status WHERE user_id = {bob}")).await;
}
