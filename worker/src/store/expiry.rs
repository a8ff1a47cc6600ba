//! Messages that go because of their age: after `RETENTION`, or after the time that is set for their conversation.

use super::columns::Spelled;
use crate::store::session::PgSession;

/// A conversation, and how long its messages are kept.
pub struct Candidate {
    pub conversation_id: Spelled,
    pub keep_seconds: Option<i64>,
    /// Its oldest message has been kept for that long and for a while more, so that a conversation is trimmed once in a
    /// while, and not of each message alone.
    pub is_due: bool,
}

/// The next `limit` conversations after `after`; `keep_seconds` is for those without a time of their own.
pub async fn list_candidates(
    db: &mut PgSession,
    after: &Spelled,
    keep_seconds: i64,
    limit: i64,
) -> sqlx::Result<Vec<Candidate>> {
    sqlx::query_as!(
        Candidate,
        r#"SELECT c.conversation_id, kept.keep_seconds AS "keep_seconds?", coalesce(oldest.created_at < now()
                   - make_interval(secs => kept.keep_seconds + least(kept.keep_seconds / 10, 86400)), FALSE) AS "is_due!"
           FROM (SELECT conversation_id FROM conversations WHERE conversation_id > $1 ORDER BY conversation_id LIMIT $3) c
           LEFT JOIN conversation_retentions r ON r.conversation_id = c.conversation_id
           CROSS JOIN LATERAL (
               SELECT CASE WHEN r.conversation_id IS NULL THEN $2::bigint ELSE r.keep_seconds END AS keep_seconds
           ) kept
           LEFT JOIN LATERAL (
               SELECT p.created_at FROM private_messages p WHERE p.conversation_id = c.conversation_id ORDER BY p.seq LIMIT 1
           ) oldest ON kept.keep_seconds IS NOT NULL
           ORDER BY c.conversation_id"#,
        after.0,
        keep_seconds,
        limit
    )
    .fetch_all(db)
    .await
}

/// The same, only of those with a time of their own.
pub async fn list_candidates_of_their_own(
    db: &mut PgSession,
    after: &Spelled,
    limit: i64,
) -> sqlx::Result<Vec<Candidate>> {
    sqlx::query_as!(
        Candidate,
        r#"SELECT r.conversation_id, r.keep_seconds, coalesce(oldest.created_at < now()
                   - make_interval(secs => r.keep_seconds + least(r.keep_seconds / 10, 86400)), FALSE) AS "is_due!"
           FROM (SELECT * FROM conversation_retentions WHERE conversation_id > $1 ORDER BY conversation_id LIMIT $2) r
           LEFT JOIN LATERAL (
               SELECT p.created_at FROM private_messages p WHERE p.conversation_id = r.conversation_id ORDER BY p.seq LIMIT 1
           ) oldest ON r.keep_seconds IS NOT NULL
           ORDER BY r.conversation_id"#,
        after.0,
        limit
    )
    .fetch_all(db)
    .await
}

/// Records that the oldest messages of a conversation are gone, as many as are older than that, up to `limit`; returns
/// the number of the last one, up to which [`super::purge`] deletes them in the same transaction. `None` if there are
/// none, or if others are being purged, which no longer count.
pub async fn update_expired(
    db: &mut PgSession,
    conversation: &Spelled,
    keep_seconds: i64,
    limit: i64,
) -> sqlx::Result<Option<i64>> {
    // Whatever changes which messages there are changes this row, so that what is counted afterwards stays true.
    sqlx::query!("SELECT FROM conversations WHERE conversation_id = $1 FOR UPDATE", conversation.0)
        .execute(&mut *db)
        .await?;
    let through = sqlx::query_scalar!(
        r#"WITH oldest AS MATERIALIZED (
               SELECT seq, created_at FROM private_messages WHERE conversation_id = $1 ORDER BY seq LIMIT $3
           ),
           kept AS (SELECT min(seq) AS seq FROM oldest WHERE created_at >= now() - make_interval(secs => $2::bigint)),
           old AS (
               SELECT count(*) AS count, max(oldest.seq) AS through FROM oldest, kept
               WHERE kept.seq IS NULL OR oldest.seq < kept.seq
           ),
           raised AS (
               UPDATE conversations c SET version = c.version + 1, message_count = greatest(c.message_count - old.count, 0),
                   last_message_at = CASE WHEN c.message_count > old.count THEN c.last_message_at END,
                   expired_seq = old.through, expired_at = now()
               FROM old
               WHERE c.conversation_id = $1 AND old.count > 0
                   AND NOT EXISTS (SELECT FROM conversation_purges w WHERE w.conversation_id = $1)
               RETURNING c.version, c.expired_seq
           ),
           noted AS (
               INSERT INTO conversation_changes (conversation_id, version, kind, seq)
               SELECT $1, version, 3, expired_seq FROM raised
           )
           SELECT expired_seq FROM raised"#,
        conversation.0,
        keep_seconds,
        limit
    )
    .fetch_optional(db)
    .await?;
    Ok(through)
}
