//! The statements that store messages, without a worker around them.

use serde_json::Value;

use super::*;
use crate::store::session;

fn message(sender: i64, recipient: i64) -> NewMessage {
    let (sender, recipient) = (UserId(sender), UserId(recipient));
    NewMessage {
        message: MessageId(Uuid::now_v7()),
        conversation: ConversationId::direct(sender, recipient),
        partition: 0,
        sender,
        recipient: Some(recipient),
        kind: MessageKind::Text,
        content: vec![0],
        iv: vec![0; 16],
        mac: vec![0; 32],
        key_id: 1,
        reply_to: None,
        mentions: None,
        client_message_id: None,
        created_at: OffsetDateTime::now_utc(),
        is_expired: false,
        metadata: None,
    }
}

const PATIENCE: Patience = Patience { lock: Duration::from_secs(1), whole: Duration::from_secs(10) };

/// A database with a few users and a worker that leases partition 0.
async fn stage(name: &'static str) -> (session::Database, sqlx::PgPool, WorkerId) {
    let (database, others) = session::tests::database(name, false).await;
    let worker = WorkerId(Uuid::now_v7());
    let users = "INSERT INTO users_auth (user_id, username) VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')";
    sqlx::raw_sql(users).execute(&others).await.unwrap();
    let lease = "INSERT INTO partition_leases (partition, owner, epoch) VALUES (0, $1, 7)";
    sqlx::query(lease).bind(worker.0).execute(&others).await.unwrap();
    (database, others, worker)
}

fn rows(messages: Vec<NewMessage>) -> SendRows {
    let mut rows = SendRows::default();
    messages.into_iter().for_each(|message| rows.push(message));
    rows
}

const LEASES: [Lease; 1] = [Lease { partition: 0, epoch: 7 }];

#[tokio::test]
async fn a_batch_of_direct_messages_is_numbered_in_its_order() {
    let (database, others, worker) = stage("directorder").await;
    let mut db = database.acquire().await.unwrap();
    sqlx::raw_sql("INSERT INTO user_follows (follower_id, followee_id) VALUES (2, 3)").execute(&others).await.unwrap();
    let pairs = [(1, 2), (2, 3), (2, 1), (1, 2), (3, 4), (3, 2)];
    for round in 0..2 {
        let batch = rows(pairs.iter().map(|(sender, recipient)| message(*sender, *recipient)).collect());
        let ids = batch.message_id.clone();
        let stored = direct::insert(&mut db, worker, &LEASES, false, &batch, PATIENCE).await.unwrap().expect("stored");
        let seqs: Vec<i64> = stored.iter().map(|verdict| verdict.seq).collect();
        assert_eq!(
            seqs,
            [1, 1, 2, 3, 1, 2].iter().zip([3, 2, 3, 3, 1, 2]).map(|(n, all)| n + round * all).collect::<Vec<_>>()
        );
        let names: String = stored.iter().map(|verdict| verdict.sender_username.as_str()).collect();
        assert_eq!(names, "abbacc");
        assert_eq!(
            stored.iter().map(|verdict| verdict.following).collect::<Vec<_>>(),
            pairs.map(|pair| pair == (2, 3))
        );
        for (id, verdict) in ids.iter().zip(&stored) {
            let row: (i64, i64) = sqlx::query_as("SELECT seq, version FROM private_messages WHERE message_id = $1")
                .bind(id)
                .fetch_one(&others)
                .await
                .unwrap();
            assert_eq!(row, (verdict.seq, verdict.version.unwrap()));
            assert_eq!(verdict.version, Some(verdict.seq + 1));
        }
        // Repeated, it is recognised by the other statement.
        assert!(direct::insert(&mut db, worker, &LEASES, false, &batch, PATIENCE).await.unwrap().is_none());
        let again = insert_messages(&mut db, worker, &LEASES, false, &batch, PATIENCE).await.unwrap();
        assert!(again.iter().all(|verdict| verdict.kind == VerdictKind::Applied));
        assert_eq!(again.iter().map(|verdict| verdict.seq).collect::<Vec<_>>(), seqs);
    }
    let members =
        "SELECT string_agg(m.user_id::text, '' ORDER BY m.conversation_id, m.user_id) FROM conversation_members m";
    assert_eq!(sqlx::query_scalar::<_, String>(members).fetch_one(&others).await.unwrap(), "122334");
    let last = "SELECT string_agg(last_seq || '/' || message_count, ' ' ORDER BY conversation_id) FROM conversations";
    assert_eq!(sqlx::query_scalar::<_, String>(last).fetch_one(&others).await.unwrap(), "6/6 4/4 2/2");
}

