//! A user's list of conversations (direct ones and groups together), and the user's settings for each.

use super::columns::{Column, readable};
use crate::store::session::PgSession;
use shared::ids::{CommunityId, ConversationId, MessageId, UserId};
use shared::role::Role;
use time::OffsetDateTime;

/// A row of the list.
pub struct EntryRow {
    pub conversation_id: ConversationId,
    pub active_at: OffsetDateTime,
    pub last_seq: i64,
    pub version: i64,
    pub read_seq: i64,
    /// Set for direct conversations: how far the other user has read.
    pub peer_read_seq: Option<i64>,
    pub muted_until: Option<OffsetDateTime>,
    pub pinned: bool,
    pub marked_unread: bool,
    /// Set for groups, like the next two.
    pub name: Option<String>,
    /// Sealed.
    pub metadata: Option<Vec<u8>>,
    pub role: Option<Role>,
    pub community_id: Option<CommunityId>,
    /// The newest message that the user can see.
    pub message_id: Option<MessageId>,
    pub unread_count: i64,
    pub unread_mentions: i64,
    /// The sum over all of the user's conversations, the same in each row.
    pub total_unread: i64,
    /// How many direct conversations were looked up because they are not marked as quiet, the same in each row.
    pub active_count: i64,
}

/// A user's entries after this position, most recently active first; at most `limit`. Unread messages and mentions are
/// counted up to `most_unread` each. Leaves out deleted groups, and direct conversations without visible messages.
pub async fn list_entries(
    db: &mut PgSession,
    user: UserId,
    after: Option<(OffsetDateTime, ConversationId)>,
    limit: i64,
    most_unread: i64,
) -> sqlx::Result<Vec<EntryRow>> {
    let mut asked = limit;
    loop {
        let (found, mut entries) = read_entries(db, user, after, asked, most_unread).await?;
        let missing = limit - entries.len() as i64;
        if found < asked || missing <= 0 {
            entries.truncate(limit as usize);
            return Ok(entries);
        }
        // Unreadable rows must not look like the end of the list.
        asked += missing;
    }
}

