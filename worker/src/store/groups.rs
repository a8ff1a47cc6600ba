//! `group_chats` and `group_members`.

use super::columns::{Column, Typed, raw, readable, typed};
use crate::store::session::PgSession;
use shared::ids::{CommunityId, GroupId, UserId};
use shared::role::Role;
use time::OffsetDateTime;

pub struct MemberName {
    pub group_id: GroupId,
    pub user_id: UserId,
    pub username: String,
}

/// In groups of up to this many members, or as many as there are names to look up, all of them are read instead.
const MAX_NAMES_READ: i64 = 100;

/// The members of `groups[i]` whose name is `keys[i]` in any letter case and encoding, and maybe others: in small groups all,
/// and also in large ones if no trigger on the main backend's table reports new names.
pub async fn list_members_named(
    db: &mut PgSession,
    groups: &[GroupId],
    keys: &[String],
) -> sqlx::Result<Vec<MemberName>> {
    // `OFFSET 0` keeps the planner from reading all names, or all members, instead of looking up each.
    sqlx::query_as!(
        MemberName,
        r#"WITH asked AS MATERIALIZED (
               SELECT g.group_id, EXISTS (
                   SELECT FROM pg_trigger WHERE tgrelid = 'users_auth'::regclass AND tgname = 'chat_name' AND tgenabled <> 'D'
               ) AND (
                   SELECT count(*) > g.most FROM (SELECT FROM group_members m WHERE m.group_id = g.group_id LIMIT g.most + 1) counted
               ) AS is_large
               FROM (
                   SELECT group_id, greatest(count(*), $3::bigint) AS most FROM unnest($1::text[]) AS group_id GROUP BY group_id
               ) g
           )
           SELECT found.group_id AS "group_id!: Typed<GroupId>", found.user_id AS "user_id!", named.username AS "username!"
           FROM (
               SELECT m.group_id, m.user_id FROM asked JOIN group_members m ON m.group_id = asked.group_id
               WHERE NOT asked.is_large
               UNION
               SELECT w.group_id, m.user_id
               FROM unnest($1::text[], $2::text[]) AS w (group_id, name)
               JOIN asked ON asked.group_id = w.group_id AND asked.is_large
               CROSS JOIN LATERAL (
                   SELECT s.user_id FROM user_search s
                   WHERE chat_composed(s.username) = chat_composed(chat_folded(w.name)) COLLATE "C" OFFSET 0
               ) s
               CROSS JOIN LATERAL (
                   SELECT m.user_id FROM group_members m WHERE m.group_id = w.group_id AND m.user_id = s.user_id OFFSET 0
               ) m
           ) found
           CROSS JOIN LATERAL (
               SELECT coalesce(u.username, '')::text AS username FROM users_auth u WHERE u.user_id = found.user_id OFFSET 0
           ) named"#,
        &raw(groups),
        keys,
        MAX_NAMES_READ
    )
    .fetch_all(db)
    .await
}

/// The members of these groups whose accounts exist, as `(group, user)`, lowest ids first.
pub async fn list_members_with_accounts(
    db: &mut PgSession,
    groups: &[GroupId],
) -> sqlx::Result<Vec<(GroupId, UserId)>> {
    let members = sqlx::query!(
        r#"SELECT m.group_id AS "group_id: Typed<GroupId>", m.user_id FROM group_members m
           JOIN users_auth u ON u.user_id = m.user_id WHERE m.group_id = ANY($1)
           ORDER BY m.user_id"#,
        &raw(groups)
    );
    Ok(members.fetch_all(db).await?.into_iter().map(|row| (row.group_id.into(), UserId(row.user_id))).collect())
}

/// Those of the pairs `groups[i]`, `authors[i]` whose author may mention everyone in the group: as an owner or admin, or
/// because it has at most `most` members.
pub async fn list_allowed_to_call(
    db: &mut PgSession,
    groups: &[GroupId],
    authors: &[UserId],
    most: i64,
) -> sqlx::Result<Vec<(GroupId, UserId)>> {
    let allowed = sqlx::query!(
        r#"SELECT p.group_id AS "group_id!: Typed<GroupId>", p.author AS "author!"
           FROM unnest($1::text[], $2::bigint[]) AS p (group_id, author)
           WHERE EXISTS (
                   SELECT FROM group_members m
                   WHERE m.group_id = p.group_id AND m.user_id = p.author AND m.role IN ('owner', 'admin'))
               OR (SELECT count(*) <= $3::bigint FROM (
                       SELECT FROM group_members m WHERE m.group_id = p.group_id LIMIT $3::bigint + 1
                   ) counted)"#,
        &raw(groups),
        &raw(authors),
        most
    );
    Ok(allowed.fetch_all(db).await?.into_iter().map(|row| (row.group_id.into(), UserId(row.author))).collect())
}

