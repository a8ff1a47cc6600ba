//! `chatctl user erase` beside members' own commands on the same groups.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};
use std::time::Duration;

use sqlx::{Connection, PgConnection};

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
    // From user 1 to user 3, while either is erased.
    for (erased, owner) in [("1", 3), ("3", 1)] {
        group(&mut db).await;
        // As a worker does it.
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
