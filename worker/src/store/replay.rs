//! What users missed: messages past their delivery cursors, and undelivered durable events. First only which ones and
//! when, for many users at once; the contents are read later, page by page.

use super::columns::{Column, raw, readable};
use crate::store::session::PgSession;
use shared::ids::{ConversationId, EventId, GroupId, MessageId, UserId};
use time::OffsetDateTime;
use uuid::Uuid;

/// A message that a user missed.
pub struct MissedMessage {
    pub user_id: UserId,
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    /// The conversation's version that the message made; unknown for old messages.
    pub version: Option<i64>,
    pub created_at: OffsetDateTime,
}

/// The newest `limit` missed messages of each conversation of these users, by conversation and number. A user's own and
/// hidden messages are left out. If a user missed very many, only the most recently active conversations are read,
/// until they hold several times the limit, and in each no more than ten times as many messages as the limit, so that the
/// work is bounded by the limit however much was missed or left out. A missed message that lies further back, behind so
/// many of the user's own or hidden ones, is left to the history.
pub async fn list_missed_messages(
    db: &mut PgSession,
    users: &[UserId],
    limit: i64,
) -> sqlx::Result<Vec<MissedMessage>> {
    // Hidden messages are looked up by key: `OFFSET 0` keeps the planner from reading all of them.
    let rows = sqlx::query!(
        r#"SELECT m.user_id, p.message_id AS "message_id!", m.conversation_id, p.version AS "version?",
               p.created_at AS "created_at!"
           FROM (
               SELECT m.user_id, m.conversation_id, greatest(m.delivered_seq, m.cleared_seq) AS after,
                   coalesce(sum(least(c.last_seq - greatest(m.delivered_seq, m.cleared_seq), $2)) OVER (
                       PARTITION BY m.user_id ORDER BY c.last_message_at DESC NULLS LAST, m.conversation_id
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
               FROM conversation_members m
               JOIN conversations c ON c.conversation_id = m.conversation_id
                   AND c.last_seq > greatest(m.delivered_seq, m.cleared_seq)
               WHERE m.user_id = ANY($1)
                   AND (m.conversation_id NOT LIKE 'group\_%' OR EXISTS (
                       SELECT FROM group_chats g WHERE g.group_id = m.conversation_id AND g.deleted_at IS NULL))
           ) m
           CROSS JOIN LATERAL (
               SELECT p.message_id, p.seq, p.version, p.created_at FROM (
                   SELECT p.message_id, p.seq, p.version, p.created_at, p.sender_id FROM private_messages p
                   WHERE p.conversation_id = m.conversation_id AND p.seq > m.after
                   ORDER BY p.seq DESC LIMIT 10 * $2::bigint
               ) p
               WHERE p.sender_id <> m.user_id
                   AND NOT EXISTS (
                       SELECT FROM message_deletions d
                       WHERE d.user_id = m.user_id AND d.conversation_id = m.conversation_id AND d.seq = p.seq OFFSET 0)
               ORDER BY p.seq DESC LIMIT $2
           ) p
           WHERE m.before < 4 * $2
           ORDER BY m.user_id, m.conversation_id, p.seq"#,
        &raw(users),
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    Ok(readable(
        db,
        rows,
        |row| row.message_id,
        |row| {
            Ok(MissedMessage {
                user_id: UserId(row.user_id),
                message_id: MessageId(row.message_id),
                conversation_id: ConversationId::from_stored(row.conversation_id)?,
                version: row.version,
                created_at: row.created_at,
            })
        },
    ))
}

/// A durable event that waits for a user in `event_queue`.
pub struct MissedEvent {
    pub user_id: UserId,
    pub event_id: EventId,
    /// The message that it is about, if any.
    pub message_id: Option<MessageId>,
    /// The group in which the event makes the user a member: both were stored in one transaction, and so have the same
    /// time.
    pub joined: Option<GroupId>,
}

/// The newest `limit` undelivered events of each of these users, oldest first, except those about messages that the
/// user hid, and those of deleted groups that will be deleted, too. Looks at no more than ten times as many.
pub async fn list_missed_events(db: &mut PgSession, users: &[UserId], limit: i64) -> sqlx::Result<Vec<MissedEvent>> {
    let rows = sqlx::query!(
        r#"SELECT u.user_id AS "user_id!", q.event_id AS "event_id!", p.message_id AS "message_id?", g.group_id AS "joined?"
           FROM unnest($1::bigint[]) AS u (user_id)
           CROSS JOIN LATERAL (
               SELECT w.event_id FROM (
                   SELECT event_id FROM event_queue
                   WHERE user_id = u.user_id AND delivered_at IS NULL ORDER BY event_id DESC LIMIT 10 * $2::bigint
               ) w
               WHERE NOT EXISTS (
                   SELECT FROM event_log l
                   JOIN group_chats d ON d.group_id = l.conversation_id AND d.clearing_after IS NOT NULL
                   JOIN group_members o ON o.group_id = d.group_id AND o.user_id = u.user_id
                   WHERE l.event_id = w.event_id OFFSET 0
               )
               ORDER BY w.event_id DESC LIMIT $2
           ) q
           LEFT JOIN event_log l ON l.event_id = q.event_id
           LEFT JOIN private_messages p ON p.message_id = l.message_id
           LEFT JOIN group_members g
               ON g.group_id = l.conversation_id AND g.user_id = u.user_id AND g.joined_at = l.created_at
           WHERE l.message_id IS NULL
               OR NOT EXISTS (SELECT FROM message_deletions d WHERE d.user_id = u.user_id
                              AND d.conversation_id = p.conversation_id AND d.seq = p.seq)
               AND NOT EXISTS (SELECT FROM conversation_members m WHERE m.user_id = u.user_id
                               AND m.conversation_id = p.conversation_id AND m.cleared_seq >= p.seq)
           ORDER BY q.event_id"#,
        &raw(users),
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    Ok(readable(
        db,
        rows,
        |row| row.event_id,
        |row| {
            Ok(MissedEvent {
                user_id: UserId(row.user_id),
                event_id: EventId(row.event_id),
                message_id: row.message_id.map(MessageId),
                joined: Option::from_stored(row.joined)?,
            })
        },
    ))
}

/// Those of these pairs of message and reader where the reader may still see the message: a participant who has not put
/// it away, of a conversation that is not deleted. `OFFSET 0` makes the planner look each up by its key: it would
/// otherwise read all of the reader's conversations, because it expects few.
pub async fn list_visible(
    db: &mut PgSession,
    readers: &[UserId],
    messages: &[MessageId],
) -> sqlx::Result<Vec<(UserId, MessageId)>> {
    let rows = sqlx::query!(
        r#"SELECT r.user_id AS "user_id!", r.message_id AS "message_id!"
           FROM unnest($1::bigint[], $2::uuid[]) AS r (user_id, message_id)
           CROSS JOIN LATERAL (
               SELECT p.conversation_id, p.seq FROM private_messages p WHERE p.message_id = r.message_id OFFSET 0
           ) p
           CROSS JOIN LATERAL (
               SELECT m.cleared_seq FROM conversation_members m
               WHERE m.user_id = r.user_id AND m.conversation_id = p.conversation_id OFFSET 0
           ) m
           WHERE p.seq > m.cleared_seq AND NOT EXISTS (
               SELECT FROM message_deletions d
               WHERE d.user_id = r.user_id AND d.conversation_id = p.conversation_id AND d.seq = p.seq OFFSET 0
           ) AND NOT EXISTS (
               SELECT FROM group_chats g WHERE g.group_id = p.conversation_id AND g.deleted_at IS NOT NULL OFFSET 0
           )"#,
        &raw(readers),
        &raw(messages)
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (UserId(row.user_id), MessageId(row.message_id))).collect())
}

/// Those of these pairs of event and reader where the event still waits for the reader: a member's waiting events are
/// deleted with the membership, or with the group.
pub async fn list_queued(
    db: &mut PgSession,
    readers: &[UserId],
    events: &[EventId],
) -> sqlx::Result<Vec<(UserId, EventId)>> {
    let rows = sqlx::query!(
        r#"SELECT q.user_id, q.event_id
           FROM unnest($1::bigint[], $2::uuid[]) AS r (user_id, event_id)
           JOIN event_queue q ON q.user_id = r.user_id AND q.event_id = r.event_id
           WHERE NOT EXISTS (
               SELECT FROM event_log l
               JOIN group_chats d ON d.group_id = l.conversation_id AND d.clearing_after IS NOT NULL
               JOIN group_members o ON o.group_id = d.group_id AND o.user_id = q.user_id
               WHERE l.event_id = q.event_id OFFSET 0
           )"#,
        &raw(readers),
        &raw(events)
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (UserId(row.user_id), EventId(row.event_id))).collect())
}

/// A stored event, its body still sealed.
pub struct EventBody {
    pub event_id: EventId,
    pub body: Vec<u8>,
}

pub async fn list_event_bodies(db: &mut PgSession, events: &[EventId]) -> sqlx::Result<Vec<EventBody>> {
    sqlx::query_as!(EventBody, "SELECT event_id, body FROM event_log WHERE event_id = ANY($1)", &raw(events))
        .fetch_all(db)
        .await
}

/// The lowest id made at or after this time; ids begin with the time.
pub fn first_id(from: OffsetDateTime) -> Uuid {
    let from_ms = from.unix_timestamp_nanos() / 1_000_000;
    uuid::Builder::from_unix_timestamp_millis(from_ms.max(0) as u64, &[0; 10]).into_uuid()
}

/// The number of the newest message of each conversation that has messages with an id from `from` on (ids begin with
/// the time). Looks at no more than the newest `limit` messages.
pub async fn list_newest_since(
    db: &mut PgSession,
    from: MessageId,
    limit: i64,
) -> sqlx::Result<Vec<(ConversationId, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT conversation_id, max(seq) AS "last!"
           FROM (SELECT conversation_id, seq FROM private_messages WHERE message_id >= $1
                 ORDER BY message_id DESC LIMIT $2) AS recent
           GROUP BY conversation_id"#,
        from.0,
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    Ok(readable(db, rows, |row| row.last, |row| Ok((ConversationId::from_stored(row.conversation_id)?, row.last))))
}

/// Undelivered events with an id from `from` on, the newest `limit`, each with its recipient.
pub async fn list_undelivered_since(
    db: &mut PgSession,
    from: EventId,
    limit: i64,
) -> sqlx::Result<Vec<(UserId, EventId)>> {
    let rows = sqlx::query!(
        "SELECT user_id, event_id FROM event_queue WHERE event_id >= $1 AND delivered_at IS NULL
         ORDER BY event_id DESC LIMIT $2",
        from.0,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (UserId(row.user_id), EventId(row.event_id))).collect())
}

/// The participants of a conversation who may not see all messages from `from` on, with the last number that they may
/// not see: they put those away, or joined later.
pub async fn list_only_after(
    db: &mut PgSession,
    conversation: ConversationId,
    from: i64,
) -> sqlx::Result<Vec<(UserId, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT user_id AS "user_id!", max(after) AS "after!"
           FROM (SELECT user_id, cleared_seq AS after FROM conversation_members
                 WHERE conversation_id = $1 AND cleared_seq >= $2
                 UNION ALL
                 SELECT g.user_id, p.seq FROM group_members g
                 JOIN private_messages p ON p.conversation_id = g.group_id AND p.seq >= $2
                     AND CASE WHEN g.joined_seq IS NULL THEN p.created_at < g.joined_at ELSE p.seq <= g.joined_seq END
                 WHERE g.group_id = $1) AS hidden
           GROUP BY user_id"#,
        conversation.to_string(),
        from
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (UserId(row.user_id), row.after)).collect())
}
