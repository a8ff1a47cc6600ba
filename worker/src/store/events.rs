//! `event_log` and `event_queue`: durable events for single users, stored in the transaction that caused them. Events
//! for all participants of a conversation are in [`super::shared_events`].

use super::columns::raw;
use crate::store::session::PgSession;
use shared::ids::{ConversationId, EventId, UserId};

/// Stores one event for these users. `body` is sealed under the event's id.
pub async fn insert_event(
    db: &mut PgSession,
    event_id: EventId,
    conversation: Option<ConversationId>,
    body: &[u8],
    recipients: &[UserId],
) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH logged AS (
             INSERT INTO event_log (event_id, conversation_id, body) VALUES ($1, $2, $3)
         )
         INSERT INTO event_queue (user_id, event_id) SELECT DISTINCT unnest($4::bigint[]), $1::uuid",
        event_id.0,
        conversation.map(|id| id.to_string()),
        body,
        &raw(recipients)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Marks events as delivered to users; the arrays are parallel.
pub async fn update_delivered(db: &mut PgSession, users: &[UserId], events: &[EventId]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE event_queue AS q SET delivered_at = now()
         FROM unnest($1::bigint[], $2::uuid[]) AS d (user_id, event_id)
         WHERE q.user_id = d.user_id AND q.event_id = d.event_id AND q.delivered_at IS NULL",
        &raw(users),
        &raw(events)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Stores events that each concern one user; the arrays are parallel.
pub async fn insert_single_events(
    db: &mut PgSession,
    conversation: ConversationId,
    events: &[EventId],
    bodies: &[Vec<u8>],
    users: &[UserId],
) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH logged AS (
             INSERT INTO event_log (event_id, conversation_id, body)
             SELECT event_id, $1, body FROM unnest($2::uuid[], $3::bytea[]) AS e (event_id, body)
         )
         INSERT INTO event_queue (user_id, event_id) SELECT * FROM unnest($4::bigint[], $2::uuid[])",
        conversation.to_string(),
        &raw(events),
        bodies,
        &raw(users)
    )
    .execute(db)
    .await?;
    Ok(())
}
