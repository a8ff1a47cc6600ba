//! Reading messages: pages of a conversation, single messages, with everything a message object shows.

use super::columns::{Column, Typed, raw, readable, typed};
use super::users::NOBODY;
use crate::store::session::PgSession;
use shared::clock::Timestamp;
use shared::events::message::MessageKind;
use shared::ids::{ConversationId, MessageId, UserId};
use time::OffsetDateTime;
use uuid::Uuid;

/// A stored message, its content still sealed.
#[derive(Clone, Debug)]
pub struct MessageRow {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: i64,
    pub sender_id: UserId,
    pub sender_username: Option<String>,
    pub recipient_id: Option<UserId>,
    pub kind: MessageKind,
    pub content: Vec<u8>,
    pub iv: Vec<u8>,
    pub mac: Option<Vec<u8>>,
    pub key_id: i16,
    pub reply_to_message_id: Option<MessageId>,
    pub mentions: Option<Vec<i64>>,
    pub client_message_id: Option<String>,
    pub created_at: OffsetDateTime,
    pub edited_at: Option<OffsetDateTime>,
    pub pinned_at: Option<OffsetDateTime>,
    pub pinned_by: Option<UserId>,
    /// The conversation's version that it made; unknown if it was stored by an earlier release.
    pub version: Option<i64>,
    /// For direct messages: true if the recipient has read it.
    pub is_read: Option<bool>,
    /// Sealed.
    pub metadata: Option<Vec<u8>>,
}

/// Reads the [`MessageRow`]s that `$rest` selects from `p`, the rows of `private_messages`.
macro_rules! message_rows {
    ($db:expr, $rest:literal, $($argument:expr),+ $(,)?) => {{
        let rows = sqlx::query!(
            r#"SELECT p.message_id, p.conversation_id, p.seq, p.sender_id, u.username::text AS "sender_username?", p.recipient_id,
                   p.kind, p.content, p.iv, p.mac, p.key_id, p.reply_to_message_id, p.mentions, p.client_message_id,
                   p.created_at, p.edited_at, p.pinned_at, p.pinned_by, p.version, p.metadata,
                   p.seq <= (SELECT r.read_seq FROM conversation_members r
                             WHERE r.user_id = p.recipient_id AND r.conversation_id = p.conversation_id) AS is_read
               FROM private_messages p LEFT JOIN users_auth u ON u.user_id = p.sender_id "#
                + $rest,
            $($argument),+
        )
        .fetch_all(&mut *$db)
        .await?;
        readable($db, rows, |row| row.message_id, |row| {
            Ok(MessageRow {
                message_id: MessageId(row.message_id),
                conversation_id: ConversationId::from_stored(row.conversation_id)?,
                seq: row.seq,
                sender_id: UserId(row.sender_id),
                sender_username: row.sender_username,
                recipient_id: row.recipient_id.map(UserId),
                kind: MessageKind::from_stored(row.kind)?,
                content: row.content,
                iv: row.iv,
                mac: row.mac,
                key_id: row.key_id,
                reply_to_message_id: row.reply_to_message_id.map(MessageId),
                mentions: row.mentions,
                client_message_id: row.client_message_id,
                created_at: row.created_at,
                edited_at: row.edited_at,
                pinned_at: row.pinned_at,
                pinned_by: row.pinned_by.map(UserId),
                version: row.version,
                is_read: row.is_read,
                metadata: row.metadata,
            })
        })
    }};
}

/// The part of a conversation to read, both ends exclusive.
#[derive(Clone, Copy)]
pub struct Range {
    pub after: i64,
    pub before: i64,
    /// Takes the rows next to `before` (the newest) rather than those next to `after`.
    pub from_newest: bool,
    pub offset: i64,
    pub limit: i64,
}

