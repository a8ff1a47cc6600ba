//! What is deleted for good in the background: deleted groups with everything in them, messages deleted from direct
//! conversations, and events and applied commands that are too old. Every statement is bounded, so that none locks its
//! rows for long.

use super::columns::{Spelled, Typed, raw, typed};
use shared::ids::{ConversationId, EventId, GroupId, UserId};
use std::time::Duration;

use crate::store::session::{PgSession, interval};
use time::OffsetDateTime;

/// A group whose retention has ended, and of which nothing waits for members, locked until the end of the transaction;
/// other workers skip it meanwhile.
pub async fn find_deleted_group(db: &mut PgSession, after: Duration) -> sqlx::Result<Option<Spelled>> {
    let group = sqlx::query_scalar!(
        "SELECT group_id FROM group_chats WHERE deleted_at <= now() - $1::interval AND clearing_after IS NULL
         ORDER BY deleted_at LIMIT 1 FOR UPDATE SKIP LOCKED",
        interval(after)
    )
    .fetch_optional(db)
    .await?;
    Ok(group.map(Spelled::from))
}

/// Records that a direct conversation's messages up to a number must be deleted. No other transaction deletes them
/// until this one ends.
pub async fn insert_purge(db: &mut PgSession, conversation: ConversationId, up_to: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO conversation_purges (conversation_id, up_to_seq) VALUES ($1, $2)
         ON CONFLICT (conversation_id) DO UPDATE SET up_to_seq = excluded.up_to_seq",
        conversation.to_string(),
        up_to
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete_purge(db: &mut PgSession, conversation: &Spelled) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM conversation_purges WHERE conversation_id = $1", conversation.0).execute(db).await?;
    Ok(())
}

/// A direct conversation whose messages up to a number must be deleted.
pub struct Purge {
    pub conversation_id: Spelled,
    pub up_to_seq: i64,
}

/// One of them, locked until the end of the transaction; other workers skip it meanwhile.
pub async fn find_purge(db: &mut PgSession) -> sqlx::Result<Option<Purge>> {
    sqlx::query_as!(
        Purge,
        "SELECT conversation_id, up_to_seq FROM conversation_purges ORDER BY since LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    .fetch_optional(db)
    .await
}

/// Deletes up to `limit` messages of a conversation up to a number, with their reactions and events; returns how many.
/// Their ids are remembered for as long as a redelivered send could still be stored; its deadline ends long before a
/// day has passed.
pub async fn delete_messages(db: &mut PgSession, conversation: &Spelled, up_to: i64, limit: i64) -> sqlx::Result<u64> {
    let deleted = sqlx::query_scalar!(
        r#"WITH chosen AS MATERIALIZED (
               SELECT message_id FROM private_messages WHERE conversation_id = $1 AND seq <= $2 ORDER BY seq LIMIT $3
           ),
           reactions AS (DELETE FROM message_reactions WHERE message_id IN (SELECT message_id FROM chosen)),
           hidden AS (DELETE FROM message_deletions WHERE message_id IN (SELECT message_id FROM chosen)),
           told AS (DELETE FROM event_log WHERE message_id IN (SELECT message_id FROM chosen) RETURNING event_id),
           waiting AS (DELETE FROM event_queue WHERE event_id IN (SELECT event_id FROM told)),
           shared AS (
               UPDATE conversation_changes SET event_id = NULL, actor_id = NULL, about = NULL, body = NULL
               WHERE conversation_id = $1 AND about IN (SELECT message_id FROM chosen)
           ),
           messages AS (
               DELETE FROM private_messages WHERE message_id IN (SELECT message_id FROM chosen)
               RETURNING message_id, created_at
           ),
           remembered AS (
               INSERT INTO applied_commands (command_id)
               SELECT message_id FROM messages WHERE created_at > now() - interval '1 day' ON CONFLICT DO NOTHING
           )
           SELECT count(*) AS "count!" FROM messages"#,
        conversation.0,
        up_to,
        limit
    )
    .fetch_one(db)
    .await?;
    Ok(deleted.unsigned_abs())
}

/// Deletes what remains of a group without messages: members, cursors, mutes, bans, and the group itself.
pub async fn delete_group(db: &mut PgSession, group: &Spelled) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH members AS (DELETE FROM group_members WHERE group_id = $1),
              cursors AS (DELETE FROM conversation_members WHERE conversation_id = $1),
              sanctions AS (DELETE FROM group_sanctions WHERE group_id = $1),
              conversation AS (DELETE FROM conversations WHERE conversation_id = $1)
         DELETE FROM group_chats WHERE group_id = $1",
        group.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// True if no more than `most` events wait for all members of a group together, from anywhere. Reads no more of them
/// than that.
pub async fn has_few_waiting(db: &mut PgSession, group: GroupId, most: i64) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT count(*) <= $2::bigint AS "few!" FROM (
               SELECT FROM group_members m
               CROSS JOIN LATERAL (
                   SELECT FROM event_queue q WHERE q.user_id = m.user_id AND q.delivered_at IS NULL LIMIT $2::bigint + 1
               ) waiting
               WHERE m.group_id = $1 LIMIT $2::bigint + 1
           ) counted"#,
        group.to_string(),
        most
    )
    .fetch_one(db)
    .await
}

/// A deleted group of which events may wait for members.
pub struct Clearing {
    pub group_id: GroupId,
    /// None wait for members with ids up to this one.
    pub after: UserId,
}

