//! `chatctl user erase` concurrently with members' own commands on the same groups.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use shared::crypto::{EncryptionSettings, Keyring};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

const GROUP: &str = "group_0";
const DEADLINE: Duration = Duration::from_secs(20);

fn command(database: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chatctl"));
    command
        .args(arguments)
        .current_dir("/")
        .env_clear()
        .env("DATABASE_URL", database)
        .env("CHAT_ENCRYPTION_KEY", "a key for tests only, long enough")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// An owner, an admin and a member.
async fn group(db: &mut PgConnection) {
    for statement in [
        "DELETE FROM group_members",
        "DELETE FROM group_chats",
        "INSERT INTO group_chats (group_id, name, created_by, max_members) VALUES ('group_0', 'g', 1, 10)",
        "INSERT INTO group_members (group_id, user_id, role)
         VALUES ('group_0', 1, 'owner'), ('group_0', 2, 'admin'), ('group_0', 3, 'member')",
    ] {
        sqlx::query(statement).execute(&mut *db).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_changes_hands_meanwhile_has_one_owner() {
    let database = devstack::testing::fresh_database("erasing").unwrap();
    let migrated = command(&database, &["migrate"]).output().unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let mut db = PgConnection::connect(&database).await.unwrap();
    let mut other = PgConnection::connect(&database).await.unwrap();
    // From user 1 to user 3, while one of them is erased.
    for (erased, owner) in [("1", 3), ("3", 1)] {
        group(&mut db).await;
        // Like a worker.
        let mut transfer = other.begin().await.unwrap();
        sqlx::query(
            "SELECT FROM group_chats g JOIN group_members m USING (group_id)
             WHERE group_id = $1 AND user_id IN (1, 3) FOR SHARE OF g, m",
        )
        .bind(GROUP)
        .execute(&mut *transfer)
        .await
        .unwrap();
        sqlx::query(
            "UPDATE group_members SET role = CASE user_id WHEN 3 THEN 'owner' ELSE 'admin' END WHERE user_id IN (1, 3)",
        )
        .execute(&mut *transfer)
        .await
        .unwrap();
        let erasing = command(&database, &["user", "erase", erased, "--yes"]).spawn().unwrap();
        let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity
                                    WHERE datname = current_database() AND wait_event_type = 'Lock')";
        let waited = tokio::time::timeout(DEADLINE, async {
            while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut db).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.expect("the erasure waits for the transfer");
        transfer.commit().await.unwrap();
        let output = erasing.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let owners: Vec<i64> = sqlx::query_scalar("SELECT user_id FROM group_members WHERE role = 'owner'")
            .fetch_all(&mut db)
            .await
            .unwrap();
        assert_eq!(owners, [owner], "user {erased} was erased");
    }
}

/// Waiting webhook deliveries contain personal data, just like waiting events.
#[tokio::test(flavor = "multi_thread")]
async fn pending_webhooks_tell_nothing_of_an_erased_user() {
    let database = devstack::testing::fresh_database("erasinghooks").unwrap();
    assert!(command(&database, &["migrate"]).output().unwrap().status.success());
    let mut db = PgConnection::connect(&database).await.unwrap();
    let settings = EncryptionSettings::single("a key for tests only, long enough", "elitescore-chat");
    let keyring = tokio::task::spawn_blocking(move || Keyring::derive(&settings)).await.unwrap().unwrap();
    let told = [
        json!({"type": "reaction_added", "userId": "1", "username": "eve", "reaction": "x"}),
        json!({"type": "member_added", "userId": "1", "username": "eve", "addedBy": "2"}),
        json!({"type": "member_added", "userId": "3", "username": "bob", "addedBy": "2"}),
    ];
    for (n, told) in told.iter().enumerate() {
        let id = Uuid::from_u128(n as u128 + 1);
        // For two endpoints each.
        sqlx::query(
            "INSERT INTO webhook_deliveries (endpoint_id, topic, event, event_id, body)
             SELECT gen_random_uuid(), 'group_0', 'e', $1, $2 FROM generate_series(1, 2)",
        )
        .bind(id)
        .bind(keyring.seal_blob(id, told.to_string().as_bytes()))
        .execute(&mut db)
        .await
        .unwrap();
    }
    let message = "INSERT INTO webhook_deliveries (endpoint_id, topic, event, event_id, about)
                   SELECT gen_random_uuid(), 'group_0', 'message.created', gen_random_uuid(), gen_random_uuid()";
    sqlx::query(message).execute(&mut db).await.unwrap();
    let output = command(&database, &["user", "erase", "1", "--yes"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<(Uuid, Option<Vec<u8>>)> =
        sqlx::query_as("SELECT event_id, body FROM webhook_deliveries ORDER BY delivery_id")
            .fetch_all(&mut db)
            .await
            .unwrap();
    let names: Vec<String> = rows
        .iter()
        .filter_map(|(id, body)| keyring.open_blob(*id, body.as_ref()?).ok())
        .map(|plain| serde_json::from_slice::<Value>(&plain).unwrap()["username"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["deleted-1", "deleted-1", "bob", "bob"]);
    assert_eq!(rows.len(), 5, "what is only about a message stays");
}
