//! `user_status`: when users were last seen, and if others believe them online; also a user's contacts.

use super::columns::{raw, typed};
use crate::store::session::PgSession;
use shared::ids::UserId;

use super::users::UserPair;

/// Stores what others are told: these users are online (or offline) from now on. Returns those for whom this changed;
/// their rows stay locked until the end of the transaction.
pub async fn update_status(db: &mut PgSession, users: &[UserId], online: bool) -> sqlx::Result<Vec<UserId>> {
    let users = sqlx::query_scalar!(
        "INSERT INTO user_status AS s (user_id, last_seen_at, online)
         SELECT DISTINCT u, now(), $2::boolean FROM unnest($1::bigint[]) AS u ORDER BY u
         ON CONFLICT (user_id) DO UPDATE SET last_seen_at = excluded.last_seen_at, online = excluded.online
             WHERE s.online <> excluded.online
         RETURNING user_id",
        &raw(users),
        online
    )
    .fetch_all(db)
    .await?;
    typed(users)
}

/// Marks exactly these users as online.
pub async fn replace_online(db: &mut PgSession, users: &[UserId]) -> sqlx::Result<()> {
    // Not `<> ALL`, which a generic plan compares with every one of them.
    sqlx::query!(
        "UPDATE user_status s SET online = FALSE
         WHERE online AND NOT EXISTS (SELECT FROM unnest($1::bigint[]) AS o (user_id) WHERE o.user_id = s.user_id)",
        &raw(users)
    )
    .execute(&mut *db)
    .await?;
    update_status(db, users, true).await?;
    Ok(())
}

/// Users whom others believe online, with ids after `after`, in their order.
pub async fn list_online(db: &mut PgSession, after: UserId, limit: i64) -> sqlx::Result<Vec<UserId>> {
    let users = sqlx::query_scalar!(
        "SELECT user_id FROM user_status WHERE online AND user_id > $1 ORDER BY user_id LIMIT $2",
        after.0,
        limit
    )
    .fetch_all(db)
    .await?;
    typed(users)
}

/// The contacts of each of these users: followed users, followers, and users who share one of as many conversations and
/// groups, these of at most `most_members`; up to `limit` of each. Each pair once.
pub async fn list_contacts(
    db: &mut PgSession,
    users: &[UserId],
    most_members: i64,
    limit: i64,
) -> sqlx::Result<Vec<UserPair>> {
    // In the order of indexes, so that mostly the same users are told that one came and that one went (not of followers, whose
    // index has no order among them). Direct conversations come before groups.
    sqlx::query_as!(
        UserPair,
        r#"SELECT asked.id AS "user_id!", contact.id AS "other_id!"
           FROM (SELECT DISTINCT unnest($1::bigint[]) AS id) asked
           CROSS JOIN LATERAL (
               (SELECT followee_id AS id FROM user_follows WHERE follower_id = asked.id ORDER BY followee_id LIMIT $3)
               UNION
               (SELECT follower_id FROM user_follows WHERE followee_id = asked.id LIMIT $3)
               UNION
               (SELECT other.user_id
                FROM (
                    SELECT conversation_id FROM conversation_members
                    WHERE user_id = asked.id ORDER BY conversation_id LIMIT $3
                ) mine
                CROSS JOIN LATERAL (
                    SELECT m.user_id FROM conversation_members m
                    WHERE m.conversation_id = mine.conversation_id AND m.user_id <> asked.id
                        AND (SELECT count(*) FROM (
                                SELECT FROM conversation_members n WHERE n.conversation_id = mine.conversation_id LIMIT $2::bigint + 1
                            ) counted) <= $2::bigint
                    ORDER BY m.user_id
                    OFFSET 0
                ) other
                LIMIT $3)
           ) contact"#,
        &raw(users),
        most_members,
        limit
    )
    .fetch_all(db)
    .await
}

/// A user's contacts: followed users, followers, and users who share a conversation or a group; up to `limit` of each.
pub async fn list_some_contacts(db: &mut PgSession, user: UserId, limit: i64) -> sqlx::Result<Vec<UserId>> {
    let users = sqlx::query_scalar!(
        r#"(SELECT followee_id AS "user_id!" FROM user_follows WHERE follower_id = $1 LIMIT $2)
           UNION
           (SELECT follower_id FROM user_follows WHERE followee_id = $1 LIMIT $2)
           UNION
           (SELECT other.user_id FROM conversation_members mine
            JOIN conversation_members other ON other.conversation_id = mine.conversation_id AND other.user_id <> mine.user_id
            WHERE mine.user_id = $1 LIMIT $2)"#,
        user.0,
        limit
    )
    .fetch_all(db)
    .await?;
    typed(users)
}

/// A user in the list of online users.
pub struct OnlineUser {
    pub user_id: UserId,
    pub username: String,
    pub display_name: Option<String>,
    pub profile_picture: Option<String>,
    pub last_seen_at: Option<time::OffsetDateTime>,
}

/// These users as `caller` may see them: without the caller, and without users blocked in either direction.
pub async fn list_online_users(db: &mut PgSession, caller: UserId, users: &[UserId]) -> sqlx::Result<Vec<OnlineUser>> {
    sqlx::query_as!(
        OnlineUser,
        r#"SELECT u.user_id::bigint AS "user_id!", coalesce(u.username, '')::text AS "username!",
                  p.display_name AS "display_name?", p.profile_picture AS "profile_picture?",
                  s.last_seen_at AS "last_seen_at?"
           FROM users_auth u
           LEFT JOIN LATERAL chat_profile(u.user_id) p ON TRUE
           LEFT JOIN user_status s ON s.user_id = u.user_id
           WHERE u.user_id = ANY($2) AND u.user_id <> $1
               AND NOT EXISTS (SELECT FROM blocked_relationships b WHERE b.blocker_id = $1 AND b.blocked_id = u.user_id)
               AND NOT EXISTS (SELECT FROM blocked_relationships b WHERE b.blocker_id = u.user_id AND b.blocked_id = $1)
           ORDER BY u.user_id"#,
        caller.0,
        &raw(users)
    )
    .fetch_all(db)
    .await
}