/// The messages of a range that this user can see, oldest first.
pub async fn list_messages(
    db: &mut PgSession,
    conversation: ConversationId,
    user: UserId,
    range: Range,
) -> sqlx::Result<Vec<MessageRow>> {
    let (after, before, offset, limit) = (range.after, range.before, range.offset, range.limit);
    let conversation = conversation.to_string();
    let mut rows = if range.from_newest {
        message_rows!(
            db,
            r#"WHERE p.conversation_id = $1 AND p.seq > $3 AND p.seq < $4
                   AND NOT EXISTS (SELECT FROM message_deletions d
                                   WHERE d.user_id = $2 AND d.conversation_id = $1 AND d.seq = p.seq)
               ORDER BY p.seq DESC OFFSET $5 LIMIT $6"#,
            conversation,
            user.0,
            after,
            before,
            offset,
            limit
        )
    } else {
        message_rows!(
            db,
            r#"WHERE p.conversation_id = $1 AND p.seq > $3 AND p.seq < $4
                   AND NOT EXISTS (SELECT FROM message_deletions d
                                   WHERE d.user_id = $2 AND d.conversation_id = $1 AND d.seq = p.seq)
               ORDER BY p.seq ASC OFFSET $5 LIMIT $6"#,
            conversation,
            user.0,
            after,
            before,
            offset,
            limit
        )
    };
    if range.from_newest {
        rows.reverse();
    }
    Ok(rows)
}

/// The newest messages of a conversation, regardless of who may see them, oldest first.
pub async fn list_newest(
    db: &mut PgSession,
    conversation: ConversationId,
    limit: i64,
) -> sqlx::Result<Vec<MessageRow>> {
    let range = Range { after: 0, before: i64::MAX, from_newest: true, offset: 0, limit };
    list_messages(db, conversation, NOBODY, range).await
}

/// Single messages by id, regardless of who may see them.
pub async fn list_by_id(db: &mut PgSession, messages: &[MessageId]) -> sqlx::Result<Vec<MessageRow>> {
    list_small(db, messages, i32::MAX).await
}

/// Like [`list_by_id`], without those whose content has more than `max_bytes`.
pub async fn list_small(db: &mut PgSession, messages: &[MessageId], max_bytes: i32) -> sqlx::Result<Vec<MessageRow>> {
    Ok(message_rows!(db, "WHERE p.message_id = ANY($1) AND octet_length(p.content) <= $2", &raw(messages), max_bytes))
}

/// How many bytes the contents of these messages have.
pub async fn list_sizes(db: &mut PgSession, messages: &[MessageId]) -> sqlx::Result<Vec<(MessageId, usize)>> {
    let rows = sqlx::query!(
        r#"SELECT message_id, octet_length(content) AS "bytes!" FROM private_messages WHERE message_id = ANY($1)"#,
        &raw(messages)
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (MessageId(row.message_id), row.bytes.unsigned_abs() as usize)).collect())
}

/// A stored message's content, sealed.
pub struct SealedRow {
    pub message_id: Uuid,
    pub content: Vec<u8>,
    pub iv: Vec<u8>,
    pub mac: Option<Vec<u8>>,
    pub key_id: i16,
}

/// Some of the newest messages, and some of the imported ones, whose ids say nothing about their age.
pub async fn list_sealed(db: &mut PgSession) -> sqlx::Result<Vec<SealedRow>> {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let tomorrow = Timestamp::now().0.max(0) as u64 + DAY_MS;
    let newest = uuid::Builder::from_unix_timestamp_millis(tomorrow, &[0xff; 10]).into_uuid();
    sqlx::query_as!(
        SealedRow,
        r#"(SELECT message_id AS "message_id!", content AS "content!", iv AS "iv!", mac, key_id AS "key_id!"
            FROM private_messages WHERE message_id <= $1 ORDER BY message_id DESC LIMIT 20)
           UNION ALL
           (SELECT message_id, content, iv, mac, key_id
            FROM private_messages WHERE message_id > $1 ORDER BY message_id DESC LIMIT 20)"#,
        newest
    )
    .fetch_all(db)
    .await
}

/// One reaction to one of several messages.
pub struct ReactionRow {
    pub message_id: MessageId,
    pub user_id: UserId,
    pub username: String,
    pub reaction: String,
    pub created_at: OffsetDateTime,
}

