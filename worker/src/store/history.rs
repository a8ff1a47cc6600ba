//! Reading messages: pages of a conversation, single messages, with everything a message object shows.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A stored message, its content still sealed.
#[derive(Clone, Debug)]
pub struct MessageRow {
    pub message_id: Uuid,
    pub conversation_id: String,
    pub seq: i64,
    pub sender_id: i64,
    pub sender_username: Option<String>,
    pub recipient_id: Option<i64>,
    pub kind: i16,
    pub content: Vec<u8>,
    pub iv: Vec<u8>,
    pub mac: Option<Vec<u8>>,
    pub key_id: i16,
    pub reply_to_message_id: Option<Uuid>,
    pub mentions: Option<Vec<i64>>,
    pub client_message_id: Option<String>,
    pub created_at: OffsetDateTime,
    pub edited_at: Option<OffsetDateTime>,
    pub pinned: bool,
    /// Of direct messages: whether the recipient has read it.
    pub is_read: Option<bool>,
}

/// What a user may see of a conversation, and how far it goes.
pub struct Scope {
    pub last_seq: i64,
    pub message_count: i64,
    pub version: i64,
    /// Hidden from this user up to here.
    pub cleared_seq: i64,
}

/// The conversation as this participant sees it; `None` when nothing was ever said in it.
pub async fn find_scope(db: &mut PgConnection, conversation_id: &str, user: i64) -> sqlx::Result<Option<Scope>> {
    sqlx::query_as!(
        Scope,
        r#"SELECT c.last_seq, c.message_count, c.version, coalesce(m.cleared_seq, 0) AS "cleared_seq!"
           FROM conversations c
           LEFT JOIN conversation_members m ON m.conversation_id = c.conversation_id AND m.user_id = $2
           WHERE c.conversation_id = $1"#,
        conversation_id,
        user
    )
    .fetch_optional(db)
    .await
}

/// How many messages of the conversation this user can see.
pub async fn count_visible(db: &mut PgConnection, conversation_id: &str, user: i64, scope: &Scope) -> sqlx::Result<i64> {
    let hidden = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM message_deletions d JOIN private_messages m ON m.message_id = d.message_id
           WHERE d.user_id = $2 AND d.conversation_id = $1 AND d.seq > $3"#,
        conversation_id,
        user,
        scope.cleared_seq
    )
    .fetch_one(&mut *db)
    .await?;
    // Counting is for those who put the conversation away before; it takes time in a long one.
    let present = match scope.cleared_seq {
        0 => scope.message_count,
        cleared => {
            sqlx::query_scalar!(
                r#"SELECT count(*) AS "count!" FROM private_messages WHERE conversation_id = $1 AND seq > $2"#,
                conversation_id,
                cleared
            )
            .fetch_one(db)
            .await?
        }
    };
    Ok(present - hidden)
}

/// Which stretch of a conversation to read, both ends exclusive.
#[derive(Clone, Copy)]
pub struct Range {
    pub after: i64,
    pub before: i64,
    /// Take the rows next to `before` (the newest) rather than those next to `after`.
    pub from_newest: bool,
    pub offset: i64,
    pub limit: i64,
}

