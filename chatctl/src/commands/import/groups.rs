//! Groups and who is in them. The original had no owners. The owner becomes the creator if still an admin, or else the
//! first admin to have joined, or else the first member.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result};
use shared::held_ids;
use shared::ids::GroupId;
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use super::held::write_held_conversations;
use super::source::{Source, Table};
use super::{Import, ids};

/// The imported groups, by the original's id.
pub type Known = HashMap<String, Uuid>;

const GROUPS: Table = Table {
    name: "group_chats",
    columns: &[
        ("id", "bigint"),
        ("group_id", "text"),
        ("group_name", "text"),
        ("group_description", "text"),
        ("created_by_user_id", "text"),
        ("max_members", "integer"),
        ("is_active", "boolean"),
        ("deleted_at", "timestamptz"),
        ("updated_at", "timestamptz"),
        ("created_at", "timestamptz"),
    ],
};

const MEMBERS: Table = Table {
    name: "group_members",
    columns: &[
        ("id", "bigint"),
        ("group_id", "text"),
        ("user_id", "text"),
        ("role", "text"),
        ("can_send_messages", "boolean"),
        ("can_add_members", "boolean"),
        ("joined_at", "timestamptz"),
    ],
};

const DEFAULT_MAX_MEMBERS: i32 = 50;

#[derive(sqlx::FromRow)]
struct Group {
    id: i64,
    group_id: Option<String>,
    group_name: Option<String>,
    group_description: Option<String>,
    created_by_user_id: Option<String>,
    max_members: Option<i32>,
    is_active: Option<bool>,
    deleted_at: Option<OffsetDateTime>,
    updated_at: Option<OffsetDateTime>,
    created_at: Option<OffsetDateTime>,
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    id: i64,
    group_id: Option<String>,
    user_id: Option<String>,
    role: Option<String>,
    can_send_messages: Option<bool>,
    can_add_members: Option<bool>,
    joined_at: Option<OffsetDateTime>,
}

/// A member as this import understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    user: i64,
    is_admin: bool,
    can_add_members: bool,
    joined_at: OffsetDateTime,
}

pub async fn known(source: &mut Source) -> Result<Known> {
    if !source.has("group_chats").await? {
        return Ok(Known::new());
    }
    let query = format!("SELECT group_id::text FROM {} WHERE group_id IS NOT NULL", source.table("group_chats"));
    let ids: Vec<String> =
        sqlx::query_scalar(&query).fetch_all(&mut source.connection).await.context("reading group_chats")?;
    Ok(ids.into_iter().filter_map(|id| Some((id.clone(), held_ids::group_id(&id)?.0))).collect())
}

pub async fn run(import: &mut Import<'_>, known: &Known) -> Result<()> {
    if known.is_empty() {
        return Ok(());
    }
    let mut after = 0;
    loop {
        let groups: Vec<Group> = import.source.page(&GROUPS, after, 500).await?;
        let Some(last) = groups.last() else { return Ok(()) };
        after = last.id;
        let held: Vec<String> = groups.iter().filter_map(|group| group.group_id.clone()).collect();
        let mut members = members_of(import, &held).await?;
        for group in groups {
            let of_group = group.group_id.as_ref().and_then(|id| members.remove(id)).unwrap_or_default();
            store(import, group, of_group).await?;
        }
    }
}

/// The members of some groups, in the order in which they joined, each user once.
async fn members_of(import: &mut Import<'_>, groups: &[String]) -> Result<HashMap<String, Vec<Member>>> {
    let query = import.source.select(&MEMBERS, "WHERE source.group_id::text = ANY($1) ORDER BY source.id");
    let rows: Vec<MemberRow> = sqlx::query_as(&query)
        .bind(groups)
        .fetch_all(&mut import.source.connection)
        .await
        .context("reading group_members")?;
    let mut members: HashMap<String, BTreeMap<i64, Member>> = HashMap::new();
    for row in rows {
        let Some(user) = ids::user(row.user_id.as_deref()) else {
            import.report.note(MEMBERS.name, "the user id is not a number", row.id)?;
            continue;
        };
        if row.can_send_messages == Some(false) {
            import.report.note(MEMBERS.name, "could not send messages, and can now", row.id)?;
        }
        let role = row.role.as_deref().unwrap_or("member");
        if !matches!(role, "owner" | "admin" | "member") {
            import.report.note(MEMBERS.name, "with another role, a member now", row.id)?;
        }
        let member = Member {
            user: user.0,
            is_admin: matches!(role, "owner" | "admin"),
            can_add_members: row.can_add_members.unwrap_or(false),
            joined_at: row.joined_at.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        };
        let of_group = members.entry(row.group_id.unwrap_or_default()).or_default();
        if of_group.insert(user.0, member).is_some() {
            import.report.note(MEMBERS.name, "of a user who is in the group by another row", row.id)?;
        }
    }
    let sorted = members.into_iter().map(|(group, members)| {
        let mut members: Vec<Member> = members.into_values().collect();
        members.sort_by_key(|member| (member.joined_at, member.user));
        (group, members)
    });
    Ok(sorted.collect())
}

/// Determines the group's owner; `members` is in the order in which they joined.
fn owner(creator: Option<i64>, members: &[Member]) -> Option<i64> {
    let creator = members.iter().find(|member| member.is_admin && Some(member.user) == creator);
    let admin = || members.iter().find(|member| member.is_admin);
    creator.or_else(admin).or(members.first()).map(|member| member.user)
}