/// Like [`list_entries`]; also returns how many there were, readable or not.
async fn read_entries(
    db: &mut PgSession,
    user: UserId,
    after: Option<(OffsetDateTime, ConversationId)>,
    limit: i64,
    most_unread: i64,
) -> sqlx::Result<(i64, Vec<EntryRow>)> {
    let (before, below) = after.map(|(at, conversation)| (at, conversation.to_string())).unzip();
    // Quiet conversations are read in the order of their index until the page is full, and the sum of unread messages
    // skips those without any. The others are looked up once each, by key (`OFFSET 0` keeps the planner from reading
    // whole tables instead; ordering the rows of `live` keeps it from reading all of the user's). Everything else is
    // looked up for those on the page. Counting messages reads only indexes, and of each conversation at most the newest
    // five times as many messages of others as are counted, twenty times as many for the sum: a user may have hidden any number.
    // Mentions of everyone by blocked users are stored, and left out here; `blocked` is read only if somebody mentioned everyone.
    let rows = sqlx::query!(
        r#"WITH live AS MATERIALIZED (
               SELECT m.conversation_id, m.read_seq, m.cleared_seq, m.muted_until, m.pinned, m.marked_unread, c.last_seq,
                   c.version, greatest(m.read_seq, m.cleared_seq) AS seen_seq, kind.is_group,
                   coalesce(c.last_message_at, (SELECT g.joined_at FROM group_members g
                                                WHERE g.group_id = m.conversation_id AND g.user_id = $1)) AS active_at
               FROM (
                   SELECT * FROM conversation_members m
                   WHERE m.user_id = $1 AND m.quiet_since IS NULL
                   ORDER BY m.quiet_since, m.conversation_id
                   OFFSET 0
               ) m
               CROSS JOIN LATERAL (SELECT left(m.conversation_id, 6) = 'group_' AS is_group) kind
               CROSS JOIN LATERAL (
                   SELECT c.last_seq, c.version, c.last_message_at FROM conversations c
                   WHERE c.conversation_id = m.conversation_id
                       AND (kind.is_group OR c.message_count > 0 AND c.last_seq > m.cleared_seq)
                   OFFSET 0
               ) c
           ),
           quiet AS MATERIALIZED (
               SELECT m.*, c.last_seq, c.version, greatest(m.read_seq, m.cleared_seq) AS seen_seq, FALSE AS is_group
               FROM (
                   SELECT m.conversation_id, m.read_seq, m.cleared_seq, m.muted_until, m.pinned, m.marked_unread,
                       m.quiet_since AS active_at
                   FROM conversation_members m
                   WHERE m.user_id = $1 AND m.quiet_since > '-infinity'
                       AND (m.quiet_since, m.conversation_id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::text, ''))
                   ORDER BY m.quiet_since DESC, m.conversation_id DESC
                   OFFSET 0
               ) m
               CROSS JOIN LATERAL (
                   SELECT c.last_seq, c.version FROM conversations c
                   WHERE c.conversation_id = m.conversation_id AND c.message_count > 0 AND c.last_seq > m.cleared_seq
                   OFFSET 0
               ) c
               WHERE EXISTS (
                   SELECT FROM private_messages p
                   WHERE p.conversation_id = m.conversation_id AND p.seq > m.cleared_seq
                       AND NOT EXISTS (
                           SELECT FROM message_deletions d
                           WHERE d.user_id = $1 AND d.conversation_id = m.conversation_id AND d.seq = p.seq))
               ORDER BY m.active_at DESC, m.conversation_id DESC
               LIMIT $4
           ),
           page AS MATERIALIZED (
               SELECT recent.*, joined.name, joined.metadata, joined.community_id, joined.role, newest.message_id
               FROM (
                   SELECT conversation_id, read_seq, cleared_seq, muted_until, pinned, marked_unread, last_seq, version, seen_seq,
                       is_group, active_at
                   FROM live
                   WHERE active_at IS NOT NULL
                       AND ($2::timestamptz IS NULL OR (active_at, conversation_id) < ($2, $3::text))
                   UNION ALL
                   SELECT conversation_id, read_seq, cleared_seq, muted_until, pinned, marked_unread, last_seq, version, seen_seq,
                       is_group, active_at
                   FROM quiet
                   ORDER BY active_at DESC, conversation_id DESC
               ) recent
               LEFT JOIN LATERAL (
                   SELECT g.name, g.metadata, g.community_id, r.role FROM group_chats g
                   JOIN group_members r ON r.group_id = g.group_id AND r.user_id = $1
                   WHERE recent.is_group AND g.group_id = recent.conversation_id AND g.deleted_at IS NULL
                   OFFSET 0
               ) joined ON TRUE
               LEFT JOIN LATERAL (
                   SELECT p.message_id FROM private_messages p
                   WHERE p.conversation_id = recent.conversation_id AND p.seq > recent.cleared_seq
                       AND NOT EXISTS (
                           SELECT FROM message_deletions d
                           WHERE d.user_id = $1 AND d.conversation_id = recent.conversation_id AND d.seq = p.seq)
                   ORDER BY p.seq DESC LIMIT 1
               ) newest ON TRUE
               WHERE CASE WHEN recent.is_group THEN joined.role IS NOT NULL ELSE newest.message_id IS NOT NULL END
               ORDER BY recent.active_at DESC, recent.conversation_id DESC
               LIMIT $4
           ),
           blocked AS MATERIALIZED (
               SELECT b.blocked_id::bigint AS id FROM blocked_relationships b WHERE b.blocker_id = $1
               UNION ALL
               SELECT b.blocker_id::bigint FROM blocked_relationships b WHERE b.blocked_id = $1
           )
           SELECT page.conversation_id AS "conversation_id!", page.active_at AS "active_at!", page.last_seq AS "last_seq!",
               page.version AS "version!", page.read_seq AS "read_seq!", peer.read_seq AS "peer_read_seq?", page.muted_until,
               page.pinned AS "pinned!", page.marked_unread AS "marked_unread!", page.name AS "name?", page.metadata AS "metadata?", page.role AS "role?",
               page.community_id AS "community_id?", page.message_id AS "message_id?", unread.count AS "unread_count!",
               mentions.count AS "unread_mentions!",
               (SELECT count(*) FROM (
                   SELECT FROM (
                       SELECT p.conversation_id, p.seq FROM (
                           SELECT conversation_id, seen_seq, is_group FROM live WHERE last_seq > seen_seq
                           UNION ALL
                           SELECT m.conversation_id, greatest(m.read_seq, m.cleared_seq), FALSE FROM conversation_members m
                           WHERE m.user_id = $1 AND m.quiet_unread
                       ) mine
                       CROSS JOIN LATERAL (
                           SELECT WHERE NOT mine.is_group OR EXISTS (
                               SELECT FROM group_chats g WHERE g.group_id = mine.conversation_id AND g.deleted_at IS NULL)
                           OFFSET 0
                       ) present
                       CROSS JOIN LATERAL (
                           SELECT p.conversation_id, p.seq FROM private_messages p
                           WHERE p.conversation_id = mine.conversation_id AND p.seq > mine.seen_seq AND p.sender_id <> $1
                           ORDER BY p.seq DESC LIMIT 5 * $5::bigint
                       ) p
                       LIMIT 20 * $5::bigint
                   ) p
                   WHERE NOT EXISTS (
                       SELECT FROM message_deletions d
                       WHERE d.user_id = $1 AND d.conversation_id = p.conversation_id AND d.seq = p.seq OFFSET 0)
                   LIMIT $5
               ) counted) AS "total_unread!",
               (SELECT count(*) FROM live WHERE NOT is_group) AS "active_count!"
           FROM page
           LEFT JOIN LATERAL (
               SELECT o.read_seq FROM conversation_members o
               WHERE NOT page.is_group AND o.conversation_id = page.conversation_id AND o.user_id <> $1
               LIMIT 1
           ) peer ON TRUE
           CROSS JOIN LATERAL (
               SELECT count(*) FROM (
                   SELECT FROM (
                       SELECT p.seq FROM private_messages p
                       WHERE page.last_seq > page.seen_seq AND p.conversation_id = page.conversation_id
                           AND p.seq > page.seen_seq AND p.sender_id <> $1
                       ORDER BY p.seq DESC LIMIT 5 * $5::bigint
                   ) p
                   WHERE NOT EXISTS (
                       SELECT FROM message_deletions d
                       WHERE d.user_id = $1 AND d.conversation_id = page.conversation_id AND d.seq = p.seq OFFSET 0)
                   LIMIT $5
               ) counted
           ) unread
           CROSS JOIN LATERAL (
               SELECT count(*) FROM (
                   SELECT FROM (
                       SELECT p.seq, p.sender_id, p.mentions @> ARRAY[$1] AS is_named FROM private_messages p
                       WHERE unread.count > 0 AND page.is_group AND p.conversation_id = page.conversation_id
                           AND p.seq > page.seen_seq AND p.sender_id <> $1
                           AND p.mentions IS NOT NULL AND p.mentions && ARRAY[$1, 0]
                       ORDER BY p.seq DESC LIMIT 5 * $5::bigint
                   ) p
                   WHERE NOT EXISTS (
                       SELECT FROM message_deletions d
                       WHERE d.user_id = $1 AND d.conversation_id = page.conversation_id AND d.seq = p.seq OFFSET 0)
                       AND (p.is_named OR p.sender_id NOT IN (SELECT id FROM blocked))
                   LIMIT $5
               ) counted
           ) mentions
           ORDER BY page.active_at DESC, page.conversation_id DESC"#,
        user.0,
        before,
        below,
        limit,
        most_unread
    )
    .fetch_all(&mut *db)
    .await?;
    let found = rows.len() as i64;
    let entries = readable(
        db,
        rows,
        |_| user,
        |row| {
            Ok(EntryRow {
                conversation_id: ConversationId::from_stored(row.conversation_id)?,
                active_at: row.active_at,
                last_seq: row.last_seq,
                version: row.version,
                read_seq: row.read_seq,
                peer_read_seq: row.peer_read_seq,
                muted_until: row.muted_until,
                pinned: row.pinned,
                marked_unread: row.marked_unread,
                name: row.name,
                metadata: row.metadata,
                role: Option::from_stored(row.role)?,
                community_id: row.community_id.map(CommunityId),
                message_id: row.message_id.map(MessageId),
                unread_count: row.unread_count,
                unread_mentions: row.unread_mentions,
                total_unread: row.total_unread,
                active_count: row.active_count,
            })
        },
    );
    Ok((found, entries))
}

