//! The main backend's users, tokens, blocks and follows. This server only reads them.
//!
//! The types of their columns differ between sites and change while we run, so what is selected is cast (`::bigint`, `::text`), and
//! a profile is read by `chat_profile` (migration 0010), which knows how its columns may be called. Conditions are not cast: the
//! indexes serve numbers of any width and texts of any kind.

use super::columns::{raw, typed};
use crate::store::session::PgSession;
use shared::ids::{GroupId, TokenId, UserId};

/// A user whose token requests a session.
pub struct Candidate {
    pub user_id: UserId,
    pub username: String,
    pub email: Option<String>,
    pub display_name: Option<String>,
    pub bio: Option<String>,
    pub profile_picture: Option<String>,
    pub revoked: bool,
    pub deactivated: bool,
    /// All groups that the user belongs to.
    pub groups: Vec<GroupId>,
}

/// Everything that decides about sessions and describes their users, for many at once; the arrays are parallel. Unknown
/// users are left out.
pub async fn list_candidates(
    db: &mut PgSession,
    users: &[UserId],
    token_ids: &[TokenId],
) -> sqlx::Result<Vec<(i64, Candidate)>> {
    let rows = sqlx::query!(
        r#"SELECT c.ord AS "ord!", u.user_id::bigint AS "user_id!", coalesce(u.username, '')::text AS "username!",
                  u.email::text AS email, p.display_name, p.bio, p.profile_picture,
                  EXISTS (SELECT FROM jwt_revocation r WHERE r.jti = c.token_id) AS "revoked!",
                  EXISTS (SELECT FROM deactivated_users d WHERE d.user_id = c.user_id) AS "deactivated!",
                  ARRAY(SELECT m.group_id FROM group_members m
                        JOIN group_chats g ON g.group_id = m.group_id AND g.deleted_at IS NULL
                        WHERE m.user_id = u.user_id) AS "groups!"
           FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS c (user_id, token_id, ord)
           JOIN users_auth u ON u.user_id = c.user_id
           LEFT JOIN LATERAL chat_profile(u.user_id) p ON TRUE"#,
        &raw(users),
        &raw(token_ids)
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let candidate = Candidate {
                user_id: UserId(row.user_id),
                username: row.username,
                email: row.email,
                display_name: row.display_name,
                bio: row.bio,
                profile_picture: row.profile_picture,
                revoked: row.revoked,
                deactivated: row.deactivated,
                // This server wrote them; a malformed one is not a group that anyone can use, and must not keep its
                // user out.
                groups: row.groups.iter().filter_map(|group| group.parse().ok()).collect(),
            };
            (row.ord - 1, candidate)
        })
        .collect())
}

/// No user has this id: it hides nothing, and lists leave nobody out for it.
pub const NOBODY: UserId = UserId(0);

/// A user as others see them.
pub struct UserName {
    pub user_id: UserId,
    pub username: String,
    pub display_name: Option<String>,
}

pub async fn list_names(db: &mut PgSession, users: &[UserId]) -> sqlx::Result<Vec<UserName>> {
    sqlx::query_as!(
        UserName,
        r#"SELECT u.user_id::bigint AS "user_id!", coalesce(u.username, '')::text AS "username!", p.display_name
           FROM users_auth u LEFT JOIN LATERAL chat_profile(u.user_id) p ON TRUE WHERE u.user_id = ANY($1)"#,
        &raw(users)
    )
    .fetch_all(db)
    .await
}

/// A user as the counterpart of another.
pub struct Counterpart {
    pub username: String,
    pub display_name: Option<String>,
    /// True if either blocks the other.
    pub blocked: bool,
    /// True if the asking user follows this one.
    pub followed: bool,
}

pub async fn find_counterpart(db: &mut PgSession, user: UserId, other: UserId) -> sqlx::Result<Option<Counterpart>> {
    sqlx::query_as!(
        Counterpart,
        r#"SELECT coalesce(u.username, '')::text AS "username!", p.display_name,
               EXISTS (SELECT FROM blocked_relationships WHERE blocker_id = $1 AND blocked_id = $2)
                   OR EXISTS (SELECT FROM blocked_relationships WHERE blocker_id = $2 AND blocked_id = $1) AS "blocked!",
               EXISTS (SELECT FROM user_follows WHERE follower_id = $1 AND followee_id = $2) AS "followed!"
           FROM users_auth u LEFT JOIN LATERAL chat_profile(u.user_id) p ON TRUE WHERE u.user_id = $2"#,
        user.0,
        other.0
    )
    .fetch_optional(db)
    .await
}

/// True if either of the two blocks the other.
pub async fn is_blocked(db: &mut PgSession, one: UserId, other: UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM blocked_relationships WHERE blocker_id = $1 AND blocked_id = $2)
               OR EXISTS (SELECT FROM blocked_relationships WHERE blocker_id = $2 AND blocked_id = $1) AS "blocked!""#,
        one.0,
        other.0
    )
    .fetch_one(db)
    .await
}

/// Those of these users who exist.
pub async fn list_existing(db: &mut PgSession, users: &[UserId]) -> sqlx::Result<Vec<UserId>> {
    let users = sqlx::query_scalar!(
        r#"SELECT u.user_id::bigint AS "user_id!" FROM users_auth u WHERE u.user_id = ANY($1)"#,
        &raw(users)
    )
    .fetch_all(db)
    .await?;
    typed(users)
}

/// A pair of related users.
pub struct UserPair {
    pub user_id: UserId,
    pub other_id: UserId,
}

/// Everyone whom one of these users blocks or is blocked by.
pub async fn list_blocked_pairs(db: &mut PgSession, users: &[UserId]) -> sqlx::Result<Vec<UserPair>> {
    sqlx::query_as!(
        UserPair,
        r#"SELECT blocker_id::bigint AS "user_id!", blocked_id::bigint AS "other_id!"
           FROM blocked_relationships WHERE blocker_id = ANY($1)
           UNION
           SELECT blocked_id, blocker_id FROM blocked_relationships WHERE blocked_id = ANY($1)"#,
        &raw(users)
    )
    .fetch_all(db)
    .await
}

/// Those of the pairs `ones[i]`, `others[i]` in which either blocks the other.
pub async fn list_blocked_among(db: &mut PgSession, ones: &[UserId], others: &[UserId]) -> sqlx::Result<Vec<UserPair>> {
    sqlx::query_as!(
        UserPair,
        r#"SELECT p.one AS "user_id!", p.other AS "other_id!" FROM unnest($1::bigint[], $2::bigint[]) AS p (one, other)
           WHERE EXISTS (SELECT FROM blocked_relationships WHERE blocker_id = p.one AND blocked_id = p.other)
               OR EXISTS (SELECT FROM blocked_relationships WHERE blocker_id = p.other AND blocked_id = p.one)"#,
        &raw(ones),
        &raw(others)
    )
    .fetch_all(db)
    .await
}

pub async fn exists(db: &mut PgSession, user: UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM users_auth WHERE user_id = $1) AS "exists!""#, user.0)
        .fetch_one(db)
        .await
}
