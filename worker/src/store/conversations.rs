//! `conversations`, and what its participants have read and put away: scopes, lists, read marks, deletion of a whole
//! conversation.

use super::columns::{Column, readable};
use crate::store::session::PgSession;
use shared::ids::{ConversationId, GroupId, MessageId, UserId};
use time::OffsetDateTime;

/// The version of a conversation before anything happened in it.
pub const FIRST_VERSION: i64 = 1;

/// A conversation as one participant sees it.
pub struct Scope {
    pub last_seq: i64,
    /// The number of existing messages, including hidden ones.
    pub message_count: i64,
    /// Raised by each change that participants see.
    pub version: i64,
    /// Messages up to this number are hidden from this user.
    pub cleared_seq: i64,
    /// How many later messages this user deleted for themselves.
    pub hidden_count: i64,
    /// How many messages this user can see.
    pub visible_count: i64,
    /// How far this user has read, and the other participant of a direct conversation; the latter is 0 while one blocks
    /// the other.
    pub read_seq: i64,
    pub other_read_seq: i64,
}

/// The conversation as this participant sees it; `None` if it never had a message. `other` is the other participant of
/// a direct conversation.
pub async fn find_scope(
    db: &mut PgSession,
    conversation: ConversationId,
    user: UserId,
    other: Option<UserId>,
) -> sqlx::Result<Option<Scope>> {
    // Counting takes time in a long conversation; it is needed only for users who have put it away before.
    sqlx::query_as!(
        Scope,
        r#"SELECT c.last_seq, c.message_count, c.version, mine.cleared_seq AS "cleared_seq!", hidden.count AS "hidden_count!",
               CASE WHEN mine.cleared_seq = 0 THEN c.message_count
                    ELSE (SELECT count(*) FROM private_messages p
                          WHERE p.conversation_id = c.conversation_id AND p.seq > mine.cleared_seq)
               END - hidden.count AS "visible_count!",
               mine.read_seq AS "read_seq!", 
               CASE WHEN EXISTS (SELECT FROM blocked_relationships WHERE blocker_id = $2 AND blocked_id = $3)
                        OR EXISTS (SELECT FROM blocked_relationships WHERE blocker_id = $3 AND blocked_id = $2) THEN 0
                    ELSE coalesce(o.read_seq, 0) END AS "other_read_seq!"
           FROM conversations c
           LEFT JOIN conversation_members m ON m.conversation_id = c.conversation_id AND m.user_id = $2
           LEFT JOIN conversation_members o ON o.conversation_id = c.conversation_id AND o.user_id = $3
           CROSS JOIN LATERAL (SELECT coalesce(m.cleared_seq, 0) AS cleared_seq, coalesce(m.read_seq, 0) AS read_seq) mine
           CROSS JOIN LATERAL (
               SELECT count(*) FROM message_deletions d
               WHERE d.user_id = $2 AND d.conversation_id = c.conversation_id AND d.seq > mine.cleared_seq
           ) hidden
           WHERE c.conversation_id = $1"#,
        conversation.to_string(),
        user.0,
        other.map(|user| user.0)
    )
    .fetch_optional(db)
    .await
}

/// A row of a user's list of direct conversations, with its newest visible message, still sealed.
pub struct ListedConversation {
    pub conversation_id: ConversationId,
    pub other_id: UserId,
    pub username: Option<String>,
    pub display_name: Option<String>,
    pub message_id: MessageId,
    pub sender_id: UserId,
    pub content: Vec<u8>,
    pub iv: Vec<u8>,
    pub mac: Option<Vec<u8>>,
    pub key_id: i16,
    pub created_at: OffsetDateTime,
    /// Sealed.
    pub metadata: Option<Vec<u8>>,
    pub unread_count: i64,
    /// Conversations that were looked up because they are not marked as quiet, the same in each line.
    pub active_count: i64,
}

