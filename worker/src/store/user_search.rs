//! `user_search`: users by the beginning of their names, kept up to date by triggers (migration 0017); also
//! `blocked_relationships`, if this server keeps the accounts.

use super::columns::{raw, typed};
use crate::store::session::PgSession;
use shared::ids::UserId;

/// A user as others see them.
pub struct UserRow {
    pub user_id: UserId,
    pub username: String,
    pub display_name: Option<String>,
    pub profile_picture: Option<String>,
}

/// The users with these ids, in no particular order; deleted ones are left out.
pub async fn list_profiles(db: &mut PgSession, users: &[UserId]) -> sqlx::Result<Vec<UserRow>> {
    sqlx::query_as!(
        UserRow,
        r#"SELECT u.user_id::bigint AS "user_id!", coalesce(u.username, '')::text AS "username!", p.display_name, p.profile_picture
           FROM users_auth u LEFT JOIN LATERAL chat_profile(u.user_id) p ON TRUE WHERE u.user_id = ANY($1)"#,
        &raw(users)
    )
    .fetch_all(db)
    .await
}

/// The ids of the first `limit` users whose username or display name has this prefix, ordered by the matching name:
/// without the caller and users blocked in either direction.
pub async fn list_by_prefix(db: &mut PgSession, caller: UserId, prefix: &str, limit: i64) -> sqlx::Result<Vec<UserId>> {
    // Both indexes are read in order until there are enough; U+10FFFF sorts after every name with the prefix.
    let users = sqlx::query_scalar!(
        r#"WITH sought AS MATERIALIZED (SELECT chat_folded($2) COLLATE "C" AS low, chat_folded($2) || chr(1114111) AS high)
           SELECT found.user_id AS "user_id!" FROM (
               (SELECT s.user_id, s.username AS name FROM user_search s
                WHERE s.username >= (SELECT low FROM sought) AND s.username < (SELECT high FROM sought) AND s.user_id <> $1
                    AND NOT EXISTS (SELECT FROM blocked_relationships b WHERE b.blocker_id = $1 AND b.blocked_id = s.user_id)
                    AND NOT EXISTS (SELECT FROM blocked_relationships b WHERE b.blocker_id = s.user_id AND b.blocked_id = $1)
                ORDER BY s.username, s.user_id LIMIT $3)
               UNION ALL
               (SELECT s.user_id, s.display_name FROM user_search s
                WHERE s.display_name >= (SELECT low FROM sought) AND s.display_name < (SELECT high FROM sought)
                    AND s.user_id <> $1
                    AND NOT EXISTS (SELECT FROM blocked_relationships b WHERE b.blocker_id = $1 AND b.blocked_id = s.user_id)
                    AND NOT EXISTS (SELECT FROM blocked_relationships b WHERE b.blocker_id = s.user_id AND b.blocked_id = $1)
                ORDER BY s.display_name, s.user_id LIMIT $3)
           ) found
           GROUP BY found.user_id
           ORDER BY min(found.name), found.user_id
           LIMIT $3"#,
        caller.0,
        prefix,
        limit
    )
    .fetch_all(db)
    .await?;
    typed(users)
}

/// Members of larger groups are not enumerated; a user's membership is looked up instead.
const MAX_ENUMERATED_MEMBERS: i64 = 5_000;
/// The names of more contacts than this are not looked up one by one. With a million users, 20 of this many contacts
/// are found among the first 10,000 names on average, which takes as long as looking up this many.
const MAX_NAMES_BY_KEY: i64 = 2_000;

