//! Everything that is stored about one user, one part at a time, for a backend that exports it. `chatctl user export`
//! reads the same data.

use super::columns::Typed;
use crate::store::session::PgSession;
use shared::ids::{EventId, MessageId, UserId};
use time::OffsetDateTime;

/// A row as JSON, and the digest that it is ordered by.
pub struct Row {
    pub digest: String,
    pub json: String,
}

/// The rows of one section after the one with this digest. The tables have no other order in common.
pub async fn list_rows(
    db: &mut PgSession,
    user: UserId,
    section: &str,
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"SELECT digest AS "digest!", line AS "json!"
           FROM (SELECT md5(line) COLLATE "C" AS digest, line FROM chat_personal_data($1, $2) AS line) AS rows
           WHERE digest > $3 ORDER BY digest LIMIT $4"#,
        user.0,
        section,
        after,
        limit
    )
    .fetch_all(db)
    .await
}

/// The message that is `skip` messages after this one, from any sender; `None` if there are fewer.
pub async fn find_later_message(db: &mut PgSession, after: MessageId, skip: i64) -> sqlx::Result<Option<MessageId>> {
    let found = sqlx::query_scalar!(
        "SELECT message_id FROM private_messages WHERE message_id > $1 ORDER BY message_id OFFSET $2 LIMIT 1",
        after.0,
        skip
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(MessageId))
}

pub struct StoredMessage {
    pub message_id: MessageId,
    /// As stored: an export leaves nothing out.
    pub conversation_id: String,
    pub seq: i64,
    pub sender_id: UserId,
    pub content: Vec<u8>,
    pub iv: Vec<u8>,
    pub mac: Option<Vec<u8>>,
    pub key_id: i16,
    pub created_at: OffsetDateTime,
    pub edited_at: Option<OffsetDateTime>,
    pub reply_to_message_id: Option<MessageId>,
    /// The sender's own id for it.
    pub client_message_id: Option<String>,
    /// Sealed.
    pub metadata: Option<Vec<u8>>,
}

/// Messages after one and up to another: those that the user sent anywhere, and those received in direct conversations
/// and not put away.
pub async fn list_messages(
    db: &mut PgSession,
    user: UserId,
    after: MessageId,
    through: MessageId,
    limit: i64,
) -> sqlx::Result<Vec<StoredMessage>> {
    sqlx::query_as!(
        StoredMessage,
        r#"SELECT p.message_id, p.conversation_id, p.seq, p.sender_id, p.content, p.iv, p.mac, p.key_id, p.created_at, p.edited_at,
             p.reply_to_message_id AS "reply_to_message_id!: Typed<Option<MessageId>>", CASE WHEN p.sender_id = $1 THEN p.client_message_id END AS client_message_id,
             p.metadata
         FROM private_messages p
         WHERE p.message_id > $2 AND p.message_id <= $3
             AND (p.sender_id = $1
                  OR (p.recipient_id = $1
                      AND p.seq > coalesce((SELECT m.cleared_seq FROM conversation_members m
                                            WHERE m.user_id = $1 AND m.conversation_id = p.conversation_id), 0)
                      AND NOT EXISTS (SELECT FROM message_deletions d
                                      WHERE d.user_id = $1 AND d.conversation_id = p.conversation_id AND d.seq = p.seq)))
         ORDER BY p.message_id LIMIT $4"#,
        user.0,
        after.0,
        through.0,
        limit
    )
    .fetch_all(db)
    .await
}

pub struct StoredEvent {
    pub event_id: EventId,
    pub body: Vec<u8>,
    pub created_at: OffsetDateTime,
    pub delivered_at: Option<OffsetDateTime>,
}

/// Events after this one that wait for the user or were delivered recently.
pub async fn list_events(
    db: &mut PgSession,
    user: UserId,
    after: EventId,
    limit: i64,
) -> sqlx::Result<Vec<StoredEvent>> {
    sqlx::query_as!(
        StoredEvent,
        "SELECT q.event_id, l.body, q.created_at, q.delivered_at
         FROM event_queue q JOIN event_log l USING (event_id)
         WHERE q.user_id = $1 AND q.event_id > $2 ORDER BY q.event_id LIMIT $3",
        user.0,
        after.0,
        limit
    )
    .fetch_all(db)
    .await
}
