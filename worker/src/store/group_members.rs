//! `group_members`, and what belongs to a membership: the member's cursors in `conversation_members`, and the member's
//! waiting events in `event_queue`.

use super::columns::{Typed, raw, typed};
use crate::store::session::PgSession;
use shared::config::GroupAddPolicy;
use shared::ids::{GroupId, UserId};
use shared::role::Role;
use time::OffsetDateTime;

/// A member as others see them.
pub struct MemberRow {
    pub user_id: UserId,
    pub username: String,
    pub display_name: Option<String>,
    pub role: Role,
    pub can_add_members: bool,
    pub joined_at: OffsetDateTime,
    /// `None` if nothing was read since joining.
    pub read_seq: Option<i64>,
}

/// A position in the list of members.
pub struct MemberPlace {
    /// The rank of the role: owner, admin, member.
    pub rank: i32,
    pub joined_at: OffsetDateTime,
    pub user_id: UserId,
}

/// The members of a group after a position: the owner first, then admins, then members, in the order in which they
/// joined; at most `limit`.
pub async fn list_members(
    db: &mut PgSession,
    group: GroupId,
    after: Option<MemberPlace>,
    limit: i64,
) -> sqlx::Result<Vec<MemberRow>> {
    let after = after.as_ref();
    sqlx::query_as!(
        MemberRow,
        r#"SELECT m.user_id AS "user_id!", coalesce(u.username, '')::text AS "username!", p.display_name AS "display_name?",
               m.role AS "role!: Typed<Role>", m.can_add_members AS "can_add_members!", m.joined_at AS "joined_at!",
               CASE WHEN c.read_seq > coalesce(m.joined_seq, 0) THEN c.read_seq END AS read_seq
           FROM (
               SELECT g.* FROM group_members g
               CROSS JOIN LATERAL (SELECT array_position(ARRAY['owner', 'admin', 'member'], g.role) AS rank) r
               WHERE g.group_id = $1 AND ($3::int IS NULL OR (r.rank, g.joined_at, g.user_id) > ($3, $4::timestamptz, $5::bigint))
                   AND EXISTS (SELECT FROM users_auth u WHERE u.user_id = g.user_id)
               ORDER BY r.rank, g.joined_at, g.user_id LIMIT $2
           ) m
           JOIN users_auth u ON u.user_id = m.user_id
           LEFT JOIN conversation_members c ON c.user_id = m.user_id AND c.conversation_id = $1
           LEFT JOIN LATERAL chat_profile(m.user_id) p ON TRUE
           ORDER BY array_position(ARRAY['owner', 'admin', 'member'], m.role), m.joined_at, m.user_id"#,
        group.to_string(),
        limit,
        after.map(|place| place.rank),
        after.map(|place| place.joined_at),
        after.map(|place| place.user_id.0)
    )
    .fetch_all(db)
    .await
}

/// Makes users members; the arrays are parallel. Earlier messages count as delivered and read for them. Existing
/// members stay as they are.
pub async fn insert_members(db: &mut PgSession, group: GroupId, users: &[UserId], roles: &[Role]) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH joined AS (
             INSERT INTO group_members (group_id, user_id, role, can_add_members, joined_seq)
             SELECT $1, user_id, role, role <> 'member',
                 coalesce((SELECT last_seq FROM conversations WHERE conversation_id = $1), 0)
             FROM unnest($2::bigint[], $3::text[]) AS n (user_id, role)
             ON CONFLICT DO NOTHING
             RETURNING user_id
         )
         INSERT INTO conversation_members (user_id, conversation_id, delivered_seq, read_seq, delivered_version)
         SELECT j.user_id, $1, coalesce(c.last_seq, 0), coalesce(c.last_seq, 0), coalesce(c.version, 0)
         FROM joined j LEFT JOIN conversations c ON c.conversation_id = $1
         ON CONFLICT (user_id, conversation_id) DO UPDATE SET
             delivered_seq = excluded.delivered_seq, read_seq = excluded.read_seq,
             delivered_version = excluded.delivered_version, delivered_beyond = NULL",
        group.to_string(),
        &raw(users),
        &raw(roles)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends memberships, and deletes everything from this group that waits for these users. Each event is looked up by its