/// How many of a conversation's newest messages are looked at for a visible one while the conversation is locked.
const MAX_LOOKED_AT: i64 = 100;

/// Marks up to `limit` of a user's direct conversations as quiet, in which nothing has happened for a minute: from then on
/// [`list_entries`] reads them in the order of an index. Returns how many. Skips those that another transaction is
/// changing, and those whose newest messages are all hidden from the user.
pub async fn mark_quiet(db: &mut PgSession, user: UserId, limit: i64) -> sqlx::Result<u64> {
    // A conversation that changed after this statement began no longer has the version that the statement sees. Later
    // changes find the conversation marked as quiet, and undo that (migration 0033).
    let marked = sqlx::query!(
        r#"WITH quiet AS MATERIALIZED (
               SELECT m.conversation_id, c.last_message_at, shown.is_visible,
                   -- Or else a visible one may be further back.
                   shown.is_visible OR NOT EXISTS (
                       SELECT FROM private_messages p
                       WHERE p.conversation_id = m.conversation_id AND p.seq > m.cleared_seq
                       ORDER BY p.seq DESC OFFSET $3
                   ) AS is_known,
                   -- Too many to be looked at count as unread: that the list looks itself is only slower.
                   (SELECT count(*) = $3 OR coalesce(bool_or(newest.sender_id <> $1), FALSE) FROM (
                       SELECT p.sender_id FROM private_messages p
                       WHERE p.conversation_id = m.conversation_id AND p.seq > greatest(m.read_seq, m.cleared_seq)
                       ORDER BY p.seq DESC LIMIT $3
                   ) newest) AS has_unread
               FROM conversation_members m
               CROSS JOIN LATERAL (
                   SELECT c.version FROM conversations c WHERE c.conversation_id = m.conversation_id OFFSET 0
               ) seen
               CROSS JOIN LATERAL (
                   SELECT c.last_message_at FROM conversations c
                   WHERE c.conversation_id = m.conversation_id AND c.version = seen.version
                       AND (c.last_message_at < now() - interval '1 minute') IS NOT FALSE
                   FOR NO KEY UPDATE SKIP LOCKED
               ) c
               CROSS JOIN LATERAL (
                   SELECT FROM conversation_members held
                   WHERE held.user_id = $1 AND held.conversation_id = m.conversation_id AND held.quiet_since IS NULL
                   FOR NO KEY UPDATE SKIP LOCKED
               ) held
               CROSS JOIN LATERAL (
                   SELECT EXISTS (
                       SELECT FROM (
                           SELECT p.seq FROM private_messages p
                           WHERE p.conversation_id = m.conversation_id AND p.seq > m.cleared_seq
                           ORDER BY p.seq DESC LIMIT $3
                       ) newest
                       WHERE NOT EXISTS (
                           SELECT FROM message_deletions d
                           WHERE d.user_id = $1 AND d.conversation_id = m.conversation_id AND d.seq = newest.seq OFFSET 0)
                   ) AS is_visible
                   OFFSET 0
               ) shown
               WHERE m.user_id = $1 AND m.quiet_since IS NULL AND m.conversation_id LIKE 'conv\_%'
               LIMIT $2
           ),
           noted AS (
               UPDATE conversations c SET is_quiet = TRUE
               FROM quiet WHERE c.conversation_id = quiet.conversation_id AND quiet.is_known AND NOT c.is_quiet
           )
           UPDATE conversation_members m
           SET quiet_since = CASE WHEN quiet.is_visible THEN quiet.last_message_at ELSE '-infinity' END,
               quiet_unread = quiet.is_visible AND quiet.has_unread
           FROM quiet WHERE m.user_id = $1 AND m.conversation_id = quiet.conversation_id AND quiet.is_known"#,
        user.0,
        limit,
        MAX_LOOKED_AT
    )
    .execute(db)
    .await?;
    Ok(marked.rows_affected())
}