async fn store(import: &mut Import<'_>, group: Group, members: Vec<Member>) -> Result<()> {
    let held = group.group_id.unwrap_or_default();
    let Some(GroupId(uuid)) = held_ids::group_id(&held) else {
        return import.report.note(GROUPS.name, "without an id", group.id);
    };
    let creator = ids::user(group.created_by_user_id.as_deref()).map(|user| user.0);
    let owner = owner(creator, &members);
    let Some(created_by) = creator.or(owner) else {
        return import.report.note(GROUPS.name, "without a creator that is a number, and without members", group.id);
    };
    let is_gone = group.deleted_at.is_some() || group.is_active == Some(false);
    if members.is_empty() && !is_gone {
        import.report.note(GROUPS.name, "without members", group.id)?;
    }
    import.report.imported(GROUPS.name, 1);
    import.report.imported(MEMBERS.name, members.len() as u64);
    if import.dry_run {
        return Ok(());
    }
    let id = GroupId(uuid).to_string();
    let created_at = group.created_at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let deleted_at = is_gone.then(|| group.deleted_at.or(group.updated_at).unwrap_or(created_at));
    let role = |member: &Member| match member {
        _ if Some(member.user) == owner => "owner",
        _ if member.is_admin => "admin",
        _ => "member",
    };
    let users: Vec<i64> = members.iter().map(|member| member.user).collect();
    let roles: Vec<&str> = members.iter().map(role).collect();
    let adders: Vec<bool> = members.iter().map(|m| m.can_add_members || role(m) != "member").collect();
    let joined: Vec<OffsetDateTime> = members.iter().map(|member| member.joined_at).collect();
    sqlx::query(STORE)
        .bind(&id)
        .bind(
            group
                .group_name
                .filter(|name| !name.is_empty())
                .map_or_else(|| held.clone(), |name| import.read_text(name)),
        )
        .bind(import.read_text(group.group_description.unwrap_or_default()))
        .bind(created_by)
        .bind(group.max_members.unwrap_or(DEFAULT_MAX_MEMBERS).max(i32::try_from(users.len()).unwrap_or(i32::MAX)))
        .bind(created_at)
        .bind(deleted_at)
        .bind(&users)
        .bind(&roles)
        .bind(&adders)
        .bind(&joined)
        .execute(&mut *import.target)
        .await
        .context("storing a group")?;
    if held_ids::is_made_from_text(uuid) {
        write_held_conversations(import.target, &[(held, id)]).await?;
    }
    Ok(())
}

/// Stores a group as it is in the source, unless the new server has written in it. In groups nothing is unread.
const STORE: &str = "
    WITH state AS (
        SELECT coalesce((SELECT c.last_seq FROM conversations c WHERE c.conversation_id = $1), 0) AS last_seq,
            NOT EXISTS (
                SELECT FROM conversations c LEFT JOIN chat_import.conversations i USING (conversation_id)
                WHERE c.conversation_id = $1 AND i.version IS DISTINCT FROM c.version) AS untouched
    ), kept AS (
        INSERT INTO group_chats AS g (group_id, name, description, created_by, max_members, created_at, deleted_at)
        SELECT $1, $2, $3, $4, $5, $6, $7 FROM state WHERE untouched
        ON CONFLICT (group_id) DO UPDATE SET name = excluded.name, description = excluded.description,
            max_members = excluded.max_members, deleted_at = excluded.deleted_at
        RETURNING group_id
    ), members AS (
        SELECT m.* FROM unnest($8::bigint[], $9::text[], $10::boolean[], $11::timestamptz[]) AS m (user_id, role, adds, joined_at)
        WHERE EXISTS (SELECT FROM kept)
    ), left_it AS (
        DELETE FROM group_members g WHERE g.group_id = (SELECT group_id FROM kept) AND g.user_id <> ALL ($8)
    ), stored AS (
        INSERT INTO group_members (group_id, user_id, role, can_add_members, joined_at)
        SELECT $1, user_id, role, adds, joined_at FROM members
        ON CONFLICT (group_id, user_id) DO UPDATE SET role = excluded.role, can_add_members = excluded.can_add_members
    )
    INSERT INTO conversation_members (user_id, conversation_id, delivered_seq, read_seq)
    SELECT user_id, $1, last_seq, last_seq FROM members, state
    ON CONFLICT (user_id, conversation_id) DO UPDATE SET
        delivered_seq = excluded.delivered_seq, read_seq = excluded.read_seq";

#[cfg(test)]
mod tests {
    use super::*;

    fn member(user: i64, is_admin: bool) -> Member {
        Member { user, is_admin, can_add_members: false, joined_at: OffsetDateTime::UNIX_EPOCH }
    }

    #[test]
    fn the_creator_owns_a_group_only_as_one_of_its_admins() {
        let members = [member(1, false), member(2, true), member(3, true)];
        assert_eq!(owner(Some(3), &members), Some(3));
        assert_eq!(owner(Some(1), &members), Some(2));
        assert_eq!(owner(None, &members), Some(2));
        assert_eq!(owner(Some(9), &members[..1]), Some(1));
        assert_eq!(owner(Some(9), &[]), None);
    }
}
