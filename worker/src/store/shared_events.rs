//! Events for all participants of a conversation, stored once: in `conversation_changes`, with the change that they
//! announce. Each participant has a delivered version; later events are due (the view `due_events`, which also decides
//! who may see what).

use super::columns::{Column, raw, readable};
use crate::store::replay::EventBody;
use crate::store::session::PgSession;
use shared::ids::{ConversationId, EventId, MessageId, UserId};

/// The most events by which a conversation may exceed what it keeps. Up to twice as many are then deleted in one transaction.
const MAX_SPARE: i64 = 1_000;

/// The most events of a conversation, up to the newest received one, that are read to record a user's receipts.
const MAX_LOOKED_AT: i64 = 2_048;

/// How many of the newest events that a user missed in a conversation are counted before the conversation is read.
const COUNTED: i64 = 16;

/// An event to store.
pub struct NewSharedEvent<'a> {
    pub event_id: EventId,
    pub conversation: ConversationId,
    /// The version that the change made; its row must exist.
    pub version: i64,
    /// The user who made the change, and is not notified.
    pub actor: Option<UserId>,
    /// The message that the event is about: the event is deleted when the message is deleted for everyone.
    pub about: Option<MessageId>,
    /// Sealed under the event's id.
    pub body: &'a [u8],
}

/// Stores an event with its change. The transaction has raised the conversation's version, so no other transaction
/// stores one meanwhile. The actor's delivered version moves forward if the actor had received everything of others before. The
/// conversation keeps its newest `kept` events, and up to a tenth more, [`MAX_SPARE`] at most.
///
/// # Errors
/// `RowNotFound` when the change has no row.
pub async fn insert_event(db: &mut PgSession, event: &NewSharedEvent<'_>, kept: i64) -> sqlx::Result<()> {
    let count = sqlx::query_scalar!(
        "WITH before AS (SELECT told_version, told_lost FROM conversations WHERE conversation_id = $1),
         told AS (
             UPDATE conversations SET told_version = $2, told_at = now(), told_count = told_count + 1
             WHERE conversation_id = $1 RETURNING told_count
         ),
         own AS (
             UPDATE conversation_members m SET delivered_version = $2 FROM before
             WHERE m.user_id = $3 AND m.conversation_id = $1 AND (
                 m.delivered_version >= before.told_version
                 OR before.told_lost <= m.delivered_version AND NOT EXISTS (
                     SELECT FROM conversation_changes c WHERE c.conversation_id = $1 AND c.version > m.delivered_version
                         AND c.event_id IS NOT NULL AND c.actor_id IS DISTINCT FROM $3))
         ),
         stored AS (
             UPDATE conversation_changes SET event_id = $4, actor_id = $3, about = $5, body = $6
             WHERE conversation_id = $1 AND version = $2 RETURNING version
         )
         SELECT told_count FROM told, stored",
        event.conversation.to_string(),
        event.version,
        event.actor.map(|actor| actor.0),
        event.event_id.0,
        event.about.map(|message| message.0),
        event.body
    )
    .fetch_one(&mut *db)
    .await?;
    let spare = (kept / 10).min(MAX_SPARE);
    if i64::from(count) > kept + spare {
        delete_surplus(db, event.conversation, kept, 2 * spare).await?;
    }
    Ok(())
}