/// One unusual message leaves the whole batch to the statement that tells them apart.
#[tokio::test]
async fn a_batch_with_anything_unusual_is_not_stored_as_direct_messages() {
    let (database, others, worker) = stage("directunusual").await;
    let mut db = database.acquire().await.unwrap();
    let first = NewMessage { client_message_id: Some("one".to_owned()), ..message(1, 2) };
    let (stored, removed) = (first.message, MessageId(Uuid::now_v7()));
    let verdicts = insert_messages(&mut db, worker, &LEASES, false, &rows(vec![first]), PATIENCE).await.unwrap();
    assert_eq!(verdicts[0].kind, VerdictKind::Stored);
    sqlx::raw_sql("INSERT INTO blocked_relationships (blocker_id, blocked_id) VALUES (3, 1), (2, 4)")
        .execute(&others)
        .await
        .unwrap();
    sqlx::query("INSERT INTO applied_commands (command_id) VALUES ($1)")
        .bind(removed.0)
        .execute(&others)
        .await
        .unwrap();
    let unusual: [(&str, NewMessage, VerdictKind); 8] = [
        ("to who blocks", message(1, 3), VerdictKind::Blocked),
        ("to who is blocked", message(2, 4), VerdictKind::Blocked),
        ("to nobody", message(1, 99), VerdictKind::UnknownRecipient),
        ("from nobody", message(99, 1), VerdictKind::UnknownSender),
        ("stored before", NewMessage { message: stored, ..message(1, 2) }, VerdictKind::Applied),
        ("repeated", NewMessage { client_message_id: Some("one".to_owned()), ..message(1, 4) }, VerdictKind::Duplicate),
        ("deleted since", NewMessage { message: removed, ..message(1, 2) }, VerdictKind::Removed),
        ("expired", NewMessage { is_expired: true, ..message(1, 2) }, VerdictKind::Expired),
    ];
    for (what, message_of_it, kind) in unusual {
        let batch = rows(vec![message(1, 2), message_of_it]);
        let direct = direct::insert(&mut db, worker, &LEASES, false, &batch, PATIENCE).await.unwrap();
        assert!(direct.is_none(), "{what}");
        let verdicts = insert_messages(&mut db, worker, &LEASES, false, &batch, PATIENCE).await.unwrap();
        assert_eq!([verdicts[0].kind, verdicts[1].kind], [VerdictKind::Stored, kind], "{what}");
    }
    let batch = rows(vec![message(1, 2), message(2, 1)]);
    let direct = direct::insert(&mut db, worker, &LEASES, true, &batch, PATIENCE).await.unwrap();
    assert!(direct.is_none(), "where followers alone may write");
    let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM private_messages");
    assert_eq!(count.fetch_one(&others).await.unwrap(), 1 + 8);
}

/// A worker that was paused, and does not know yet that another has taken over. One message and several are stored
/// by different statements.
#[tokio::test]
async fn nothing_is_stored_for_a_lease_that_is_lost() {
    let (database, others, worker) = stage("leaselost").await;
    let other = WorkerId(Uuid::now_v7());
    let mut db = database.acquire().await.unwrap();
    for (owner, epoch, kind, stored) in [
        (worker, 6, VerdictKind::LeaseLost, 0),
        (other, 7, VerdictKind::LeaseLost, 0),
        (worker, 7, VerdictKind::Stored, 3),
    ] {
        for size in [1, 2] {
            let batch = rows((0..size).map(|_| message(1, 2)).collect());
            let leases = [Lease { partition: 0, epoch }];
            let verdicts = insert_messages(&mut db, owner, &leases, false, &batch, PATIENCE).await.unwrap();
            assert!(verdicts.iter().all(|verdict| verdict.kind == kind), "{size} of epoch {epoch}");
        }
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM private_messages");
        assert_eq!(count.fetch_one(&others).await.unwrap(), stored);
    }
}

/// The steps of a plan that read a table.
fn scans<'a>(plan: &'a Value, found: &mut Vec<&'a Value>) {
    if plan["Relation Name"].is_string() && plan["Node Type"] != "ModifyTable" {
        found.push(plan);
    }
    plan["Plans"].as_array().into_iter().flatten().for_each(|step| scans(step, found));
}

/// They are planned once, perhaps while the tables are empty and reading all of them seems cheap.
#[tokio::test]
async fn everything_is_looked_up_by_keys() {
    let (database, _others, worker) = stage("sendsplans").await;
    let mut db = database.acquire().await.unwrap();
    for (setting, value) in PLANNING {
        sqlx::query(&format!("SET {setting} = {value}")).execute(&mut db).await.unwrap();
    }
    let to_nobody_too = rows(vec![message(1, 2), message(1, 99)]);
    for batch in [rows(vec![message(1, 2)]), rows(vec![message(1, 2), message(2, 3)]), to_nobody_too] {
        insert_messages(&mut db, worker, &LEASES, false, &batch, PATIENCE).await.unwrap();
    }
    let kept = "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements WHERE statement ~ '^\\s*WITH'";
    let statements: Vec<(String, i32)> = sqlx::query_as(kept).fetch_all(&mut db).await.unwrap();
    assert_eq!(statements.len(), 3, "for one, for direct messages, and for everything");
    for (name, parameters) in statements {
        let arguments = vec!["NULL"; parameters as usize].join(", ");
        let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE {name}({arguments})");
        let plan: Value = sqlx::query_scalar(&explain).fetch_one(&mut db).await.unwrap();
        let mut found = Vec::new();
        scans(&plan[0]["Plan"], &mut found);
        assert!(found.len() >= 8, "{found:?}");
        for scan in found {
            assert!(scan["Index Cond"].is_string(), "{scan}");
        }
    }
}
