//! Changes of single messages: content, reactions, pins, deletion. Each raises the conversation's version in the same
//! statement, which invalidates cached pages, and leaves a row in `conversation_changes`, where `sync` finds it. They
//! return the new version.

use crate::store::session::PgSession;
use shared::ids::{ConversationId, MessageId, UserId};
use time::OffsetDateTime;

/// New content, sealed.
pub struct NewContent<'a> {
    pub content: &'a [u8],
    pub iv: &'a [u8],
    pub mac: &'a [u8],
    pub key_id: i16,
    pub mentions: Option<&'a [i64]>,
    pub edited_at: OffsetDateTime,
    /// Sealed; absent, the metadata stays as it is.
    pub metadata: Option<Option<&'a [u8]>>,
}

pub async fn update_content(db: &mut PgSession, message: MessageId, new: &NewContent<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        "WITH edited AS (
             UPDATE private_messages SET content = $2, iv = $3, mac = $4, key_id = $5, mentions = $6, edited_at = $7,
                 metadata = CASE WHEN $8 THEN $9 ELSE metadata END
             WHERE message_id = $1 RETURNING conversation_id, seq
         ),
         raised AS (
             UPDATE conversations c SET version = c.version + 1 FROM edited e WHERE c.conversation_id = e.conversation_id
             RETURNING c.conversation_id, c.version, e.seq
         )
         INSERT INTO conversation_changes (conversation_id, version, kind, seq, message_id)
         SELECT conversation_id, version, 1, seq, $1::uuid FROM raised RETURNING version",
        message.0,
        new.content,
        new.iv,
        new.mac,
        new.key_id,
        new.mentions,
        new.edited_at,
        new.metadata.is_some(),
        new.metadata.flatten()
    )
    .fetch_one(db)
    .await
}

/// Deletes a message with everything about it, including waiting events (a mention's event has the message's own id).
/// Its id is remembered, so that a redelivered send does not restore it.
pub async fn delete_message(db: &mut PgSession, message: MessageId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        "WITH gone AS (DELETE FROM private_messages WHERE message_id = $1 RETURNING conversation_id, seq),
         reactions AS (DELETE FROM message_reactions WHERE message_id = $1),
         hidden AS (DELETE FROM message_deletions WHERE message_id = $1),
         remembered AS (INSERT INTO applied_commands (command_id) SELECT $1 FROM gone ON CONFLICT DO NOTHING),
         told AS (DELETE FROM event_log WHERE message_id = $1 OR event_id = $1 RETURNING event_id),
         queued AS (DELETE FROM event_queue q USING told WHERE q.event_id = told.event_id),
         shared AS (
             UPDATE conversation_changes c SET event_id = NULL, actor_id = NULL, about = NULL, body = NULL FROM gone
             WHERE c.conversation_id = gone.conversation_id AND c.about = $1
         ),
         raised AS (
             UPDATE conversations c SET message_count = c.message_count - 1, version = c.version + 1,
                 last_message_at = (SELECT p.created_at FROM private_messages p
                                    WHERE p.conversation_id = c.conversation_id AND p.message_id <> $1
                                    ORDER BY p.seq DESC LIMIT 1)
             FROM gone WHERE c.conversation_id = gone.conversation_id
             RETURNING c.conversation_id, c.version, gone.seq
         )
         INSERT INTO conversation_changes (conversation_id, version, kind, seq, message_id)
         SELECT conversation_id, version, 1, seq, $1 FROM raised RETURNING version",
        message.0
    )
    .fetch_one(db)
    .await
}

/// Hides a message from one user. Others do not see that, so it does not raise the version; returns the present one.
pub async fn insert_deletion(
    db: &mut PgSession,
    user: UserId,
    conversation: ConversationId,
    seq: i64,
    message: MessageId,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        "WITH present AS (SELECT version FROM conversations WHERE conversation_id = $2),
         hidden AS (
             INSERT INTO message_deletions (user_id, conversation_id, seq, message_id, version)
             SELECT $1, $2, $3, $4, version FROM present ON CONFLICT DO NOTHING
         )
         SELECT version FROM present",
        user.0,
        conversation.to_string(),
        seq,
        message.0
    )
    .fetch_one(db)
    .await
}