/// Counts a conversation's events, and deletes the oldest of them beyond the newest `kept`, up to `limit`, and records that
/// they are lost. Their changes stay.
async fn delete_surplus(db: &mut PgSession, conversation: ConversationId, kept: i64, limit: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH counted AS MATERIALIZED (
             SELECT count(*) AS events FROM (
                 SELECT FROM conversation_changes WHERE conversation_id = $1 AND event_id IS NOT NULL
                 LIMIT $2::bigint + $3::bigint
             ) stored
         ),
         oldest AS MATERIALIZED (
             SELECT version FROM conversation_changes WHERE conversation_id = $1 AND event_id IS NOT NULL
             ORDER BY version LIMIT (SELECT greatest(events - $2, 0) FROM counted)
         ),
         forgotten AS (
             UPDATE conversation_changes SET event_id = NULL, actor_id = NULL, about = NULL, body = NULL
             WHERE conversation_id = $1 AND version IN (SELECT version FROM oldest)
         )
         UPDATE conversations SET told_count = least(counted.events, $2),
             told_lost = greatest(told_lost, (SELECT max(version) FROM oldest))
         FROM counted WHERE conversation_id = $1",
        conversation.to_string(),
        kept,
        limit
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A shared event that a user missed.
pub struct MissedSharedEvent {
    pub user_id: UserId,
    pub conversation_id: ConversationId,
    pub version: i64,
    pub event_id: EventId,
}

/// The newest `limit` shared events due to each of these users, by conversation and version. Only the `limit`
/// conversations with the latest events can contain one of them, and each is read from its newest event backwards, no
/// further than the limit; once four times as many may have been read, those of the other conversations are left out.
/// This is what `due_events` defines, in an order that the view leaves to the planner. Also the users who may have missed
/// others: left out (if one of the newest [`COUNTED`] of such a conversation is of others), or no longer kept by a
/// conversation.
pub async fn list_missed(
    db: &mut PgSession,
    users: &[UserId],
    limit: i64,
) -> sqlx::Result<(Vec<MissedSharedEvent>, Vec<UserId>)> {
    let rows = sqlx::query!(
        r#"SELECT u.user_id AS "user_id!", e.conversation_id AS "conversation_id!", e.version AS "version!",
               e.event_id
           FROM unnest($1::bigint[]) AS u (user_id)
           CROSS JOIN LATERAL (
               SELECT m.conversation_id, due.version, due.event_id
               FROM (
                   SELECT counted.*, sum(missed) OVER (ORDER BY told_at DESC, conversation_id) - missed AS before
                   FROM (
                       SELECT latest.*, newest.has_others,
                           CASE WHEN newest.looked_at < $3::bigint THEN newest.looked_at ELSE latest.most_missed END AS missed
                       FROM (
                           SELECT m.conversation_id, m.delivered_version, m.delivered_beyond, m.cleared_seq, c.told_at,
                               c.told_lost, least(c.told_count, c.told_version - m.delivered_version) AS most_missed
                           FROM conversation_members m
                           JOIN conversations c
                               ON c.conversation_id = m.conversation_id AND c.told_version > m.delivered_version
                           WHERE m.user_id = u.user_id AND (m.conversation_id NOT LIKE 'group\_%' OR EXISTS (
                               SELECT FROM group_members g
                               JOIN group_chats h ON h.group_id = g.group_id AND h.deleted_at IS NULL
                               WHERE g.group_id = m.conversation_id AND g.user_id = u.user_id))
                           ORDER BY c.told_at DESC, m.conversation_id LIMIT $2
                       ) latest
                       -- Messages raise versions, too, so only the number of a few events is known without looking.
                       CROSS JOIN LATERAL (
                           SELECT count(*) AS looked_at, bool_or(n.actor_id IS DISTINCT FROM u.user_id
                               AND NOT coalesce(latest.delivered_beyond @> n.version, FALSE)) AS has_others
                           FROM (
                               SELECT c.version, c.actor_id FROM conversation_changes c
                               WHERE c.conversation_id = latest.conversation_id AND c.version > latest.delivered_version
                                   AND c.event_id IS NOT NULL
                               ORDER BY c.version DESC LIMIT $3::bigint
                           ) n
                       ) newest
                   ) counted
               ) m
               CROSS JOIN LATERAL (
                   (SELECT c.version, c.event_id FROM conversation_changes c
                   WHERE m.before < 4 * $2 AND c.conversation_id = m.conversation_id AND c.version > m.delivered_version
                       AND c.event_id IS NOT NULL AND c.actor_id IS DISTINCT FROM u.user_id
                       AND NOT coalesce(m.delivered_beyond @> c.version, FALSE)
                       AND (c.about IS NULL OR (
                           SELECT p.seq > m.cleared_seq AND NOT EXISTS (
                               SELECT FROM message_deletions d
                               WHERE d.user_id = u.user_id AND d.conversation_id = p.conversation_id AND d.seq = p.seq)
                           FROM private_messages p WHERE p.message_id = c.about))
                   ORDER BY c.version DESC LIMIT $2)
                   UNION ALL
                   SELECT m.told_lost, NULL WHERE m.told_lost > m.delivered_version OR m.before >= 4 * $2 AND m.has_others
               ) due
               ORDER BY due.event_id DESC NULLS LAST LIMIT $2
           ) e
           ORDER BY u.user_id, e.conversation_id, e.version"#,
        &raw(users),
        limit,
        COUNTED
    )
    .fetch_all(&mut *db)
    .await?;
    let (events, lost): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.event_id.is_some());
    let events = readable(
        db,
        events,
        |row| row.event_id,
        |row| {
            Ok(MissedSharedEvent {
                user_id: UserId(row.user_id),
                conversation_id: ConversationId::from_stored(row.conversation_id)?,
                version: row.version,
                event_id: EventId(row.event_id.ok_or("no event")?),
            })
        },
    );
    Ok((events, lost.into_iter().map(|row| UserId(row.user_id)).collect()))
}

