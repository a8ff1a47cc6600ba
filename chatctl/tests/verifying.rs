//! `chatctl verify` on a consistent database, and after each kind of damage.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use shared::config::Secret;
use shared::crypto::{EncryptionSettings, Keyring};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

const KEY: &str = "the key of the test of chatctl verify";
const SALT: &str = "verifying";

fn chatctl(database: &str, arguments: &[&str], key: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chatctl"))
        .args(arguments)
        .current_dir("/")
        .env_clear()
        .env("DATABASE_URL", database)
        .env("CHAT_ENCRYPTION_KEY", key)
        .env("CHAT_ENCRYPTION_SALT", SALT)
        .output()
        .unwrap()
}

/// Three messages between two users, the second deleted for everyone; a group with a message.
async fn fill(db: &mut PgConnection) {
    let keys = vec![(1, Secret::new(KEY))];
    let ring = Keyring::derive(&EncryptionSettings { keys, salt: SALT.to_owned(), legacy_key: None }).unwrap();
    sqlx::raw_sql(
        "INSERT INTO conversations (conversation_id, last_seq, message_count) VALUES ('1_2', 3, 2), ('group_g', 1, 1);
         INSERT INTO conversation_members (user_id, conversation_id, delivered_seq, read_seq) VALUES (1, '1_2', 3, 3), (2, '1_2', 1, 0);
         INSERT INTO group_chats (group_id, name, created_by, max_members) VALUES ('group_g', 'g', 1, 10);
         INSERT INTO group_members (group_id, user_id, role) VALUES ('group_g', 1, 'owner'), ('group_g', 2, 'member');",
    )
    .execute(&mut *db)
    .await
    .unwrap();
    for (conversation, seq, recipient) in [("1_2", 1, Some(2_i64)), ("1_2", 3, Some(2)), ("group_g", 1, None)] {
        let id = Uuid::now_v7();
        let sealed = ring.seal(id, b"hello");
        sqlx::query(
            "INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, mac, key_id, created_at)
             VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, now())",
        )
        .bind(id)
        .bind(conversation)
        .bind(i64::from(seq))
        .bind(recipient)
        .bind(&sealed.ciphertext)
        .bind(&sealed.iv[..])
        .bind(&sealed.mac[..])
        .bind(sealed.key_id)
        .execute(&mut *db)
        .await
        .unwrap();
        let event = Uuid::now_v7();
        sqlx::query("INSERT INTO event_log (event_id, body) VALUES ($1, $2)")
            .bind(event)
            .bind(ring.seal_blob(event, b"{}"))
            .execute(&mut *db)
            .await
            .unwrap();
        sqlx::query("INSERT INTO event_queue (user_id, event_id) VALUES (2, $1)")
            .bind(event)
            .execute(&mut *db)
            .await
            .unwrap();
        let version = 1 + i64::from(seq);
        sqlx::query(
            "INSERT INTO conversation_changes (conversation_id, version, kind, event_id, body) VALUES ($1, $2, 2, $3, $4)",
        )
        .bind(conversation)
        .bind(version)
        .bind(event)
        .bind(ring.seal_blob(event, b"{}"))
        .execute(&mut *db)
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn verify_finds_every_kind_of_damage_and_nothing_else() {
    let database = devstack::testing::fresh_database("verify").unwrap();
    assert!(chatctl(&database, &["migrate"], KEY).status.success());
    let mut db = PgConnection::connect(&database).await.unwrap();
    fill(&mut db).await;
    let whole = chatctl(&database, &["verify"], KEY);
    let text = String::from_utf8_lossy(&whole.stdout).into_owned();
    assert!(whole.status.success(), "{text}{}", String::from_utf8_lossy(&whole.stderr));
    assert!(text.lines().count() >= 11 && text.lines().all(|line| line.starts_with("ok ")), "{text}");

    for (damage, rule, named) in [
        ("DELETE FROM private_messages WHERE seq = 3", "no message is missing", "1_2: 1 of 2"),
        (
            "UPDATE conversations SET last_seq = 2 WHERE conversation_id = '1_2'",
            "under a number that it has given out",
            "number 3 of 1_2",
        ),
        (
            "DELETE FROM conversations WHERE conversation_id = '1_2'",
            "under a number that it has given out",
            "given out none",
        ),
        ("UPDATE conversation_members SET read_seq = 9 WHERE user_id = 2", "never sent", "user 2 in 1_2"),
        (
            "UPDATE conversation_members SET delivered_version = 9 WHERE user_id = 2",
            "never made",
            "user 2 in 1_2: beyond version 1",
        ),
        ("DELETE FROM group_chats", "members belong to a group", "user 1 in group_g"),
        ("DELETE FROM group_chats", "messages of a group", "group_g"),
        ("DELETE FROM group_members WHERE role = 'owner'", "has an owner", "group_g"),
        (
            "INSERT INTO message_reactions (message_id, user_id, reaction) VALUES (gen_random_uuid(), 7, 'x')",
            "reactions",
            "user 7",
        ),
        (
            "INSERT INTO message_deletions (message_id, user_id, conversation_id, seq) VALUES (gen_random_uuid(), 7, '1_2', 2)",
            "deleted for themselves",
            "user 7",
        ),
        ("DELETE FROM event_log", "events that wait", "for user 2"),
        ("UPDATE private_messages SET content = content || content WHERE seq = 3", "every message decrypts", "key 1"),
        ("UPDATE private_messages SET metadata = content WHERE seq = 3", "and metadata", "private_messages.metadata"),
        ("UPDATE event_log SET body = body || body", "every event", "event_log"),
        ("UPDATE conversation_changes SET body = body || body", "every event", "conversation_changes"),
    ] {
        sqlx::raw_sql("CREATE SCHEMA kept").execute(&mut db).await.unwrap();
        let tables = [
            "conversations",
            "conversation_members",
            "private_messages",
            "group_chats",
            "group_members",
            "message_reactions",
            "message_deletions",
            "event_log",
            "event_queue",
            "conversation_changes",
        ];
        for table in tables {
            sqlx::raw_sql(&format!("CREATE TABLE kept.{table} AS TABLE {table}")).execute(&mut db).await.unwrap();
        }
        sqlx::raw_sql(damage).execute(&mut db).await.unwrap();
        let found = chatctl(&database, &["verify"], KEY);
        assert_eq!(found.status.code(), Some(1), "{damage}");
        let (lines, rows) = (String::from_utf8(found.stdout).unwrap(), String::from_utf8(found.stderr).unwrap());
        let broken: Vec<&str> = lines.lines().filter(|line| line.starts_with("BROKEN")).collect();
        assert!(broken.iter().any(|line| line.contains(rule)), "{damage}: {lines}");
        assert!(rows.contains(named), "{damage}: {rows}");
        for table in tables {
            let restore = format!("TRUNCATE {table}; INSERT INTO {table} TABLE kept.{table}");
            sqlx::raw_sql(&restore).execute(&mut db).await.unwrap();
        }
        sqlx::raw_sql("DROP SCHEMA kept CASCADE").execute(&mut db).await.unwrap();
    }

    // With another key nothing decrypts, but the rules about numbers still hold.
    let other = chatctl(&database, &["verify"], "a key that is not the right one at all");
    assert!(String::from_utf8_lossy(&other.stdout).contains("BROKEN  every message decrypts: 3 times"));
    assert!(chatctl(&database, &["verify", "--skip-decrypting"], "short").status.success());
}
