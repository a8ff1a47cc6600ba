//! `communities`, `community_members`, `user_community_progress` and `community_challenge_events`: what the main
//! backend reports about its communities.

use super::columns::{Column, Typed, raw, readable, typed};
use crate::store::session::PgSession;
use shared::ids::{CommunityId, GroupId, UserId};
use shared::role::Role;
use time::OffsetDateTime;

/// A community in a member's list.
pub struct CommunityRow {
    pub community_id: CommunityId,
    pub name: String,
    pub description: Option<String>,
    pub avatar_url: Option<String>,
    pub default_group_id: GroupId,
    pub role: Role,
    pub joined_at: OffsetDateTime,
    pub is_muted: bool,
}

/// Those of these communities that are active and that the user belongs to.
pub async fn list_visible(db: &mut PgSession, user: UserId, ids: &[CommunityId]) -> sqlx::Result<Vec<CommunityId>> {
    let found = sqlx::query_scalar!(
        "SELECT c.community_id FROM community_members m JOIN communities c ON c.community_id = m.community_id AND c.is_active
         WHERE m.user_id = $1 AND m.community_id = ANY($2)",
        user.0,
        &raw(ids)
    )
    .fetch_all(db)
    .await?;
    typed(found)
}

/// The active communities of a user, at most `limit`.
pub async fn list_of_user(db: &mut PgSession, user: UserId, limit: i64) -> sqlx::Result<Vec<CommunityRow>> {
    let rows = sqlx::query!(
        "SELECT c.community_id, c.name, c.description, c.avatar_url, c.default_group_id, m.role, m.joined_at, m.is_muted
         FROM community_members m JOIN communities c ON c.community_id = m.community_id AND c.is_active
         WHERE m.user_id = $1 ORDER BY m.joined_at, c.community_id LIMIT $2",
        user.0,
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    Ok(readable(
        db,
        rows,
        |row| row.community_id.clone(),
        |row| {
            Ok(CommunityRow {
                community_id: CommunityId(row.community_id),
                name: row.name,
                description: row.description,
                avatar_url: row.avatar_url,
                default_group_id: GroupId::from_stored(row.default_group_id)?,
                role: Role::from_stored(row.role)?,
                joined_at: row.joined_at,
                is_muted: row.is_muted,
            })
        },
    ))
}

pub async fn is_member(db: &mut PgSession, community: &CommunityId, user: UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM community_members WHERE community_id = $1 AND user_id = $2) AS "member!""#,
        community.0,
        user.0
    )
    .fetch_one(db)
    .await
}

pub struct CommunityMemberRow {
    pub user_id: UserId,
    pub username: String,
    pub role: Role,
    pub joined_at: OffsetDateTime,
    pub last_seen_at: Option<OffsetDateTime>,
    pub is_muted: bool,
}

/// The members: owners first, then admins, then members, in the order in which they joined; at most `limit`.
pub async fn list_members(
    db: &mut PgSession,
    community: &CommunityId,
    limit: i64,
) -> sqlx::Result<Vec<CommunityMemberRow>> {
    sqlx::query_as!(
        CommunityMemberRow,
        r#"SELECT m.user_id, coalesce(u.username, '')::text AS "username!", m.role AS "role: Typed<Role>", m.joined_at,
               s.last_seen_at AS "last_seen_at?", m.is_muted
           FROM (
               SELECT c.* FROM community_members c
               WHERE c.community_id = $1 AND EXISTS (SELECT FROM users_auth a WHERE a.user_id = c.user_id OFFSET 0)
               ORDER BY array_position(ARRAY['owner', 'admin', 'member'], c.role), c.joined_at, c.user_id LIMIT $2
           ) m
           JOIN users_auth u ON u.user_id = m.user_id
           LEFT JOIN user_status s ON s.user_id = m.user_id
           ORDER BY array_position(ARRAY['owner', 'admin', 'member'], m.role), m.joined_at, m.user_id"#,
        community.0,
        limit
    )
    .fetch_all(db)
    .await
}

pub async fn list_member_ids(db: &mut PgSession, community: &CommunityId) -> sqlx::Result<Vec<UserId>> {
    typed(
        sqlx::query_scalar!("SELECT user_id FROM community_members WHERE community_id = $1", community.0)
            .fetch_all(db)
            .await?,
    )
}

/// One user's progress.
#[derive(Clone, Debug, Default)]
pub struct ProgressRow {
    pub total_xp: i64,
    pub daily_streak: i32,
    pub weekly_streak: i32,
    pub last_challenge_id: Option<String>,
    pub last_challenge_type: Option<String>,
    pub last_completed_at: Option<OffsetDateTime>,
}