/// Those of these pairs of event and reader where the event is still due.
pub async fn list_due(
    db: &mut PgSession,
    readers: &[UserId],
    events: &[EventId],
) -> sqlx::Result<Vec<(UserId, EventId)>> {
    let rows = sqlx::query!(
        r#"SELECT r.user_id AS "user_id!", r.event_id AS "event_id!"
           FROM unnest($1::bigint[], $2::uuid[]) AS r (user_id, event_id)
           JOIN due_events d ON d.user_id = r.user_id AND d.event_id = r.event_id"#,
        &raw(readers),
        &raw(events)
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (UserId(row.user_id), EventId(row.event_id))).collect())
}

pub async fn list_bodies(db: &mut PgSession, events: &[EventId]) -> sqlx::Result<Vec<EventBody>> {
    sqlx::query_as!(
        EventBody,
        r#"SELECT event_id AS "event_id!", body AS "body!" FROM conversation_changes WHERE event_id = ANY($1)"#,
        &raw(events)
    )
    .fetch_all(db)
    .await
}

/// Due events with an id from `from` on, the newest `limit`, each with its recipient.
pub async fn list_due_since(db: &mut PgSession, from: EventId, limit: i64) -> sqlx::Result<Vec<(UserId, EventId)>> {
    let rows = sqlx::query!(
        r#"SELECT user_id AS "user_id!", event_id AS "event_id!" FROM due_events WHERE event_id >= $1
           ORDER BY event_id DESC LIMIT $2"#,
        from.0,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (UserId(row.user_id), EventId(row.event_id))).collect())
}