/// A user's direct conversations that have visible messages, most recently active first. Unread messages are counted up
/// to `most_unread` each.
pub async fn list_direct(
    db: &mut PgSession,
    user: UserId,
    limit: i64,
    offset: i64,
    most_unread: i64,
) -> sqlx::Result<Vec<ListedConversation>> {
    // Sorted before the newest messages are looked up, so that this is done only for those on the page. The count reads
    // only the index on the numbers, which includes the senders for this purpose; what the user deleted is looked up
    // once per conversation, not per message. Names and conversations are looked up one by one (`OFFSET 0` keeps the
    // planner from joining), or it would read all of them to find a thousand.
    let rows = sqlx::query!(
        r#"WITH live AS MATERIALIZED (
               SELECT m.conversation_id, m.read_seq, m.cleared_seq, c.last_message_at AS active_at
               FROM (
                   SELECT * FROM conversation_members m
                   WHERE m.user_id = $1 AND m.quiet_since IS NULL
                   ORDER BY m.quiet_since, m.conversation_id
                   OFFSET 0
               ) m
               CROSS JOIN LATERAL (
                   SELECT c.last_message_at FROM conversations c
                   WHERE c.conversation_id = m.conversation_id AND c.message_count > 0 AND c.last_seq > m.cleared_seq
                   OFFSET 0
               ) c
               WHERE m.conversation_id LIKE 'conv\_%'
           ),
           quiet AS MATERIALIZED (
               SELECT m.* FROM (
                   SELECT m.conversation_id, m.read_seq, m.cleared_seq, m.quiet_since AS active_at
                   FROM conversation_members m
                   WHERE m.user_id = $1 AND m.quiet_since > '-infinity'
                   ORDER BY m.quiet_since DESC, m.conversation_id DESC
                   OFFSET 0
               ) m
               WHERE EXISTS (
                   SELECT FROM private_messages p
                   WHERE p.conversation_id = m.conversation_id AND p.seq > m.cleared_seq
                       AND NOT EXISTS (
                           SELECT FROM message_deletions d
                           WHERE d.user_id = $1 AND d.conversation_id = m.conversation_id AND d.seq = p.seq))
               ORDER BY m.active_at DESC, m.conversation_id DESC
               LIMIT $2::bigint + $3::bigint
           ),
           page AS MATERIALIZED (
               SELECT recent.*, newest.*
               FROM (
                   SELECT * FROM live UNION ALL SELECT * FROM quiet
                   ORDER BY active_at DESC, conversation_id DESC
               ) recent
               CROSS JOIN LATERAL (
                   SELECT p.message_id, p.sender_id, p.recipient_id, p.content, p.iv, p.mac, p.key_id, p.created_at, p.metadata
                   FROM private_messages p
                   WHERE p.conversation_id = recent.conversation_id AND p.seq > recent.cleared_seq
                       AND NOT EXISTS (
                           SELECT FROM message_deletions d
                           WHERE d.user_id = $1 AND d.conversation_id = recent.conversation_id AND d.seq = p.seq)
                   ORDER BY p.seq DESC LIMIT 1
               ) newest
               ORDER BY recent.active_at DESC, recent.conversation_id DESC
               LIMIT $2 OFFSET $3
           )
           SELECT page.conversation_id AS "conversation_id!", other.id AS "other_id!",
               (SELECT u.username::text FROM users_auth u WHERE u.user_id = other.id) AS username,
               (SELECT i.display_name FROM chat_profile(other.id) i) AS display_name,
               page.message_id, page.sender_id, page.content, page.iv, page.mac, page.key_id, page.created_at, page.metadata,
               unread.count AS "unread_count!", (SELECT count(*) FROM live) AS "active_count!"
           FROM page
           CROSS JOIN LATERAL (
               SELECT CASE WHEN page.sender_id = $1 THEN page.recipient_id ELSE page.sender_id END AS id
           ) other
           CROSS JOIN LATERAL (
               SELECT count(*) FROM (
                   SELECT FROM (
                       SELECT p.seq FROM private_messages p
                       WHERE p.conversation_id = page.conversation_id
                           AND p.seq > greatest(page.read_seq, page.cleared_seq) AND p.sender_id <> $1
                       ORDER BY p.seq DESC LIMIT 5 * $4::bigint
                   ) p
                   WHERE NOT EXISTS (
                       SELECT FROM message_deletions d
                       WHERE d.user_id = $1 AND d.conversation_id = page.conversation_id AND d.seq = p.seq OFFSET 0)
                   LIMIT $4
               ) counted
           ) unread
           ORDER BY page.active_at DESC, page.conversation_id DESC"#,
        user.0,
        limit,
        offset,
        most_unread
    )
    .fetch_all(&mut *db)
    .await?;
    Ok(readable(
        db,
        rows,
        |row| row.message_id,
        |row| {
            Ok(ListedConversation {
                conversation_id: ConversationId::from_stored(row.conversation_id)?,
                other_id: UserId(row.other_id),
                username: row.username,
                display_name: row.display_name,
                message_id: MessageId(row.message_id),
                sender_id: UserId(row.sender_id),
                content: row.content,
                iv: row.iv,
                mac: row.mac,
                key_id: row.key_id,
                created_at: row.created_at,
                metadata: row.metadata,
                unread_count: row.unread_count,
                active_count: row.active_count,
            })
        },
    ))
}