/// The messages of a stretch that this user can see, oldest first.
pub async fn list_messages(
    db: &mut PgConnection,
    conversation_id: &str,
    user: i64,
    range: Range,
) -> sqlx::Result<Vec<MessageRow>> {
    let mut rows = if range.from_newest {
        sqlx::query_as!(
            MessageRow,
            r#"SELECT p.message_id, p.conversation_id, p.seq, p.sender_id, u.username AS "sender_username?", p.recipient_id,
                   p.kind, p.content, p.iv, p.mac, p.key_id, p.reply_to_message_id, p.mentions, p.client_message_id,
                   p.created_at, p.edited_at, p.pinned_at IS NOT NULL AS "pinned!",
                   p.seq <= (SELECT r.read_seq FROM conversation_members r
                             WHERE r.user_id = p.recipient_id AND r.conversation_id = p.conversation_id) AS is_read
               FROM private_messages p
               LEFT JOIN users_auth u ON u.user_id = p.sender_id
               WHERE p.conversation_id = $1 AND p.seq > $3 AND p.seq < $4
                   AND NOT EXISTS (SELECT FROM message_deletions d
                                   WHERE d.user_id = $2 AND d.conversation_id = $1 AND d.seq = p.seq)
               ORDER BY p.seq DESC OFFSET $5 LIMIT $6"#,
            conversation_id,
            user,
            range.after,
            range.before,
            range.offset,
            range.limit
        )
        .fetch_all(db)
        .await?
    } else {
        sqlx::query_as!(
            MessageRow,
            r#"SELECT p.message_id, p.conversation_id, p.seq, p.sender_id, u.username AS "sender_username?", p.recipient_id,
                   p.kind, p.content, p.iv, p.mac, p.key_id, p.reply_to_message_id, p.mentions, p.client_message_id,
                   p.created_at, p.edited_at, p.pinned_at IS NOT NULL AS "pinned!",
                   p.seq <= (SELECT r.read_seq FROM conversation_members r
                             WHERE r.user_id = p.recipient_id AND r.conversation_id = p.conversation_id) AS is_read
               FROM private_messages p
               LEFT JOIN users_auth u ON u.user_id = p.sender_id
               WHERE p.conversation_id = $1 AND p.seq > $3 AND p.seq < $4
                   AND NOT EXISTS (SELECT FROM message_deletions d
                                   WHERE d.user_id = $2 AND d.conversation_id = $1 AND d.seq = p.seq)
               ORDER BY p.seq ASC OFFSET $5 LIMIT $6"#,
            conversation_id,
            user,
            range.after,
            range.before,
            range.offset,
            range.limit
        )
        .fetch_all(db)
        .await?
    };
    if range.from_newest {
        rows.reverse();
    }
    Ok(rows)
}

/// Single messages by id, whoever may see them.
pub async fn list_by_id(db: &mut PgConnection, messages: &[Uuid]) -> sqlx::Result<Vec<MessageRow>> {
    sqlx::query_as!(
        MessageRow,
        r#"SELECT p.message_id, p.conversation_id, p.seq, p.sender_id, u.username AS "sender_username?", p.recipient_id,
               p.kind, p.content, p.iv, p.mac, p.key_id, p.reply_to_message_id, p.mentions, p.client_message_id,
               p.created_at, p.edited_at, p.pinned_at IS NOT NULL AS "pinned!",
               p.seq <= (SELECT r.read_seq FROM conversation_members r
                         WHERE r.user_id = p.recipient_id AND r.conversation_id = p.conversation_id) AS is_read
           FROM private_messages p
           LEFT JOIN users_auth u ON u.user_id = p.sender_id
           WHERE p.message_id = ANY($1)"#,
        messages
    )
    .fetch_all(db)
    .await
}

/// One reaction to one of several messages.
pub struct ReactionRow {
    pub message_id: Uuid,
    pub user_id: i64,
    pub username: String,
    pub reaction: String,
    pub created_at: OffsetDateTime,
}

/// The reactions to these messages, oldest first.
pub async fn list_reactions(db: &mut PgConnection, messages: &[Uuid]) -> sqlx::Result<Vec<ReactionRow>> {
    sqlx::query_as!(
        ReactionRow,
        "SELECT r.message_id, r.user_id, u.username, r.reaction, r.created_at
         FROM message_reactions r JOIN users_auth u ON u.user_id = r.user_id
         WHERE r.message_id = ANY($1) ORDER BY r.created_at, r.user_id",
        messages
    )
    .fetch_all(db)
    .await
}

/// Whether the user deleted this message, or put the conversation away with it.
pub async fn is_hidden(db: &mut PgConnection, conversation_id: &str, seq: i64, user: i64) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM message_deletions
                          WHERE user_id = $3 AND conversation_id = $1 AND seq = $2)
               OR EXISTS (SELECT FROM conversation_members
                          WHERE user_id = $3 AND conversation_id = $1 AND cleared_seq >= $2) AS "hidden!""#,
        conversation_id,
        seq,
        user
    )
    .fetch_one(db)
    .await
}
