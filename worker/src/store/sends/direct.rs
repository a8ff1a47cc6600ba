//! Batches of new direct messages that are all allowed, which most batches are. Numbering within the batch is known before
//! they are stored, so this statement needs no windows and no groups, and takes a fifth less of Postgres' time. Where anything
//! is unusual it stores nothing, and leaves the whole batch to the one for everything.

use std::collections::HashMap;

use shared::ids::WorkerId;
use time::OffsetDateTime;

use super::{Patience, SendRows, Verdict, VerdictKind};
use crate::store::leases::Lease;
use crate::store::session::{PgSession, interval, milliseconds};

/// The conversations of a batch, column by column.
#[derive(Debug, Default, PartialEq, Eq)]
struct Conversations {
    id: Vec<String>,
    first_user: Vec<i64>,
    second_user: Vec<i64>,
    /// How many messages of the batch it gets.
    messages: Vec<i64>,
    newest_at: Vec<OffsetDateTime>,
    /// For each message of the batch: how many of its conversation come after it.
    later: Vec<i64>,
}

impl Conversations {
    /// `None` unless every message is direct and may still be stored.
    fn of(rows: &SendRows) -> Option<Self> {
        let mut conversations = Conversations::default();
        let mut places: HashMap<&str, usize> = HashMap::with_capacity(rows.conversation_id.len());
        // From the end, because what comes later has to be counted.
        for (at, id) in rows.conversation_id.iter().enumerate().rev() {
            let (Some(recipient), false) = (rows.recipient_id[at], rows.expired[at]) else { return None };
            let created_at = rows.created_at[at];
            let place = *places.entry(id).or_insert_with(|| {
                conversations.id.push(id.clone());
                conversations.first_user.push(rows.sender_id[at]);
                conversations.second_user.push(recipient);
                conversations.messages.push(0);
                conversations.newest_at.push(created_at);
                conversations.id.len() - 1
            });
            conversations.later.push(conversations.messages[place]);
            conversations.messages[place] += 1;
            conversations.newest_at[place] = conversations.newest_at[place].max(created_at);
        }
        conversations.later.reverse();
        Some(conversations)
    }
}