pub async fn find_progress(
    db: &mut PgSession,
    community: &CommunityId,
    user: UserId,
) -> sqlx::Result<Option<ProgressRow>> {
    sqlx::query_as!(
        ProgressRow,
        "SELECT total_xp, daily_streak, weekly_streak, last_challenge_id, last_challenge_type, last_completed_at
         FROM user_community_progress WHERE community_id = $1 AND user_id = $2",
        community.0,
        user.0
    )
    .fetch_optional(db)
    .await
}

/// Sets a user's progress.
pub async fn update_progress(
    db: &mut PgSession,
    community: &CommunityId,
    user: UserId,
    progress: &ProgressRow,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO user_community_progress AS p (
             community_id, user_id, total_xp, daily_streak, weekly_streak, last_challenge_id, last_challenge_type,
             last_completed_at
         ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (community_id, user_id) DO UPDATE SET
             total_xp = excluded.total_xp, daily_streak = excluded.daily_streak, weekly_streak = excluded.weekly_streak,
             last_challenge_id = excluded.last_challenge_id, last_challenge_type = excluded.last_challenge_type,
             last_completed_at = excluded.last_completed_at",
        community.0,
        user.0,
        progress.total_xp,
        progress.daily_streak,
        progress.weekly_streak,
        progress.last_challenge_id,
        progress.last_challenge_type,
        progress.last_completed_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A community as stored.
pub struct StoredCommunity {
    pub name: String,
    pub description: Option<String>,
    pub default_group_id: GroupId,
}

/// Waits until no other transaction syncs this community, and keeps others out until the end of this one.
pub async fn lock(db: &mut PgSession, community: &CommunityId) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('community:' || $1::text, 0))", community.0)
        .execute(db)
        .await?;
    Ok(())
}

pub async fn find(db: &mut PgSession, community: &CommunityId) -> sqlx::Result<Option<StoredCommunity>> {
    sqlx::query_as!(
        StoredCommunity,
        r#"SELECT name, description, default_group_id AS "default_group_id: Typed<GroupId>" FROM communities WHERE community_id = $1"#,
        community.0
    )
    .fetch_optional(db)
    .await
}

/// The main backend's data for a community. Absent fields stay as they are.
pub struct CommunityUpdate<'a> {
    pub community_id: &'a CommunityId,
    pub name: &'a str,
    pub description: Option<&'a str>,
    pub avatar_url: Option<&'a str>,
    pub default_group_id: GroupId,
    pub is_active: Option<bool>,
}

