//! The statements that store messages, without a worker around them.

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

/// A worker that was paused, and does not know yet that another has taken over. One message and several are stored
/// by different statements.
#[tokio::test]
async fn nothing_is_stored_for_a_lease_that_is_lost() {
    let (database, others) = session::tests::database("leaselost", false).await;
    let (worker, other) = (WorkerId(Uuid::now_v7()), WorkerId(Uuid::now_v7()));
    sqlx::raw_sql("INSERT INTO users_auth (user_id, username) VALUES (1, 'a'), (2, 'b')")
        .execute(&others)
        .await
        .unwrap();
    let lease = "INSERT INTO partition_leases (partition, owner, epoch) VALUES (0, $1, 7)";
    sqlx::query(lease).bind(worker.0).execute(&others).await.unwrap();
    let mut db = database.acquire().await.unwrap();
    let patience = Patience { lock: Duration::from_secs(1), whole: Duration::from_secs(10) };
    for (owner, epoch, kind, stored) in [
        (worker, 6, VerdictKind::LeaseLost, 0),
        (other, 7, VerdictKind::LeaseLost, 0),
        (worker, 7, VerdictKind::Stored, 3),
    ] {
        for size in [1, 2] {
            let mut rows = SendRows::default();
            (0..size).for_each(|_| rows.push(message(1, 2)));
            let leases = [Lease { partition: 0, epoch }];
            let verdicts = insert_messages(&mut db, owner, &leases, false, &rows, patience).await.unwrap();
            assert!(verdicts.iter().all(|verdict| verdict.kind == kind), "{size} of epoch {epoch}");
        }
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM private_messages");
        assert_eq!(count.fetch_one(&others).await.unwrap(), stored);
    }
}
