//! A direct message that is alone in its batch, as most are while little is sent. Executing the statement for batches
//! takes Postgres half as long again, because of the steps that it has for numbering several messages and for groups.
//! This one only stores what may be stored; why something may not be is left to the other.

use super::{Patience, SendRows, Verdict, VerdictKind};
use crate::store::leases::Lease;
use crate::store::session::{PgSession, interval, milliseconds};
use shared::ids::WorkerId;

/// Stores the message if `rows` are one new direct message that is allowed. Otherwise returns `None`, and nothing is
/// stored.
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
) -> sqlx::Result<Option<Verdict>> {
    let ([lease], [message], [Some(recipient)], [false]) =
        (leases, rows.message_id.as_slice(), rows.recipient_id.as_slice(), rows.expired.as_slice())
    else {
        return Ok(None);
    };
    let stored = sqlx::query!(
        r#"
        WITH fence AS MATERIALIZED (
            SELECT l.partition FROM partition_leases l
            WHERE l.partition = $1 AND l.epoch = $2 AND l.owner = $3 AND set_config('lock_timeout', $4, true) IS NOT NULL
            FOR SHARE
        ),
        accepted AS MATERIALIZED (
            SELECT s.username, s.following
            FROM (
                SELECT u.username, EXISTS (
                    SELECT FROM user_follows f WHERE f.follower_id = $7 AND f.followee_id = $8
                ) AS following
                FROM users_auth u WHERE u.user_id = $7 OFFSET 0
            ) s
            WHERE EXISTS (SELECT FROM fence)
                AND NOT EXISTS (SELECT FROM private_messages p WHERE p.message_id = $5)
                AND NOT EXISTS (SELECT FROM private_messages p WHERE p.sender_id = $7 AND p.client_message_id = $9)
                AND NOT EXISTS (SELECT FROM applied_commands a WHERE a.command_id = $5)
                AND EXISTS (SELECT FROM users_auth u WHERE u.user_id = $8)
                AND NOT EXISTS (SELECT FROM blocked_relationships b WHERE b.blocker_id = $7 AND b.blocked_id = $8)
                AND NOT EXISTS (SELECT FROM blocked_relationships b WHERE b.blocker_id = $8 AND b.blocked_id = $7)
                AND (s.following OR NOT $10)
        ),
        numbered AS (
            INSERT INTO conversations AS c (conversation_id, last_seq, message_count, version, last_message_at)
            SELECT $6, 1, 1, 2, $11 FROM accepted
            ON CONFLICT (conversation_id) DO UPDATE SET
                last_seq = c.last_seq + 1, message_count = c.message_count + 1, version = c.version + 1,
                last_message_at = greatest(c.last_message_at, excluded.last_message_at)
            RETURNING c.last_seq, c.version
        ),
        started AS (
            INSERT INTO conversation_members (user_id, conversation_id)
            SELECT participant, $6 FROM numbered n CROSS JOIN LATERAL unnest(ARRAY[$7, $8]) AS participant
            WHERE n.last_seq = 1
            ON CONFLICT DO NOTHING
        ),
        stored AS (
            INSERT INTO private_messages (
                message_id, conversation_id, seq, sender_id, recipient_id, kind, content, iv, mac, key_id,
                reply_to_message_id, mentions, client_message_id, created_at, version, metadata
            )
            SELECT $5, $6, n.last_seq, $7, $8, $12, $13, $14, $15, $16, $17, $18::text::bigint[], $9, $11, n.version, $19
            FROM numbered n
            -- `now()` is when the transaction began, before all waiting.
            RETURNING seq, version, CASE WHEN clock_timestamp() > now() + $20 THEN chat_reject_late() END
        )
        SELECT coalesce(a.username, '')::text AS "sender_username!", a.following AS "following!", s.seq AS "seq!",
            s.version AS "version!"
        FROM accepted a CROSS JOIN stored s
        "#,
        lease.partition,
        lease.epoch,
        worker.0,
        milliseconds(patience.lock),
        message,
        rows.conversation_id[0],
        rows.sender_id[0],
        recipient,
        rows.client_message_id[0] as _,
        enforce_following,
        rows.created_at[0],
        rows.kind[0],
        rows.content[0],
        rows.iv[0],
        rows.mac[0],
        rows.key_id[0],
        rows.reply_to[0] as _,
        rows.mentions[0] as _,
        rows.metadata.first().and_then(Option::as_deref) as Option<&[u8]>,
        interval(patience.whole),
    )
    .fetch_optional(db)
    .await?;
    Ok(stored.map(|row| Verdict {
        kind: VerdictKind::Stored,
        sender_username: row.sender_username,
        seq: row.seq,
        version: Some(row.version),
        created_at: rows.created_at[0].into(),
        first: None,
        following: row.following,
    }))
}