/// id: others may have any number of events from the group.
pub async fn delete_members(db: &mut PgSession, group: GroupId, users: &[UserId]) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH members AS (DELETE FROM group_members WHERE group_id = $1 AND user_id = ANY($2)),
              cursors AS (DELETE FROM conversation_members WHERE conversation_id = $1 AND user_id = ANY($2))
         DELETE FROM event_queue q
         WHERE q.user_id = ANY($2) AND q.delivered_at IS NULL
             AND (SELECT l.conversation_id FROM event_log l WHERE l.event_id = q.event_id) = $1",
        group.to_string(),
        &raw(users)
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn update_role(
    db: &mut PgSession,
    group: GroupId,
    user: UserId,
    role: Role,
    can_add_members: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE group_members SET role = $3, can_add_members = $4 WHERE group_id = $1 AND user_id = $2",
        group.to_string(),
        user.0,
        role.as_str(),
        can_add_members
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Makes `to`, who is muted no longer, the owner and `from` an admin.
pub async fn update_owner(db: &mut PgSession, group: GroupId, from: UserId, to: UserId) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH unmuted AS (DELETE FROM group_sanctions WHERE group_id = $1 AND kind = 'mute' AND user_id = $3)
         UPDATE group_members SET role = CASE WHEN user_id = $3 THEN 'owner' ELSE 'admin' END, can_add_members = TRUE
         WHERE group_id = $1 AND user_id IN ($2, $3)",
        group.to_string(),
        from.0,
        to.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A user who is to become a member, as seen by the user who adds them.
pub struct Prospect {
    pub user_id: UserId,
    pub username: String,
    pub blocked: bool,
    pub followed: bool,
    /// True if the user follows the one who adds them.
    pub follows: bool,
}

impl Prospect {
    /// The user, to be added; `by_backend` if the product's backend does so, which answers for it.
    pub fn joiner(&self, by_backend: bool) -> Joiner {
        Joiner { user_id: self.user_id, is_willing: self.follows || by_backend }
    }

    /// True if the user's settings allow being added.
    pub fn may_be_added(&self, adding: GroupAddPolicy) -> bool {
        match adding {
            GroupAddPolicy::All => true,
            GroupAddPolicy::Followed => self.follows,
            GroupAddPolicy::None => false,
        }
    }
}

/// Unknown users are left out.
pub async fn list_prospects(db: &mut PgSession, caller: UserId, users: &[UserId]) -> sqlx::Result<Vec<Prospect>> {
    sqlx::query_as!(
        Prospect,
        r#"SELECT u.user_id::bigint AS "user_id!", coalesce(u.username, '')::text AS "username!",
               EXISTS (SELECT FROM blocked_relationships WHERE blocker_id = $1 AND blocked_id = u.user_id)
                   OR EXISTS (SELECT FROM blocked_relationships WHERE blocker_id = u.user_id AND blocked_id = $1)
                   AS "blocked!",
               EXISTS (SELECT FROM user_follows WHERE follower_id = $1 AND followee_id = u.user_id) AS "followed!",
               EXISTS (SELECT FROM user_follows WHERE follower_id = u.user_id AND followee_id = $1) AS "follows!"
           FROM users_auth u WHERE u.user_id = ANY($2)"#,
        caller.0,
        &raw(users)
    )
    .fetch_all(db)
    .await
}

/// A user who is to be in one more group.
#[derive(Clone, Copy)]
pub struct Joiner {
    pub user_id: UserId,
    /// False if somebody adds the user whom the user does not follow.
    pub is_willing: bool,
}

/// How many groups that others created strangers may fill: the rest is left for users themselves and those they follow.
pub fn max_groups_by_strangers(max_groups: u32) -> u32 {
    max_groups.div_ceil(2)
}

/// Those of these users who may be in no further group: who are in `max_groups` or more, or who are not willing and in
/// [`max_groups_by_strangers`] that others created. Communities' groups do not count. Reads up to `max_groups` memberships
/// of each.
pub async fn list_in_max_groups(db: &mut PgSession, joiners: &[Joiner], max_groups: u32) -> sqlx::Result<Vec<UserId>> {
    let users: Vec<UserId> = joiners.iter().map(|joiner| joiner.user_id).collect();
    let willing: Vec<bool> = joiners.iter().map(|joiner| joiner.is_willing).collect();
    let users = sqlx::query_scalar!(
        r#"SELECT u.user_id AS "user_id!" FROM unnest($1::bigint[], $2::boolean[]) AS u (user_id, is_willing)
           CROSS JOIN LATERAL (
               SELECT count(*) AS joined, count(*) FILTER (WHERE created_by <> u.user_id) AS of_others FROM (
                   SELECT g.created_by FROM group_members m JOIN group_chats g USING (group_id)
                   WHERE m.user_id = u.user_id AND g.deleted_at IS NULL AND g.community_id IS NULL LIMIT $3
               ) AS counted
               OFFSET 0
           ) counts
           WHERE counts.joined >= $3 OR NOT u.is_willing AND counts.of_others >= $4"#,
        &raw(&users),
        &willing,
        i64::from(max_groups),
        i64::from(max_groups_by_strangers(max_groups))
    )
    .fetch_all(db)
    .await?;
    typed(users)
}