/// Like [`list_by_prefix`], but only users who share a direct conversation that has had a message, a group or a follow with
/// the caller.
pub async fn list_contacts_by_prefix(
    db: &mut PgSession,
    caller: UserId,
    prefix: &str,
    limit: i64,
) -> sqlx::Result<Vec<UserId>> {
    // The names of a few contacts are looked up one by one. If there are many, some are among the first names with the
    // prefix: these are read in order until enough of them are contacts, so that the work does not depend on the size
    // of a group. A row in `conversation_members` alone makes no contact: users may set up a conversation with anybody
    // before its first message.
    let users = sqlx::query_scalar!(
        r#"WITH sought AS MATERIALIZED (SELECT chat_folded($2) COLLATE "C" AS low, chat_folded($2) || chr(1114111) AS high),
           joined AS MATERIALIZED (
               SELECT mine.group_id, g.max_members > $4::bigint AND (
                   SELECT count(*) > $4::bigint FROM (SELECT FROM group_members m WHERE m.group_id = mine.group_id LIMIT $4::bigint + 1) counted
               ) AS is_large
               FROM group_members mine
               JOIN group_chats g ON g.group_id = mine.group_id AND g.deleted_at IS NULL
               WHERE mine.user_id = $1
           ),
           addressed AS MATERIALIZED (
               SELECT CASE WHEN split_part(m.conversation_id, '_', 2) = $1::bigint::text
                           THEN split_part(m.conversation_id, '_', 3) ELSE split_part(m.conversation_id, '_', 2) END::bigint AS id
               FROM conversation_members m WHERE m.user_id = $1 AND m.conversation_id LIKE 'conv\_%'
           ),
           related AS MATERIALIZED (
               SELECT theirs.user_id AS id FROM joined JOIN group_members theirs ON theirs.group_id = joined.group_id
               WHERE NOT joined.is_large
               UNION SELECT f.followee_id FROM user_follows f WHERE f.follower_id = $1
               UNION SELECT f.follower_id FROM user_follows f WHERE f.followee_id = $1
           ),
           contact AS MATERIALIZED (SELECT id FROM addressed UNION SELECT id FROM related),
           extent AS MATERIALIZED (
               SELECT (SELECT count(*) FROM contact) > $5 OR EXISTS (SELECT FROM joined WHERE is_large) AS is_large
           )
           SELECT found.user_id AS "user_id!" FROM (
               SELECT s.user_id, named.name
               FROM contact
               CROSS JOIN LATERAL (SELECT * FROM user_search s WHERE s.user_id = contact.id OFFSET 0) s
               CROSS JOIN LATERAL (
                   SELECT least(
                       CASE WHEN s.username >= low AND s.username < high THEN s.username END,
                       CASE WHEN s.display_name >= low AND s.display_name < high THEN s.display_name END) AS name
                   FROM sought
               ) named
               WHERE NOT (SELECT is_large FROM extent) AND named.name IS NOT NULL AND s.user_id <> $1
                   AND (s.user_id IN (SELECT id FROM related) OR EXISTS (
                       SELECT FROM conversations c
                       WHERE c.conversation_id = 'conv_' || least(s.user_id, $1) || '_' || greatest(s.user_id, $1) AND c.last_seq > 0 OFFSET 0))
                   AND NOT EXISTS (SELECT FROM blocked_relationships b WHERE b.blocker_id = $1 AND b.blocked_id = s.user_id)
                   AND NOT EXISTS (SELECT FROM blocked_relationships b WHERE b.blocker_id = s.user_id AND b.blocked_id = $1)
               UNION ALL
               (SELECT s.user_id, s.username FROM user_search s
                WHERE (SELECT is_large FROM extent)
                    AND s.username >= (SELECT low FROM sought) AND s.username < (SELECT high FROM sought) AND s.user_id <> $1
                    AND (s.user_id IN (SELECT id FROM related) OR s.user_id IN (SELECT id FROM addressed) AND EXISTS (
                        SELECT FROM conversations c
                        WHERE c.conversation_id = 'conv_' || least(s.user_id, $1) || '_' || greatest(s.user_id, $1) AND c.last_seq > 0 OFFSET 0)
                    OR EXISTS (
                        SELECT FROM joined JOIN group_members m ON m.group_id = joined.group_id AND m.user_id = s.user_id
                        WHERE joined.is_large OFFSET 0))
                    AND NOT EXISTS (SELECT FROM blocked_relationships b WHERE b.blocker_id = $1 AND b.blocked_id = s.user_id)
                    AND NOT EXISTS (SELECT FROM blocked_relationships b WHERE b.blocker_id = s.user_id AND b.blocked_id = $1)
                ORDER BY s.username, s.user_id LIMIT $3)
               UNION ALL
               (SELECT s.user_id, s.display_name FROM user_search s
                WHERE (SELECT is_large FROM extent)
                    AND s.display_name >= (SELECT low FROM sought) AND s.display_name < (SELECT high FROM sought)
                    AND s.user_id <> $1
                    AND (s.user_id IN (SELECT id FROM related) OR s.user_id IN (SELECT id FROM addressed) AND EXISTS (
                        SELECT FROM conversations c
                        WHERE c.conversation_id = 'conv_' || least(s.user_id, $1) || '_' || greatest(s.user_id, $1) AND c.last_seq > 0 OFFSET 0)
                    OR EXISTS (
                        SELECT FROM joined JOIN group_members m ON m.group_id = joined.group_id AND m.user_id = s.user_id
                        WHERE joined.is_large OFFSET 0))
                    AND NOT EXISTS (SELECT FROM blocked_relationships b WHERE b.blocker_id = $1 AND b.blocked_id = s.user_id)
                    AND NOT EXISTS (SELECT FROM blocked_relationships b WHERE b.blocker_id = s.user_id AND b.blocked_id = $1)
                ORDER BY s.display_name, s.user_id LIMIT $3)
           ) found
           GROUP BY found.user_id
           ORDER BY min(found.name), found.user_id
           LIMIT $3"#,
        caller.0,
        prefix,
        limit,
        MAX_ENUMERATED_MEMBERS,
        MAX_NAMES_BY_KEY
    )
    .fetch_all(db)
    .await?;
    typed(users)
}

/// Blocks a user; repeating it changes nothing. Returns false, with nothing changed, if the blocker already blocks `most` users.
pub async fn insert_block(db: &mut PgSession, blocker: UserId, blocked: UserId, most: i64) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"WITH room AS MATERIALIZED (
               SELECT count(*) < $3::bigint AS is_left FROM (
                   SELECT FROM blocked_relationships WHERE blocker_id = $1 AND blocked_id <> $2 LIMIT $3::bigint
               ) others
           ),
           blocked AS (
               INSERT INTO blocked_relationships (blocker_id, blocked_id) SELECT $1, $2 FROM room WHERE is_left
               ON CONFLICT DO NOTHING
           )
           SELECT is_left AS "is_left!" FROM room"#,
        blocker.0,
        blocked.0,
        most
    )
    .fetch_one(db)
    .await
}

pub async fn delete_block(db: &mut PgSession, blocker: UserId, blocked: UserId) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM blocked_relationships WHERE blocker_id = $1 AND blocked_id = $2", blocker.0, blocked.0)
        .execute(db)
        .await?;
    Ok(())
}

/// The users whom a user blocks, the latest first; at most `most`.
pub async fn list_blocked(db: &mut PgSession, blocker: UserId, most: i64) -> sqlx::Result<Vec<UserId>> {
    let users = sqlx::query_scalar!(
        r#"SELECT blocked_id::bigint AS "blocked_id!" FROM blocked_relationships WHERE blocker_id = $1
           ORDER BY created_at DESC, blocked_id LIMIT $2"#,
        blocker.0,
        most
    )
    .fetch_all(db)
    .await?;
    typed(users)
}