/// The reactions to these messages, oldest first; the first `most` of each message.
pub async fn list_reactions(db: &mut PgSession, messages: &[MessageId], most: i64) -> sqlx::Result<Vec<ReactionRow>> {
    // Most messages have none: they are left out first, so that nothing is sorted for them (`OFFSET 0` keeps it so).
    sqlx::query_as!(
        ReactionRow,
        r#"SELECT r.message_id, r.user_id, coalesce(u.username, '')::text AS "username!", r.reaction, r.created_at
         FROM (
             SELECT m.message_id FROM unnest($1::uuid[]) AS m (message_id)
             WHERE EXISTS (SELECT FROM message_reactions r WHERE r.message_id = m.message_id) OFFSET 0
         ) m
         CROSS JOIN LATERAL (
             SELECT * FROM message_reactions r WHERE r.message_id = m.message_id
             ORDER BY r.created_at, r.user_id LIMIT $2
         ) r
         JOIN users_auth u ON u.user_id = r.user_id
         ORDER BY r.created_at, r.user_id"#,
        &raw(messages),
        most
    )
    .fetch_all(db)
    .await
}

/// True if the user deleted this message, or put the conversation away with it.
pub async fn is_hidden(db: &mut PgSession, conversation: ConversationId, seq: i64, user: UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM message_deletions
                          WHERE user_id = $3 AND conversation_id = $1 AND seq = $2)
               OR EXISTS (SELECT FROM conversation_members
                          WHERE user_id = $3 AND conversation_id = $1 AND cleared_seq >= $2) AS "hidden!""#,
        conversation.to_string(),
        seq,
        user.0
    )
    .fetch_one(db)
    .await
}

/// Which of these positions in conversations are hidden from the user; the arrays are parallel.
pub async fn list_hidden(
    db: &mut PgSession,
    user: UserId,
    conversations: &[ConversationId],
    seqs: &[i64],
) -> sqlx::Result<Vec<(ConversationId, i64)>> {
    // Once for each conversation, not for each message (`OFFSET 0` keeps the planner from joining).
    let rows = sqlx::query!(
        r#"WITH asked AS MATERIALIZED (
               SELECT i.conversation_id, array_agg(i.seq) AS seqs, min(i.seq) AS first, max(i.seq) AS last
               FROM unnest($2::text[], $3::bigint[]) AS i (conversation_id, seq) GROUP BY 1
           )
           SELECT a.conversation_id AS "conversation_id!: Typed<ConversationId>", d.seq AS "seq!" FROM asked a
           CROSS JOIN LATERAL (
               SELECT d.seq FROM message_deletions d
               WHERE d.user_id = $1 AND d.conversation_id = a.conversation_id AND d.seq BETWEEN a.first AND a.last
               OFFSET 0
           ) d
           WHERE d.seq = ANY(a.seqs)
           UNION ALL
           SELECT a.conversation_id, s.seq FROM asked a
           CROSS JOIN LATERAL (
               SELECT m.cleared_seq FROM conversation_members m
               WHERE m.user_id = $1 AND m.conversation_id = a.conversation_id AND m.cleared_seq >= a.first
               OFFSET 0
           ) m
           CROSS JOIN LATERAL unnest(a.seqs) AS s (seq) WHERE s.seq <= m.cleared_seq"#,
        user.0,
        &raw(conversations),
        seqs
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.conversation_id.into(), row.seq)).collect())
}

/// The users from whom these messages are hidden, as pairs of message and user. Only direct conversations can be
/// cleared.
pub async fn list_hidden_from(db: &mut PgSession, messages: &[MessageId]) -> sqlx::Result<Vec<(MessageId, UserId)>> {
    let rows = sqlx::query!(
        r#"SELECT message_id AS "message_id!", user_id AS "user_id!" FROM message_deletions WHERE message_id = ANY($1)
           UNION
           SELECT p.message_id, m.user_id FROM private_messages p
           JOIN conversation_members m ON m.conversation_id = p.conversation_id AND m.user_id IN (p.sender_id, p.recipient_id)
               AND m.cleared_seq >= p.seq
           WHERE p.message_id = ANY($1) AND p.recipient_id IS NOT NULL"#,
        &raw(messages)
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (MessageId(row.message_id), UserId(row.user_id))).collect())
}

