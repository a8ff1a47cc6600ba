//! What users missed: messages past their delivery cursors, and durable events not delivered. First only what and when, for
//! many users at once; contents later, page by page.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A message that a user missed.
pub struct MissedMessage {
    pub user_id: i64,
    pub message_id: Uuid,
    pub conversation_id: String,
    pub seq: i64,
    pub created_at: OffsetDateTime,
}

/// The newest `limit` missed messages of each conversation of these users, by conversation and number. A user's own
/// messages and what the user hid are left out.
pub async fn list_missed_messages(
    db: &mut PgConnection,
    users: &[i64],
    limit: i64,
) -> sqlx::Result<Vec<MissedMessage>> {
    sqlx::query_as!(
        MissedMessage,
        r#"SELECT m.user_id, p.message_id AS "message_id!", m.conversation_id, p.seq AS "seq!", p.created_at AS "created_at!"
           FROM conversation_members m
           JOIN conversations c ON c.conversation_id = m.conversation_id
               AND c.last_seq > greatest(m.delivered_seq, m.cleared_seq)
           CROSS JOIN LATERAL (
               SELECT p.message_id, p.seq, p.created_at FROM private_messages p
               WHERE p.conversation_id = m.conversation_id AND p.seq > greatest(m.delivered_seq, m.cleared_seq)
                   AND p.sender_id <> m.user_id
                   AND NOT EXISTS (SELECT FROM message_deletions d
                                   WHERE d.user_id = m.user_id AND d.conversation_id = m.conversation_id AND d.seq = p.seq)
               ORDER BY p.seq DESC LIMIT $2
           ) p
           WHERE m.user_id = ANY($1)
               AND (m.conversation_id NOT LIKE 'group\_%' OR EXISTS (
                   SELECT FROM group_chats g WHERE g.group_id = m.conversation_id AND g.deleted_at IS NULL))
           ORDER BY m.user_id, m.conversation_id, p.seq"#,
        users,
        limit
    )
    .fetch_all(db)
    .await
}

/// A durable event that a user missed.
pub struct MissedEvent {
    pub user_id: i64,
    pub event_id: Uuid,
}

/// The newest `limit` undelivered events of each of these users, oldest first.
pub async fn list_missed_events(db: &mut PgConnection, users: &[i64], limit: i64) -> sqlx::Result<Vec<MissedEvent>> {
    sqlx::query_as!(
        MissedEvent,
        r#"SELECT u.user_id AS "user_id!", q.event_id AS "event_id!"
           FROM unnest($1::bigint[]) AS u (user_id)
           CROSS JOIN LATERAL (
               SELECT event_id FROM event_queue
               WHERE user_id = u.user_id AND delivered_at IS NULL ORDER BY event_id DESC LIMIT $2
           ) q
           ORDER BY q.event_id"#,
        users,
        limit
    )
    .fetch_all(db)
    .await
}

/// A stored event, its body still sealed.
pub struct EventBody {
    pub event_id: Uuid,
    pub body: Vec<u8>,
}

pub async fn list_event_bodies(db: &mut PgConnection, events: &[Uuid]) -> sqlx::Result<Vec<EventBody>> {
    sqlx::query_as!(EventBody, "SELECT event_id, body FROM event_log WHERE event_id = ANY($1)", events)
        .fetch_all(db)
        .await
}