/// Up to `most` members of each of these groups, as `(group, user)`, lowest ids first.
pub async fn list_some_members(
    db: &mut PgSession,
    groups: &[GroupId],
    most: i64,
) -> sqlx::Result<Vec<(GroupId, UserId)>> {
    let members = sqlx::query!(
        r#"SELECT m.group_id AS "group_id: Typed<GroupId>", m.user_id
           FROM unnest($1::text[]) AS wanted (group_id)
           CROSS JOIN LATERAL (
               SELECT group_id, user_id FROM group_members g WHERE g.group_id = wanted.group_id ORDER BY user_id LIMIT $2
           ) m
           ORDER BY m.group_id, m.user_id"#,
        &raw(groups),
        most
    );
    Ok(members.fetch_all(db).await?.into_iter().map(|row| (row.group_id.into(), UserId(row.user_id))).collect())
}

/// A user's membership in a group.
#[derive(Clone, Debug)]
pub struct Membership {
    pub role: Role,
    pub can_add_members: bool,
    /// Set for the default group of a community.
    pub community_id: Option<CommunityId>,
}

impl Membership {
    pub fn is_owner(&self) -> bool {
        self.role == Role::Owner
    }

    pub fn is_owner_or_admin(&self) -> bool {
        self.role.is_owner_or_admin()
    }
}

/// The user's membership in the group; `None` for outsiders and for a deleted group.
pub async fn find_membership(db: &mut PgSession, group: GroupId, user: UserId) -> sqlx::Result<Option<Membership>> {
    sqlx::query_as!(
        Membership,
        r#"SELECT m.role AS "role: Typed<Role>", m.can_add_members, g.community_id AS "community_id!: Typed<Option<CommunityId>>" FROM group_members m
         JOIN group_chats g ON g.group_id = m.group_id AND g.deleted_at IS NULL
         WHERE m.group_id = $1 AND m.user_id = $2"#,
        group.to_string(),
        user.0
    )
    .fetch_optional(db)
    .await
}

/// The members of a group except one.
pub async fn list_member_ids(db: &mut PgSession, group: GroupId, except: UserId) -> sqlx::Result<Vec<UserId>> {
    let members = sqlx::query_scalar!(
        "SELECT user_id FROM group_members WHERE group_id = $1 AND user_id <> $2",
        group.to_string(),
        except.0
    )
    .fetch_all(db)
    .await?;
    typed(members)
}

/// The members of a group with ids above `after`, in the order of their ids, at most `limit`.
pub async fn list_member_ids_after(
    db: &mut PgSession,
    group: GroupId,
    after: UserId,
    limit: i64,
) -> sqlx::Result<Vec<UserId>> {
    let members = sqlx::query_scalar!(
        "SELECT user_id FROM group_members WHERE group_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3",
        group.to_string(),
        after.0,
        limit
    )
    .fetch_all(db)
    .await?;
    typed(members)
}

/// The number of a group's members.
pub async fn count_members(db: &mut PgSession, group: GroupId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM group_members WHERE group_id = $1"#, group.to_string())
        .fetch_one(db)
        .await
}

/// Like [`find_membership`], and locks the group's membership until the end of the transaction: a community's sync,
/// which bypasses the group's partition, waits.
pub async fn find_membership_locked(
    db: &mut PgSession,
    group: GroupId,
    user: UserId,
) -> sqlx::Result<Option<Membership>> {
    sqlx::query_as!(
        Membership,
        r#"SELECT m.role AS "role: Typed<Role>", m.can_add_members, g.community_id AS "community_id!: Typed<Option<CommunityId>>" FROM group_chats g
         JOIN group_members m ON m.group_id = g.group_id AND m.user_id = $2
         WHERE g.group_id = $1 AND g.deleted_at IS NULL
         FOR SHARE OF g, m"#,
        group.to_string(),
        user.0
    )
    .fetch_optional(db)
    .await
}

/// A group that is not deleted.
pub struct GroupRow {
    pub name: String,
    pub description: String,
    pub created_by: UserId,
    pub max_members: i32,
    pub created_at: OffsetDateTime,
    pub member_count: i64,
    pub slow_mode_seconds: i32,
    /// Sealed.
    pub metadata: Option<Vec<u8>>,
}