/// Sets a user's one reaction. Returns `None`, with nothing changed, if it was already set.
pub async fn upsert_reaction(
    db: &mut PgSession,
    conversation: ConversationId,
    (message, seq): (MessageId, i64),
    user: UserId,
    reaction: &str,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "WITH changed AS (
             INSERT INTO message_reactions AS r (message_id, user_id, reaction) VALUES ($2, $3, $4)
             ON CONFLICT (message_id, user_id) DO UPDATE SET reaction = excluded.reaction, created_at = now()
             WHERE r.reaction <> excluded.reaction
             RETURNING 1
         ),
         raised AS (
             UPDATE conversations c SET version = c.version + 1 FROM changed WHERE c.conversation_id = $1
             RETURNING c.version
         )
         INSERT INTO conversation_changes (conversation_id, version, kind, seq, message_id)
         SELECT $1, version, 1, $5, $2 FROM raised RETURNING version",
        conversation.to_string(),
        message.0,
        user.0,
        reaction,
        seq
    )
    .fetch_optional(db)
    .await
}

/// A removed reaction, and the version that its removal made.
pub struct RemovedReaction {
    pub reaction: String,
    pub version: i64,
}

/// Removes a user's reaction; `None` if there was none.
pub async fn delete_reaction(
    db: &mut PgSession,
    conversation: ConversationId,
    (message, seq): (MessageId, i64),
    user: UserId,
) -> sqlx::Result<Option<RemovedReaction>> {
    sqlx::query_as!(
        RemovedReaction,
        "WITH gone AS (DELETE FROM message_reactions WHERE message_id = $2 AND user_id = $3 RETURNING reaction),
         raised AS (
             UPDATE conversations c SET version = c.version + 1 FROM gone WHERE c.conversation_id = $1
             RETURNING c.version, gone.reaction
         ),
         noted AS (
             INSERT INTO conversation_changes (conversation_id, version, kind, seq, message_id)
             SELECT $1, version, 1, $4, $2 FROM raised
         )
         SELECT reaction, version FROM raised",
        conversation.to_string(),
        message.0,
        user.0,
        seq
    )
    .fetch_optional(db)
    .await
}

/// Pins a message. Returns `None`, with nothing changed, if it was already pinned.
pub async fn update_pinned(db: &mut PgSession, message: MessageId, user: UserId) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "WITH pinned AS (
             UPDATE private_messages SET pinned_at = now(), pinned_by = $2
             WHERE message_id = $1 AND pinned_at IS NULL RETURNING conversation_id, seq
         ),
         raised AS (
             UPDATE conversations c SET version = c.version + 1 FROM pinned p WHERE c.conversation_id = p.conversation_id
             RETURNING c.conversation_id, c.version, p.seq
         )
         INSERT INTO conversation_changes (conversation_id, version, kind, seq, message_id)
         SELECT conversation_id, version, 1, seq, $1 FROM raised RETURNING version",
        message.0,
        user.0
    )
    .fetch_optional(db)
    .await
}

/// Unpins a message. Returns `None`, with nothing changed, if it was not pinned.
pub async fn update_unpinned(db: &mut PgSession, message: MessageId) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "WITH unpinned AS (
             UPDATE private_messages SET pinned_at = NULL, pinned_by = NULL
             WHERE message_id = $1 AND pinned_at IS NOT NULL RETURNING conversation_id, seq
         ),
         raised AS (
             UPDATE conversations c SET version = c.version + 1 FROM unpinned p WHERE c.conversation_id = p.conversation_id
             RETURNING c.conversation_id, c.version, p.seq
         )
         INSERT INTO conversation_changes (conversation_id, version, kind, seq, message_id)
         SELECT conversation_id, version, 1, seq, $1 FROM raised RETURNING version",
        message.0
    )
    .fetch_optional(db)
    .await
}

/// Who pinned a message.
pub async fn find_pinned_by(db: &mut PgSession, message: MessageId) -> sqlx::Result<Option<UserId>> {
    let row = sqlx::query_scalar!("SELECT pinned_by FROM private_messages WHERE message_id = $1", message.0)
        .fetch_optional(db)
        .await?;
    Ok(row.flatten().map(UserId))
}