pub async fn update(db: &mut PgSession, community: &CommunityUpdate<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO communities AS c (community_id, name, description, avatar_url, default_group_id, is_active)
         VALUES ($1, $2, $3, $4, $5, coalesce($6, TRUE))
         ON CONFLICT (community_id) DO UPDATE SET
             name = excluded.name, description = coalesce($3, c.description), avatar_url = coalesce($4, c.avatar_url),
             is_active = coalesce($6, c.is_active), updated_at = now()",
        community.community_id.0,
        community.name,
        community.description,
        community.avatar_url,
        community.default_group_id.to_string(),
        community.is_active
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Adds members and changes roles; the arrays are parallel, with no user twice. Unknown users are skipped.
pub async fn update_members(
    db: &mut PgSession,
    community: &CommunityId,
    users: &[UserId],
    roles: &[Role],
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO community_members AS m (community_id, user_id, role)
         SELECT $1, n.user_id, n.role FROM unnest($2::bigint[], $3::text[]) AS n (user_id, role)
         JOIN users_auth u ON u.user_id = n.user_id
         ON CONFLICT (community_id, user_id) DO UPDATE SET role = excluded.role WHERE m.role <> excluded.role",
        community.0,
        &raw(users),
        &raw(roles)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Sets who mutes the community; the arrays are parallel.
pub async fn update_muted(
    db: &mut PgSession,
    community: &CommunityId,
    users: &[UserId],
    muted: &[bool],
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE community_members m SET is_muted = n.is_muted
         FROM unnest($2::bigint[], $3::boolean[]) AS n (user_id, is_muted)
         WHERE m.community_id = $1 AND m.user_id = n.user_id",
        community.0,
        &raw(users),
        muted
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes everyone except these.
pub async fn delete_other_members(db: &mut PgSession, community: &CommunityId, users: &[UserId]) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM community_members m WHERE community_id = $1
             AND NOT EXISTS (SELECT FROM unnest($2::bigint[]) AS n (user_id) WHERE n.user_id = m.user_id)",
        community.0,
        &raw(users)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A completed challenge to store.
pub struct NewEvent<'a> {
    pub event_id: &'a str,
    pub community_id: &'a CommunityId,
    pub user_id: UserId,
    pub challenge_id: Option<&'a str>,
    pub challenge_type: Option<&'a str>,
    pub xp_awarded: i64,
    pub occurred_at: OffsetDateTime,
    pub payload: Option<&'a serde_json::Value>,
}

/// Stores an event; false if its id already existed.
pub async fn insert_event(db: &mut PgSession, event: &NewEvent<'_>) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "INSERT INTO community_challenge_events (
             event_id, community_id, user_id, challenge_id, challenge_type, xp_awarded, occurred_at, payload
         ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        event.event_id,
        event.community_id.0,
        event.user_id.0,
        event.challenge_id,
        event.challenge_type,
        event.xp_awarded,
        event.occurred_at,
        event.payload
    )
    .execute(db)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// The group that becomes a community's default group.
pub struct DefaultGroup {
    pub community_id: Option<CommunityId>,
    pub deleted: bool,
}

/// Locks a group against its members' commands until the end of the transaction.
pub async fn find_group_locked(db: &mut PgSession, group: GroupId) -> sqlx::Result<Option<DefaultGroup>> {
    sqlx::query_as!(
        DefaultGroup,
        r#"SELECT community_id AS "community_id!: Typed<Option<CommunityId>>", deleted_at IS NOT NULL AS "deleted!" FROM group_chats WHERE group_id = $1 FOR UPDATE"#,
        group.to_string()
    )
    .fetch_optional(db)
    .await
}

/// Makes a group the community's default group.
pub async fn update_group_owner(
    db: &mut PgSession,
    group: GroupId,
    community: &CommunityId,
    max_members: i32,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE group_chats SET community_id = $2, max_members = $3 WHERE group_id = $1",
        group.to_string(),
        community.0,
        max_members
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A user whose membership in the group has to change to match the community.
pub struct Difference {
    pub user_id: UserId,
    pub username: String,
    /// The role in the group; `None` for a new member.
    pub old_role: Option<Role>,
    /// The role in the community; `None` for a user who left.
    pub new_role: Option<Role>,
}

impl Difference {
    /// True for a user who left.
    pub fn is_gone(&self) -> bool {
        self.new_role.is_none()
    }
}

/// The differences between a group and its community. Members of the community whose account is deleted do not count.
pub async fn list_differences(
    db: &mut PgSession,
    community: &CommunityId,
    group: GroupId,
) -> sqlx::Result<Vec<Difference>> {
    sqlx::query_as!(
        Difference,
        r#"SELECT d.user_id AS "user_id!", coalesce(u.username, '')::text AS "username!",
               d.old_role AS "old_role!: Typed<Option<Role>>", d.new_role AS "new_role!: Typed<Option<Role>>"
           FROM (
               SELECT coalesce(g.user_id, c.user_id) AS user_id, g.role AS old_role, c.role AS new_role
               FROM (SELECT user_id, role FROM group_members WHERE group_id = $2) g
               FULL JOIN (
                   SELECT m.user_id, m.role FROM community_members m
                   WHERE m.community_id = $1 AND EXISTS (SELECT FROM users_auth a WHERE a.user_id = m.user_id)
                       AND NOT EXISTS (
                           SELECT FROM group_sanctions s WHERE s.group_id = $2 AND s.kind = 'ban' AND s.user_id = m.user_id
                               AND (s.ends_at IS NULL OR s.ends_at > now())
                       )
               ) c
                   ON c.user_id = g.user_id
               WHERE g.role IS DISTINCT FROM c.role
           ) d
           LEFT JOIN users_auth u ON u.user_id = d.user_id
           ORDER BY d.user_id"#,
        community.0,
        group.to_string()
    )
    .fetch_all(db)
    .await
}

/// Changes members' roles; the arrays are parallel.
pub async fn update_roles(db: &mut PgSession, group: GroupId, users: &[UserId], roles: &[Role]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE group_members m SET role = n.role, can_add_members = n.role <> 'member'
         FROM unnest($2::bigint[], $3::text[]) AS n (user_id, role)
         WHERE m.group_id = $1 AND m.user_id = n.user_id",
        group.to_string(),
        &raw(users),
        &raw(roles)
    )
    .execute(db)
    .await?;
    Ok(())
}
