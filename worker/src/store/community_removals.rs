//! `communities.removing`: members who have left a community and still have to leave its group, in parts.

use super::columns::{Typed, typed};
use super::communities::Difference;
use super::session::PgSession;
use shared::ids::{CommandId, CommunityId, GroupId};
use shared::role::Role;

/// Like [`super::communities::lock`]; false if another transaction has it.
pub async fn try_lock(db: &mut PgSession, community: &CommunityId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended('community:' || $1::text, 0)) AS "locked!""#,
        community.0
    )
    .fetch_one(db)
    .await
}

/// Up to `limit` members of a group who do not belong to its community.
pub async fn list_gone(
    db: &mut PgSession,
    community: &CommunityId,
    group: GroupId,
    limit: i64,
) -> sqlx::Result<Vec<Difference>> {
    sqlx::query_as!(
        Difference,
        r#"SELECT g.user_id, coalesce(u.username, '')::text AS "username!", g.role AS "old_role!: Typed<Option<Role>>",
               NULL::text AS "new_role!: Typed<Option<Role>>"
           FROM group_members g LEFT JOIN users_auth u ON u.user_id = g.user_id
           WHERE g.group_id = $2 AND NOT EXISTS (
               SELECT FROM community_members m JOIN users_auth a ON a.user_id = m.user_id
               WHERE m.community_id = $1 AND m.user_id = g.user_id
           )
           ORDER BY g.user_id LIMIT $3"#,
        community.0,
        group.to_string(),
        limit
    )
    .fetch_all(db)
    .await
}

/// Communities whose group has members to be removed in parts, at most `limit`.
pub async fn list_communities(db: &mut PgSession, limit: i64) -> sqlx::Result<Vec<CommunityId>> {
    let communities = sqlx::query_scalar!(
        "SELECT community_id FROM communities WHERE removing IS NOT NULL ORDER BY community_id LIMIT $1",
        limit
    )
    .fetch_all(db)
    .await?;
    typed(communities)
}

/// Members of a community's group are being removed in parts.
pub struct Removing {
    pub group_id: GroupId,
    /// The last part; its outcome is in `applied_commands`.
    pub part: CommandId,
    /// True if it was stored within the last seconds, so that its worker is probably going on.
    pub is_fresh: bool,
}

pub async fn find(db: &mut PgSession, community: &CommunityId) -> sqlx::Result<Option<Removing>> {
    let found = sqlx::query!(
        r#"SELECT default_group_id AS "group_id: Typed<GroupId>", removing AS "part!",
               EXISTS (SELECT FROM applied_commands a
                       WHERE a.command_id = removing AND a.applied_at > now() - interval '5 s') AS "is_fresh!"
           FROM communities WHERE community_id = $1 AND removing IS NOT NULL"#,
        community.0
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|row| Removing { group_id: row.group_id.into(), part: CommandId(row.part), is_fresh: row.is_fresh }))
}

/// Begins to remove the members of the group who do not belong to the community, unless that goes on already.
pub async fn begin(db: &mut PgSession, community: &CommunityId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE communities SET removing = '00000000-0000-0000-0000-000000000000'
         WHERE community_id = $1 AND removing IS NULL",
        community.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Stores the last part; `None` when nobody is left to be removed.
pub async fn update_part(db: &mut PgSession, community: &CommunityId, part: Option<CommandId>) -> sqlx::Result<()> {
    sqlx::query!("UPDATE communities SET removing = $2 WHERE community_id = $1", community.0, part.map(|part| part.0))
        .execute(db)
        .await?;
    Ok(())
}
