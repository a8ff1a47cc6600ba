//! `chatctl keys rotate` on rows with several keys and of the original server, interrupted, and while others write.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use shared::config::Secret;
use shared::crypto::{EncryptionSettings, Keyring};
use shared::metadata::Metadata;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

const OLD: &str = "the first key of the rotation test";
const NEW: &str = "the second key of the rotation test";
const SALT: &str = "rotation";
/// A row of the original server, made with Node: key, IV and content in hex, plaintext.
const LEGACY: &str = "legacy-test-key-legacy-test-key-";
const LEGACY_IV: &str = "000102030405060708090a0b0c0d0e0f";
const LEGACY_CONTENT: &str =
    "f9f9732976013c553ed401e6839e64ec6b2f2578d40d7b366e59f97be391448a92de9a8716690feeaba0d4d4e4907ae7";
const LEGACY_PLAINTEXT: &str = "Grüße aus dem alten System 👋";

fn keyring(keys: &[(i16, &str)]) -> Keyring {
    let keys = keys.iter().map(|(id, key)| (*id, Secret::new(key))).collect();
    Keyring::derive(&EncryptionSettings { keys, salt: SALT.to_owned(), legacy_key: Some(Secret::new(LEGACY)) }).unwrap()
}

fn command(database: &str, batch: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chatctl"));
    command
        .args(["keys", "rotate", "--batch", batch])
        .current_dir("/")
        .env_clear()
        .env("DATABASE_URL", database)
        .env("CHAT_ENCRYPTION_KEYS", format!("2:{NEW},1:{OLD}"))
        .env("CHAT_ENCRYPTION_LEGACY_KEY", LEGACY)
        .env("CHAT_ENCRYPTION_SALT", SALT)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn succeed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn insert(db: &mut PgConnection, ring: &Keyring, seq: i64) -> Uuid {
    let id = Uuid::now_v7();
    let sealed = ring.seal(id, format!("message {seq}").as_bytes());
    insert_raw(db, id, seq, sealed.key_id, &sealed.iv, Some(&sealed.mac), &sealed.ciphertext).await;
    id
}

async fn insert_raw(
    db: &mut PgConnection,
    id: Uuid,
    seq: i64,
    key_id: i16,
    iv: &[u8],
    mac: Option<&[u8]>,
    content: &[u8],
) {
    sqlx::query(
        "INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, mac, key_id, created_at)
         VALUES ($1, 'conv_1_2', $2, 1, 2, $3, $4, $5, $6, now())",
    )
    .bind(id)
    .bind(seq)
    .bind(content)
    .bind(iv)
    .bind(mac)
    .bind(key_id)
    .execute(db)
    .await
    .unwrap();
}

async fn count(db: &mut PgConnection, query: &str) -> i64 {
    sqlx::query_scalar(query).fetch_one(db).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_all_ages_end_up_under_the_newest_key() {
    let database = devstack::testing::fresh_database("rotation").unwrap();
    let migrate = Command::new(env!("CARGO_BIN_EXE_chatctl")).arg("migrate").env("DATABASE_URL", &database).output();
    succeed(&migrate.unwrap());
    let mut db = PgConnection::connect(&database).await.unwrap();
    let (old, both) = (keyring(&[(1, OLD)]), keyring(&[(2, NEW), (1, OLD)]));
    let rows = 400;
    let mut ids = Vec::new();
    for seq in 1..=rows {
        let ring = if seq % 10 == 0 { &both } else { &old };
        ids.push((insert(&mut db, ring, seq).await, format!("message {seq}")));
    }
    // As the original server wrote it: hex, and without a MAC.
    let original = Uuid::now_v7();
    insert_raw(&mut db, original, rows + 1, 0, LEGACY_IV.as_bytes(), None, LEGACY_CONTENT.as_bytes()).await;
    ids.push((original, LEGACY_PLAINTEXT.to_owned()));
    let event = Uuid::now_v7();
    for (table, id, column) in [("event_log", "event_id", "body"), ("applied_commands", "command_id", "outcome")] {
        let insert = format!("INSERT INTO {table} ({id}, {column}) VALUES ($1, $2)");
        sqlx::query(&insert).bind(event).bind(old.seal_blob(event, b"an event")).execute(&mut db).await.unwrap();
    }

    let change =
        "INSERT INTO conversation_changes (conversation_id, version, kind, event_id, body) VALUES ('c', 2, 2, $1, $2)";
    sqlx::query(change).bind(event).bind(old.seal_blob(event, b"an event")).execute(&mut db).await.unwrap();
    sqlx::raw_sql("INSERT INTO conversation_changes (conversation_id, version, kind) VALUES ('c', 3, 2)")
        .execute(&mut db)
        .await
        .unwrap();

    let (message, group) = (ids[0].0, Uuid::now_v7());
    let metadata = Metadata::new(&serde_json::json!({"order": 7})).unwrap();
    sqlx::query("UPDATE private_messages SET metadata = $2 WHERE message_id = $1")
        .bind(message)
        .bind(metadata.seal(&old, message))
        .execute(&mut db)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO group_chats (group_id, name, created_by, max_members, metadata) VALUES ($1, 'g', 1, 10, $2)",
    )
    .bind(format!("group_{group}"))
    .bind(metadata.seal(&old, group))
    .execute(&mut db)
    .await
    .unwrap();

    // Broken off in the middle: killed as soon as it has written something.
    let mut broken = command(&database, "1").spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let rotated = "SELECT count(*) FROM private_messages WHERE key_id = 2";
    let before = rows / 10;
    while count(&mut db, rotated).await < before + 3 {
        assert!(Instant::now() < deadline, "nothing was rotated");
    }
    broken.kill().unwrap();
    broken.wait().unwrap();
    let half = count(&mut db, rotated).await;
    assert!(half < rows + 1, "it was quicker than the kill");

    // While an old server still edits: whatever it writes last stays.
    let editing = tokio::spawn({
        let (database, old, edited) = (database.clone(), old.clone(), ids[3].0);
        async move {
            let mut db = PgConnection::connect(&database).await.unwrap();
            for edit in 0..200 {
                let sealed = old.seal(edited, format!("edit {edit}").as_bytes());
                sqlx::query(
                    "UPDATE private_messages SET content = $2, iv = $3, mac = $4, key_id = 1 WHERE message_id = $1",
                )
                .bind(edited)
                .bind(sealed.ciphertext)
                .bind(&sealed.iv[..])
                .bind(&sealed.mac[..])
                .execute(&mut db)
                .await
                .unwrap();
            }
        }
    });
    let output = tokio::task::spawn_blocking({
        let database = database.clone();
        move || command(&database, "7").output().unwrap()
    });
    succeed(&output.await.unwrap());
    editing.await.unwrap();
    ids[3].1 = "edit 199".to_owned();
    succeed(&command(&database, "500").output().unwrap());

    let newest = keyring(&[(2, NEW)]);
    for (id, expected) in &ids {
        let (key_id, iv, mac, content): (i16, Vec<u8>, Vec<u8>, Vec<u8>) =
            sqlx::query_as("SELECT key_id, iv, mac, content FROM private_messages WHERE message_id = $1")
                .bind(id)
                .fetch_one(&mut db)
                .await
                .unwrap();
        assert_eq!(newest.open(*id, key_id, &iv, Some(&mac), &content).unwrap(), expected.as_bytes());
    }
    for query in [
        "SELECT body FROM event_log",
        "SELECT body FROM conversation_changes WHERE version = 2",
        "SELECT outcome FROM applied_commands",
    ] {
        let blob: Vec<u8> = sqlx::query_scalar(query).fetch_one(&mut db).await.unwrap();
        assert_eq!(newest.open_blob(event, &blob).unwrap(), b"an event");
    }

    for (id, query) in [
        (message, "SELECT metadata FROM private_messages WHERE metadata IS NOT NULL"),
        (group, "SELECT metadata FROM group_chats"),
    ] {
        let sealed: Vec<u8> = sqlx::query_scalar(query).fetch_one(&mut db).await.unwrap();
        assert_eq!(Metadata::open(&newest, id, &sealed).unwrap(), metadata, "{query}");
    }

    // Nothing more to do, and what cannot be read is named and left.
    let again = succeed(&command(&database, "500").output().unwrap());
    assert!(again.contains("private_messages: 0 re-encrypted"), "{again}");
    let broken = ids[5].0;
    sqlx::query("UPDATE private_messages SET key_id = 1 WHERE message_id = $1")
        .bind(broken)
        .execute(&mut db)
        .await
        .unwrap();
    let failed = command(&database, "500").output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&failed.stderr);
    assert!(stderr.contains(&broken.to_string()), "{stderr}");
    let audited = "SELECT count(*) FROM audit_log WHERE action = 'keys rotate' AND details ->> 'state' = 'finished'";
    assert_eq!(count(&mut db, audited).await, 4);
}