/// Moves a read mark forward. Returns true if it moved; it never goes back.
pub async fn update_read(
    db: &mut PgSession,
    user: UserId,
    conversation: ConversationId,
    seq: i64,
) -> sqlx::Result<bool> {
    let moved = sqlx::query!(
        "INSERT INTO conversation_members AS m (user_id, conversation_id, read_seq) VALUES ($1, $2, $3)
         ON CONFLICT (user_id, conversation_id) DO UPDATE SET
             read_seq = excluded.read_seq, quiet_since = NULL, quiet_unread = FALSE
         WHERE m.read_seq < excluded.read_seq",
        user.0,
        conversation.to_string(),
        seq
    )
    .execute(db)
    .await?;
    Ok(moved.rows_affected() > 0)
}

/// Hides all present messages from one user, and counts them as delivered. This does not raise the version. `None` if
/// there was never a message.
pub async fn update_cleared(
    db: &mut PgSession,
    user: UserId,
    conversation: ConversationId,
) -> sqlx::Result<Option<Emptied>> {
    sqlx::query_as!(
        Emptied,
        r#"INSERT INTO conversation_members AS m (user_id, conversation_id, delivered_seq, cleared_seq, cleared_version)
         SELECT $1, conversation_id, last_seq, last_seq, version FROM conversations WHERE conversation_id = $2
         ON CONFLICT (user_id, conversation_id) DO UPDATE SET
             cleared_seq = excluded.cleared_seq, cleared_version = excluded.cleared_version,
             delivered_seq = greatest(m.delivered_seq, excluded.delivered_seq), quiet_since = NULL, quiet_unread = FALSE
         RETURNING cleared_seq AS "last_seq!", cleared_version AS "version!""#,
        user.0,
        conversation.to_string()
    )
    .fetch_optional(db)
    .await
}

/// Up to where a conversation was emptied.
pub struct Emptied {
    pub last_seq: i64,
    pub version: i64,
}

/// Records that all messages of a direct conversation are gone; the numbers continue. `None` if there was never a
/// message. [`super::purge`] deletes the messages.
pub async fn update_emptied(db: &mut PgSession, conversation: ConversationId) -> sqlx::Result<Option<Emptied>> {
    sqlx::query_as!(
        Emptied,
        "WITH raised AS (
             UPDATE conversations SET message_count = 0, version = version + 1, last_message_at = NULL
             WHERE conversation_id = $1 RETURNING last_seq, version
         ),
         noted AS (
             INSERT INTO conversation_changes (conversation_id, version, kind, seq)
             SELECT $1, version, 3, last_seq FROM raised
         )
         SELECT last_seq, version FROM raised",
        conversation.to_string()
    )
    .fetch_optional(db)
    .await
}

/// The version of a conversation; [`FIRST_VERSION`] if nothing has happened in it yet.
pub async fn get_version(db: &mut PgSession, conversation: ConversationId) -> sqlx::Result<i64> {
    let version =
        sqlx::query_scalar!("SELECT version FROM conversations WHERE conversation_id = $1", conversation.to_string())
            .fetch_optional(db)
            .await?;
    Ok(version.unwrap_or(FIRST_VERSION))
}

/// Raises and returns the version of a group whose information, members or roles changed.
pub async fn raise_for_info(db: &mut PgSession, group: GroupId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        "WITH raised AS (
             INSERT INTO conversations AS c (conversation_id, version) VALUES ($1, 2)
             ON CONFLICT (conversation_id) DO UPDATE SET version = c.version + 1 RETURNING version
         )
         INSERT INTO conversation_changes (conversation_id, version, kind) SELECT $1, version, 2 FROM raised
         RETURNING version",
        group.to_string()
    )
    .fetch_one(db)
    .await
}