/// Stores the messages if all of `rows` are new direct messages that are allowed, and returns a verdict for each.
/// Otherwise returns `None`, and nothing is stored.
///
/// # Errors
/// As [`super::insert_messages`].
pub async fn insert(
    db: &mut PgSession,
    worker: WorkerId,
    leases: &[Lease],
    enforce_following: bool,
    rows: &SendRows,
    patience: Patience,
) -> sqlx::Result<Option<Vec<Verdict>>> {
    let Some(conversations) = Conversations::of(rows) else { return Ok(None) };
    let partitions: Vec<i32> = leases.iter().map(|lease| lease.partition).collect();
    let epochs: Vec<i64> = leases.iter().map(|lease| lease.epoch).collect();
    let stored = sqlx::query!(
        r#"
        WITH fence AS MATERIALIZED (
            SELECT held.partition FROM unnest($1::int[], $2::bigint[]) AS held (partition, epoch)
            CROSS JOIN LATERAL (
                SELECT FROM partition_leases l
                WHERE l.partition = held.partition AND l.epoch = held.epoch AND l.owner = $3
                FOR SHARE
            ) l
            WHERE set_config('lock_timeout', $4, true) IS NOT NULL
        ),
        -- `OFFSET 0` keeps lookups by a key what they are.
        allowed AS MATERIALIZED (
            SELECT i.message_id, i.ord, sender.username, sender.following
            FROM unnest($5::uuid[], $6::bigint[], $7::bigint[], $8::text[]) WITH ORDINALITY
                AS i (message_id, sender_id, recipient_id, client_message_id, ord)
            CROSS JOIN LATERAL (
                SELECT u.username, EXISTS (
                    SELECT FROM user_follows f
                    WHERE f.follower_id = i.sender_id AND f.followee_id = i.recipient_id OFFSET 0
                ) AS following
                FROM users_auth u WHERE u.user_id = i.sender_id OFFSET 0
            ) sender
            WHERE (SELECT count(*) FROM fence) = cardinality($1)
                AND NOT EXISTS (SELECT FROM private_messages p WHERE p.message_id = i.message_id OFFSET 0)
                AND NOT EXISTS (
                    SELECT FROM private_messages p
                    WHERE p.sender_id = i.sender_id AND p.client_message_id = i.client_message_id OFFSET 0
                )
                AND NOT EXISTS (SELECT FROM applied_commands a WHERE a.command_id = i.message_id OFFSET 0)
                AND EXISTS (SELECT FROM users_auth u WHERE u.user_id = i.recipient_id OFFSET 0)
                AND NOT EXISTS (
                    SELECT FROM blocked_relationships b
                    WHERE b.blocker_id = i.sender_id AND b.blocked_id = i.recipient_id OFFSET 0
                )
                AND NOT EXISTS (
                    SELECT FROM blocked_relationships b
                    WHERE b.blocker_id = i.recipient_id AND b.blocked_id = i.sender_id OFFSET 0
                )
                AND (sender.following OR NOT $9)
        ),
        numbered AS (
            INSERT INTO conversations AS c (conversation_id, last_seq, message_count, version, last_message_at)
            SELECT n.conversation_id, n.messages, n.messages, 1 + n.messages, n.newest_at
            FROM unnest($10::text[], $11::bigint[], $12::timestamptz[]) AS n (conversation_id, messages, newest_at)
            WHERE (SELECT count(*) FROM allowed) = cardinality($5)
            ORDER BY n.conversation_id
            ON CONFLICT (conversation_id) DO UPDATE SET
                last_seq = c.last_seq + excluded.last_seq,
                message_count = c.message_count + excluded.message_count,
                version = c.version + excluded.message_count,
                last_message_at = greatest(c.last_message_at, excluded.last_message_at)
            RETURNING c.conversation_id, c.last_seq, c.version
        ),
        started AS (
            INSERT INTO conversation_members (user_id, conversation_id)
            SELECT participant, s.conversation_id
            FROM unnest($10::text[], $11::bigint[], $13::bigint[], $14::bigint[])
                AS s (conversation_id, messages, first_user, second_user)
            JOIN numbered n ON n.conversation_id = s.conversation_id AND n.last_seq = s.messages
            CROSS JOIN LATERAL unnest(ARRAY[s.first_user, s.second_user]) AS participant
            ON CONFLICT DO NOTHING
        ),
        stored AS (
            INSERT INTO private_messages (
                message_id, conversation_id, seq, sender_id, recipient_id, kind, content, iv, mac, key_id,
                reply_to_message_id, mentions, client_message_id, created_at, version, metadata
            )
            SELECT i.message_id, i.conversation_id, n.last_seq - i.later, i.sender_id, i.recipient_id, i.kind,
                i.content, i.iv, i.mac, i.key_id, i.reply_to, i.mentions::bigint[], i.client_message_id, i.created_at,
                n.version - i.later, i.metadata
            FROM unnest(
                $5::uuid[], $15::text[], $16::bigint[], $6::bigint[], $7::bigint[], $17::smallint[], $18::bytea[],
                $19::bytea[], $20::bytea[], $21::smallint[], $22::uuid[], $23::text[], $8::text[], $24::timestamptz[],
                $25::bytea[]
            ) AS i (
                message_id, conversation_id, later, sender_id, recipient_id, kind, content,
                iv, mac, key_id, reply_to, mentions, client_message_id, created_at,
                metadata
            )
            JOIN numbered n ON n.conversation_id = i.conversation_id
            -- `now()` is when the transaction began, before all waiting.
            RETURNING message_id, seq, version, CASE WHEN clock_timestamp() > now() + $26 THEN chat_reject_late() END
        )
        SELECT coalesce(a.username, '')::text AS "sender_username!", a.following AS "following!", s.seq AS "seq!",
            s.version AS "version!"
        FROM allowed a JOIN stored s ON s.message_id = a.message_id
        ORDER BY a.ord
        "#,
        &partitions,
        &epochs,
        worker.0,
        milliseconds(patience.lock),
        &rows.message_id,
        &rows.sender_id,
        &rows.recipient_id as &[Option<i64>],
        &rows.client_message_id as &[Option<String>],
        enforce_following,
        &conversations.id,
        &conversations.messages,
        &conversations.newest_at,
        &conversations.first_user,
        &conversations.second_user,
        &rows.conversation_id,
        &conversations.later,
        &rows.kind,
        &rows.content,
        &rows.iv,
        &rows.mac,
        &rows.key_id,
        &rows.reply_to as &[Option<uuid::Uuid>],
        &rows.mentions as &[Option<String>],
        &rows.created_at,
        &rows.metadata as &[Option<Vec<u8>>],
        interval(patience.whole),
    )
    .fetch_all(db)
    .await?;
    // All or none.
    if stored.is_empty() {
        return Ok(None);
    }
    let verdicts = stored.into_iter().zip(&rows.created_at).map(|(row, created_at)| Verdict {
        kind: VerdictKind::Stored,
        sender_username: row.sender_username,
        seq: row.seq,
        version: Some(row.version),
        created_at: (*created_at).into(),
        first: None,
        following: row.following,
    });
    Ok(Some(verdicts.collect()))
}