pub async fn find_group(db: &mut PgSession, group: GroupId) -> sqlx::Result<Option<GroupRow>> {
    sqlx::query_as!(
        GroupRow,
        r#"SELECT name, description, created_by, max_members, created_at, metadata, slow_mode_seconds,
               (SELECT count(*) FROM group_members m WHERE m.group_id = g.group_id) AS "member_count!"
           FROM group_chats g WHERE group_id = $1 AND deleted_at IS NULL"#,
        group.to_string()
    )
    .fetch_optional(db)
    .await
}

/// In larger groups, members are not told who is typing, and do not count as each other's contacts for presence, since
/// either would cost each member something for each other member.
pub const MAX_SIGNAL_MEMBERS: i64 = 1_000;

/// True if the group has more than this many members; reads no more of them than that.
pub async fn is_larger_than(db: &mut PgSession, group: GroupId, members: i64) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT count(*) > $2::bigint AS "is_larger!" FROM (SELECT FROM group_members WHERE group_id = $1 LIMIT $2::bigint + 1) m"#,
        group.to_string(),
        members
    )
    .fetch_one(db)
    .await
}

/// A group in a user's list.
pub struct UserGroupRow {
    pub group_id: GroupId,
    pub name: String,
    pub description: String,
    pub created_by: UserId,
    pub max_members: i32,
    pub role: Role,
    pub joined_at: OffsetDateTime,
    /// When it was written to last, or else joined.
    pub active_at: OffsetDateTime,
    pub member_count: i64,
    pub last_seq: i64,
    pub unread_count: i64,
    /// Sealed.
    pub metadata: Option<Vec<u8>>,
}

/// The groups of a user, most recently active first, at most `limit`. Unread messages are counted up to `most_unread`.
pub async fn list_of_user(
    db: &mut PgSession,
    user: UserId,
    after: Option<(OffsetDateTime, GroupId)>,
    limit: i64,
    most_unread: i64,
) -> sqlx::Result<Vec<UserGroupRow>> {
    let (after_at, after_group) = after.unzip();
    let rows = sqlx::query!(
        r#"SELECT g.group_id, g.name, g.description, g.created_by, g.max_members, g.metadata, m.role, m.joined_at,
               coalesce(c.last_message_at, m.joined_at) AS "active_at!",
               (SELECT count(*) FROM group_members n WHERE n.group_id = g.group_id) AS "member_count!",
               coalesce(c.last_seq, 0) AS "last_seq!",
               (SELECT count(*) FROM (
                    SELECT FROM private_messages p
                    WHERE p.conversation_id = g.group_id AND p.seq > greatest(r.read_seq, r.cleared_seq)
                        AND p.sender_id <> $1
                        AND NOT EXISTS (SELECT FROM message_deletions d
                                        WHERE d.user_id = $1 AND d.conversation_id = g.group_id AND d.seq = p.seq)
                    LIMIT $3) AS unread) AS "unread_count!"
           FROM group_members m
           JOIN group_chats g ON g.group_id = m.group_id AND g.deleted_at IS NULL
           LEFT JOIN conversations c ON c.conversation_id = m.group_id
           LEFT JOIN conversation_members r ON r.user_id = $1 AND r.conversation_id = m.group_id
           WHERE m.user_id = $1
               AND ($4::timestamptz IS NULL OR coalesce(c.last_message_at, m.joined_at) < $4
                    OR coalesce(c.last_message_at, m.joined_at) = $4 AND g.group_id > $5::text)
           ORDER BY coalesce(c.last_message_at, m.joined_at) DESC, g.group_id
           LIMIT $2"#,
        user.0,
        limit,
        most_unread,
        after_at,
        after_group.map(|group| group.to_string())
    )
    .fetch_all(&mut *db)
    .await?;
    Ok(readable(
        db,
        rows,
        |_| user,
        |row| {
            Ok(UserGroupRow {
                group_id: GroupId::from_stored(row.group_id)?,
                name: row.name,
                description: row.description,
                created_by: UserId(row.created_by),
                max_members: row.max_members,
                role: Role::from_stored(row.role)?,
                joined_at: row.joined_at,
                active_at: row.active_at,
                member_count: row.member_count,
                last_seq: row.last_seq,
                unread_count: row.unread_count,
                metadata: row.metadata,
            })
        },
    ))
}

