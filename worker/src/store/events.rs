//! `event_log` and `event_queue`: durable events that are not messages, stored in the transaction that caused them.

use crate::store::session::PgSession;
use uuid::Uuid;

/// Stores one event for these users. `body` is sealed under the event's id.
pub async fn insert_event(
    db: &mut PgSession,
    event_id: Uuid,
    conversation_id: Option<&str>,
    body: &[u8],
    recipients: &[i64],
) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH logged AS (
             INSERT INTO event_log (event_id, conversation_id, body) VALUES ($1, $2, $3)
         )
         INSERT INTO event_queue (user_id, event_id) SELECT DISTINCT unnest($4::bigint[]), $1::uuid",
        event_id,
        conversation_id,
        body,
        recipients
    )
    .execute(db)
    .await?;
    Ok(())
}

/// As [`insert_event`], for an event about a message: it goes when the message is deleted for everyone.
pub async fn insert_message_event(
    db: &mut PgSession,
    event_id: Uuid,
    conversation_id: &str,
    message: Uuid,
    body: &[u8],
    recipients: &[i64],
) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH logged AS (
             INSERT INTO event_log (event_id, conversation_id, message_id, body) VALUES ($1, $2, $3, $4)
         )
         INSERT INTO event_queue (user_id, event_id) SELECT DISTINCT unnest($5::bigint[]), $1::uuid",
        event_id,
        conversation_id,
        message,
        body,
        recipients
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Marks events as delivered to users; the arrays go in pairs.
pub async fn update_delivered(db: &mut PgSession, users: &[i64], events: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE event_queue AS q SET delivered_at = now()
         FROM unnest($1::bigint[], $2::uuid[]) AS d (user_id, event_id)
         WHERE q.user_id = d.user_id AND q.event_id = d.event_id AND q.delivered_at IS NULL",
        users,
        events
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Stores events that concern one user each; the arrays go in threes.
pub async fn insert_single_events(
    db: &mut PgSession,
    conversation_id: &str,
    events: &[Uuid],
    bodies: &[Vec<u8>],
    users: &[i64],
) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH logged AS (
             INSERT INTO event_log (event_id, conversation_id, body)
             SELECT event_id, $1, body FROM unnest($2::uuid[], $3::bytea[]) AS e (event_id, body)
         )
         INSERT INTO event_queue (user_id, event_id) SELECT * FROM unnest($4::bigint[], $2::uuid[])",
        conversation_id,
        events,
        bodies,
        users
    )
    .execute(db)
    .await?;
    Ok(())
}