/// One of them, locked until the end of the transaction; other workers skip it meanwhile.
pub async fn find_clearing(db: &mut PgSession) -> sqlx::Result<Option<Clearing>> {
    let found = sqlx::query!(
        r#"SELECT group_id AS "group_id: Typed<GroupId>", clearing_after AS "after!" FROM group_chats
           WHERE clearing_after IS NOT NULL ORDER BY deleted_at LIMIT 1 FOR UPDATE SKIP LOCKED"#
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|row| Clearing { group_id: row.group_id.into(), after: UserId(row.after) }))
}

/// Stores how far a deleted group's waiting events are deleted; `None` if all of them are.
pub async fn update_clearing(db: &mut PgSession, group: GroupId, after: Option<UserId>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE group_chats SET clearing_after = $2 WHERE group_id = $1",
        group.to_string(),
        after.map(|user| user.0)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes the waiting events of these users that come from a conversation.
pub async fn delete_waiting_events(
    db: &mut PgSession,
    conversation: ConversationId,
    users: &[UserId],
) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM event_queue q
         WHERE q.user_id = ANY($2) AND q.delivered_at IS NULL
             AND (SELECT l.conversation_id FROM event_log l WHERE l.event_id = q.event_id) = $1",
        conversation.to_string(),
        &raw(users)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// True if this transaction is the only one that cleans up; others then do not.
pub async fn try_lock(db: &mut PgSession, key: i64) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "locked!""#, key).fetch_one(db).await
}

/// Deletes up to `limit` applied commands that are older than `age`; returns how many.
pub async fn delete_applied_commands(db: &mut PgSession, age: Duration, limit: i64) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "DELETE FROM applied_commands WHERE command_id IN (
             SELECT command_id FROM applied_commands WHERE applied_at < now() - $1::interval
             ORDER BY applied_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        interval(age),
        limit
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}

/// Users with more than `most` waiting events, up to `limit` users.
pub async fn list_crowded(db: &mut PgSession, most: i64, limit: i64) -> sqlx::Result<Vec<UserId>> {
    let users = sqlx::query_scalar!(
        "SELECT user_id FROM event_queue WHERE delivered_at IS NULL GROUP BY user_id HAVING count(*) > $1 LIMIT $2",
        most,
        limit
    )
    .fetch_all(db)
    .await?;
    typed(users)
}

/// Those of these users who have more than `most` waiting events.
pub async fn list_crowded_among(db: &mut PgSession, users: &[UserId], most: i64) -> sqlx::Result<Vec<UserId>> {
    let users = sqlx::query_scalar!(
        r#"SELECT u.user_id AS "user_id!" FROM unnest($1::bigint[]) AS u (user_id)
           WHERE EXISTS (SELECT FROM event_queue q WHERE q.user_id = u.user_id AND q.delivered_at IS NULL
                         ORDER BY q.event_id OFFSET $2 LIMIT 1)"#,
        &raw(users),
        most
    )
    .fetch_all(db)
    .await?;
    typed(users)
}

/// How many events wait for each of these users, counted up to `most`.
pub async fn count_waiting(db: &mut PgSession, users: &[UserId], most: i64) -> sqlx::Result<Vec<(UserId, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT u.user_id AS "user_id!", w.waiting AS "waiting!"
           FROM unnest($1::bigint[]) AS u (user_id)
           CROSS JOIN LATERAL (
               SELECT count(*) AS waiting FROM (
                   SELECT FROM event_queue q WHERE q.user_id = u.user_id AND q.delivered_at IS NULL LIMIT $2
               ) counted
           ) w"#,
        &raw(users),
        most
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (UserId(row.user_id), row.waiting)).collect())
}

/// Deletes up to `limit` of a user's oldest waiting events, keeping the newest `kept`; returns how many.
pub async fn delete_surplus_events(db: &mut PgSession, user: UserId, kept: i64, limit: i64) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "DELETE FROM event_queue q USING (
             SELECT event_id FROM event_queue WHERE user_id = $1 AND delivered_at IS NULL
             ORDER BY event_id DESC OFFSET $2 LIMIT $3
         ) surplus
         WHERE q.user_id = $1 AND q.event_id = surplus.event_id",
        user.0,
        kept,
        limit
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}

/// A position in `event_log`, which is walked from the oldest event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPlace {
    pub created_at: OffsetDateTime,
    pub event_id: EventId,
}

/// The next `limit` events after `after` that are older than `age`.
pub async fn list_old_events(
    db: &mut PgSession,
    after: LogPlace,
    age: Duration,
    limit: i64,
) -> sqlx::Result<Vec<LogPlace>> {
    sqlx::query_as!(
        LogPlace,
        "SELECT created_at, event_id FROM event_log
         WHERE created_at >= $1 AND (created_at, event_id) > ($1, $2) AND created_at < now() - $3::interval
         ORDER BY created_at, event_id LIMIT $4",
        after.created_at,
        after.event_id.0,
        interval(age),
        limit
    )
    .fetch_all(db)
    .await
}

/// Deletes the rows of these events that were kept long enough, and the events without recipients; returns how many
/// rows of the queue.
pub async fn delete_old_events(
    db: &mut PgSession,
    events: &[EventId],
    delivered: Duration,
    undelivered: Duration,
) -> sqlx::Result<u64> {
    let rows = sqlx::query!(
        "DELETE FROM event_queue
         WHERE event_id = ANY($1)
             AND (delivered_at < now() - $2::interval OR created_at < now() - $3::interval)",
        &raw(events),
        interval(delivered),
        interval(undelivered)
    )
    .execute(&mut *db)
    .await?;
    // A separate statement, because it has to see what the first one left.
    sqlx::query!(
        "DELETE FROM event_log l WHERE event_id = ANY($1)
             AND NOT EXISTS (SELECT FROM event_queue q WHERE q.event_id = l.event_id)",
        &raw(events)
    )
    .execute(db)
    .await?;
    Ok(rows.rows_affected())
}