/// The number of groups that a user created.
pub struct Founded {
    /// Created within the last hour, including deleted ones.
    pub lately: i64,
    /// Seconds until the first of those is older than that.
    pub wait_seconds: i32,
}

pub async fn get_founded(db: &mut PgSession, user: UserId) -> sqlx::Result<Founded> {
    sqlx::query_as!(
        Founded,
        r#"SELECT count(*) AS "lately!",
               coalesce(ceil(extract(epoch FROM min(created_at) + interval '1 hour' - now())), 0)::int AS "wait_seconds!"
           FROM group_chats WHERE created_by = $1 AND community_id IS NULL AND created_at > now() - interval '1 hour'"#,
        user.0
    )
    .fetch_one(db)
    .await
}

/// A group to be created.
pub struct NewGroup<'a> {
    pub group_id: GroupId,
    pub name: &'a str,
    pub description: &'a str,
    pub created_by: UserId,
    pub max_members: i32,
    pub community_id: Option<&'a CommunityId>,
    /// Sealed.
    pub metadata: Option<Vec<u8>>,
}

/// Creates a group and its conversation, without members; leaves an existing one as it is.
pub async fn insert_group(db: &mut PgSession, group: &NewGroup<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH conversation AS (
             INSERT INTO conversations (conversation_id) VALUES ($1) ON CONFLICT DO NOTHING
         )
         INSERT INTO group_chats (group_id, name, description, created_by, max_members, community_id, metadata)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        group.group_id.to_string(),
        group.name,
        group.description,
        group.created_by.0,
        group.max_members,
        group.community_id.map(|community| &*community.0),
        group.metadata.as_deref()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What members may change about a group.
pub struct Info {
    pub name: String,
    pub description: String,
    pub max_members: i32,
    pub created_by: UserId,
    pub created_at: OffsetDateTime,
    pub slow_mode_seconds: i32,
    /// Sealed.
    pub metadata: Option<Vec<u8>>,
}

/// What is to change; what is absent stays.
#[derive(Default)]
pub struct NewInfo<'a> {
    pub name: Option<&'a str>,
    pub description: Option<&'a str>,
    pub max_members: Option<i32>,
    pub slow_mode_seconds: Option<i32>,
    /// Sealed; `Some(None)` removes it.
    pub metadata: Option<Option<Vec<u8>>>,
}

/// Changes what is given; returns what holds now.
pub async fn update_info(db: &mut PgSession, group: GroupId, new: &NewInfo<'_>) -> sqlx::Result<Option<Info>> {
    sqlx::query_as!(
        Info,
        "UPDATE group_chats SET name = coalesce($2, name), description = coalesce($3, description),
             max_members = coalesce($4, max_members), slow_mode_seconds = coalesce($7, slow_mode_seconds),
             metadata = CASE WHEN $5 THEN $6 ELSE metadata END
         WHERE group_id = $1 AND deleted_at IS NULL
         RETURNING name, description, max_members, created_by, created_at, slow_mode_seconds, metadata",
        group.to_string(),
        new.name,
        new.description,
        new.max_members,
        new.metadata.is_some(),
        new.metadata.as_ref().and_then(Option::as_deref),
        new.slow_mode_seconds
    )
    .fetch_optional(db)
    .await
}

/// Hides a group from everyone. It is purged after the retention time, or as soon as possible. If events of it still
/// wait for members, they are hidden, too, until [`super::purge`] has deleted them.
pub async fn update_deleted(
    db: &mut PgSession,
    group: GroupId,
    purge_at_once: bool,
    events_wait: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE group_chats SET deleted_at = CASE WHEN $2 THEN '-infinity'::timestamptz ELSE now() END,
             clearing_after = CASE WHEN $3 THEN $4::bigint END
         WHERE group_id = $1",
        group.to_string(),
        purge_at_once,
        events_wait,
        i64::MIN
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Those of these groups that the user is a member of.
pub async fn list_joined(db: &mut PgSession, user: UserId, groups: &[GroupId]) -> sqlx::Result<Vec<GroupId>> {
    let joined = sqlx::query_scalar!(
        "SELECT m.group_id FROM group_members m
         JOIN group_chats g ON g.group_id = m.group_id AND g.deleted_at IS NULL
         WHERE m.user_id = $1 AND m.group_id = ANY($2)",
        user.0,
        &raw(groups)
    )
    .fetch_all(db)
    .await?;
    typed(joined)
}