/// A user's settings for a conversation.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub muted_until: Option<OffsetDateTime>,
    pub pinned: bool,
    pub marked_unread: bool,
}

/// The settings of a user's view of a conversation; the defaults if there is no row.
pub async fn find_settings(db: &mut PgSession, user: UserId, conversation: ConversationId) -> sqlx::Result<Settings> {
    let found = sqlx::query_as!(
        Settings,
        "SELECT muted_until, pinned, marked_unread FROM conversation_members WHERE user_id = $1 AND conversation_id = $2",
        user.0,
        conversation.to_string()
    )
    .fetch_optional(db)
    .await?;
    Ok(found.unwrap_or_default())
}

/// Sets all settings.
pub async fn update_settings(
    db: &mut PgSession,
    user: UserId,
    conversation: ConversationId,
    settings: &Settings,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO conversation_members (user_id, conversation_id, muted_until, pinned, marked_unread, settings_version)
         VALUES ($1, $2, $3, $4, $5, coalesce((SELECT c.version FROM conversations c WHERE c.conversation_id = $2), 0))
         ON CONFLICT (user_id, conversation_id) DO UPDATE SET
             muted_until = excluded.muted_until, pinned = excluded.pinned, marked_unread = excluded.marked_unread,
             settings_version = excluded.settings_version",
        user.0,
        conversation.to_string(),
        settings.muted_until,
        settings.pinned,
        settings.marked_unread
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes the user's unread mark from a conversation; returns true if there was one.
pub async fn update_no_longer_marked(
    db: &mut PgSession,
    user: UserId,
    conversation: ConversationId,
) -> sqlx::Result<bool> {
    let changed = sqlx::query!(
        "UPDATE conversation_members SET marked_unread = FALSE,
             settings_version = coalesce((SELECT c.version FROM conversations c WHERE c.conversation_id = $2), 0)
         WHERE user_id = $1 AND conversation_id = $2 AND marked_unread",
        user.0,
        conversation.to_string()
    )
    .execute(db)
    .await?;
    Ok(changed.rows_affected() > 0)
}