/// Marks shared events as delivered to users; the arrays are parallel, and other events are skipped. Received in order,
/// they move the delivered version; beyond a gap they are remembered as ranges until the gap is filled, the newest
/// hundred of them. Of each conversation, the newest [`MAX_LOOKED_AT`] events up to the last received one are looked at;
/// those before them stay due.
pub async fn update_delivered(db: &mut PgSession, users: &[UserId], events: &[EventId]) -> sqlx::Result<()> {
    // A range begins after the previous event that concerns this user, since the versions in between have nothing for
    // the user.
    sqlx::query!(
        r#"WITH received AS MATERIALIZED (
               SELECT r.user_id, c.conversation_id, range_agg(int8range(c.version, c.version, '[]')) AS versions
               FROM unnest($1::bigint[], $2::uuid[]) AS r (user_id, event_id)
               JOIN conversation_changes c ON c.event_id = r.event_id
               GROUP BY r.user_id, c.conversation_id
           ),
           members AS MATERIALIZED (
               SELECT m.user_id, m.conversation_id, m.cleared_seq, r.versions AS received,
                   coalesce(m.delivered_beyond, '{}') + int8multirange(int8range(0, m.delivered_version, '[]')) AS known
               FROM conversation_members m
               JOIN received r ON r.user_id = m.user_id AND r.conversation_id = m.conversation_id
               ORDER BY m.user_id, m.conversation_id
               FOR UPDATE OF m
           ),
           -- From the end of what was known before the first of them.
           spans AS MATERIALIZED (
               SELECT m.*, m.received - m.known AS fresh,
                   (SELECT max(upper(part) - 1) FROM unnest(m.known) AS part
                    WHERE upper(part) <= lower(m.received - m.known)) AS known_to
               FROM members m WHERE NOT isempty(m.received - m.known)
           ),
           delivered AS MATERIALIZED (
               SELECT s.user_id, s.conversation_id, s.known + (
                   SELECT coalesce(range_agg(int8range(e.before, e.version, '(]')), '{}')
                   FROM (
                       -- Of what is not looked at, something may concern this user.
                       SELECT c.version, lag(c.version, 1, CASE WHEN c.looked_at < $3 THEN s.known_to
                           ELSE c.version - 1 END) OVER (ORDER BY c.version) AS before
                       FROM (
                           SELECT version, actor_id, about, count(*) OVER () AS looked_at
                           FROM (
                               SELECT c.version, c.actor_id, c.about FROM conversation_changes c
                               WHERE c.conversation_id = s.conversation_id AND c.version > s.known_to
                                   AND c.version < upper(s.fresh) AND c.event_id IS NOT NULL
                               ORDER BY c.version DESC LIMIT $3
                           ) newest
                       ) c
                       WHERE c.actor_id IS DISTINCT FROM s.user_id
                           AND (c.about IS NULL OR (
                               SELECT p.seq > s.cleared_seq AND NOT EXISTS (
                                   SELECT FROM message_deletions d
                                   WHERE d.user_id = s.user_id AND d.conversation_id = p.conversation_id AND d.seq = p.seq)
                               FROM private_messages p WHERE p.message_id = c.about))
                   ) e
                   WHERE s.fresh @> e.version) AS versions
               FROM spans s
           )
           UPDATE conversation_members m SET delivered_version = parts.through, delivered_beyond = parts.beyond
           FROM delivered d
           CROSS JOIN LATERAL (
               SELECT max(upper(part) - 1) FILTER (WHERE part @> 0::bigint) AS through,
                   range_agg(part) FILTER (WHERE NOT part @> 0::bigint AND place <= 100) AS beyond
               FROM (SELECT part, row_number() OVER (ORDER BY part DESC) AS place
                     FROM unnest(d.versions) AS part) AS numbered
           ) parts
           WHERE m.user_id = d.user_id AND m.conversation_id = d.conversation_id"#,
        &raw(users),
        &raw(events),
        MAX_LOOKED_AT
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Counts all of a conversation's events for these participants as delivered.
pub async fn update_all_delivered(
    db: &mut PgSession,
    conversation: ConversationId,
    users: &[UserId],
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE conversation_members m SET delivered_version = c.told_version, delivered_beyond = NULL
         FROM conversations c
         WHERE c.conversation_id = $1 AND m.conversation_id = $1 AND m.user_id = ANY($2)
             AND m.delivered_version < c.told_version",
        conversation.to_string(),
        &raw(users)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes up to `limit` events with ids before this one; returns how many. Their changes stay.
pub async fn delete_old(db: &mut PgSession, before: EventId, limit: i64) -> sqlx::Result<u64> {
    let forgotten = sqlx::query!(
        "UPDATE conversation_changes SET event_id = NULL, actor_id = NULL, about = NULL, body = NULL
         WHERE event_id IN (SELECT event_id FROM conversation_changes WHERE event_id < $1 ORDER BY event_id LIMIT $2)",
        before.0,
        limit
    )
    .execute(db)
    .await?;
    Ok(forgotten.rows_affected())
}