/// The ids of the last `most` pinned messages that this user can see.
pub async fn list_pinned(
    db: &mut PgSession,
    conversation: ConversationId,
    user: UserId,
    most: i64,
) -> sqlx::Result<Vec<MessageId>> {
    let found = sqlx::query_scalar!(
        "SELECT p.message_id FROM private_messages p
         WHERE p.conversation_id = $1 AND p.pinned_at IS NOT NULL
             AND NOT EXISTS (SELECT FROM message_deletions d
                             WHERE d.user_id = $2 AND d.conversation_id = $1 AND d.seq = p.seq)
             AND NOT EXISTS (SELECT FROM conversation_members m
                             WHERE m.user_id = $2 AND m.conversation_id = $1 AND m.cleared_seq >= p.seq)
         ORDER BY p.pinned_at DESC LIMIT $3",
        conversation.to_string(),
        user.0,
        most
    )
    .fetch_all(db)
    .await?;
    typed(found)
}

/// An existing message.
pub struct Present {
    pub ord: i64,
    pub message_id: MessageId,
}

/// The first `most` messages that this user can see after a number, for several conversations, in their order, oldest
/// first; the arrays are parallel.
pub async fn list_after(
    db: &mut PgSession,
    user: UserId,
    conversations: &[ConversationId],
    after: &[i64],
    most: i64,
) -> sqlx::Result<Vec<Present>> {
    sqlx::query_as!(
        Present,
        r#"SELECT i.ord AS "ord!", p.message_id
         FROM unnest($2::text[], $3::bigint[]) WITH ORDINALITY AS i (conversation_id, after, ord)
         CROSS JOIN LATERAL (
             SELECT p.message_id, p.seq FROM private_messages p
             WHERE p.conversation_id = i.conversation_id AND p.seq > i.after
                 AND NOT EXISTS (SELECT FROM message_deletions d
                                 WHERE d.user_id = $1 AND d.conversation_id = i.conversation_id AND d.seq = p.seq)
             ORDER BY p.seq LIMIT $4
         ) p
         ORDER BY i.ord, p.seq"#,
        user.0,
        &raw(conversations),
        after,
        most
    )
    .fetch_all(db)
    .await
}

/// Which of these pairs of user and message (by position) are allowed: the user may know of the message. A group's
/// message is known to its members, a direct one to its two participants, unless it is hidden from them.
pub async fn list_known(db: &mut PgSession, users: &[UserId], messages: &[MessageId]) -> sqlx::Result<Vec<bool>> {
    sqlx::query_scalar!(
        r#"SELECT CASE WHEN p.recipient_id IS NOT NULL THEN i.user_id IN (p.sender_id, p.recipient_id)
                       ELSE EXISTS (
                           SELECT FROM group_members g
                           JOIN group_chats c ON c.group_id = g.group_id AND c.deleted_at IS NULL
                           WHERE g.group_id = p.conversation_id AND g.user_id = i.user_id)
                   END
               AND NOT EXISTS (SELECT FROM message_deletions d
                               WHERE d.user_id = i.user_id AND d.conversation_id = p.conversation_id AND d.seq = p.seq)
               AND NOT EXISTS (SELECT FROM conversation_members m WHERE m.user_id = i.user_id
                                   AND m.conversation_id = p.conversation_id AND m.cleared_seq >= p.seq) AS "known!"
           FROM unnest($1::bigint[], $2::uuid[]) WITH ORDINALITY AS i (user_id, message_id, ord)
           LEFT JOIN private_messages p ON p.message_id = i.message_id
           ORDER BY i.ord"#,
        &raw(users),
        &raw(messages)
    )
    .fetch_all(db)
    .await
}
