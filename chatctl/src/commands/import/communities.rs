//! Communities, their members, progress and completed challenges. A later run updates those that the new server has not
//! changed; after the switch, the main backend's calls update them.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use shared::held_ids;
use shared::ids::GroupId;
use sqlx::types::time::OffsetDateTime;

use super::groups::Known;
use super::source::Table;
use super::{Import, ids};

const COMMUNITIES: Table = Table {
    name: "communities",
    columns: &[
        ("id", "bigint"),
        ("community_id", "text"),
        ("external_ref", "text"),
        ("name", "text"),
        ("description", "text"),
        ("avatar_url", "text"),
        ("default_group_id", "text"),
        ("is_active", "boolean"),
    ],
};

const MEMBERS: Table = Table {
    name: "community_members",
    columns: &[
        ("id", "bigint"),
        ("community_id", "text"),
        ("user_id", "text"),
        ("role", "text"),
        ("joined_at", "timestamptz"),
        ("is_muted", "boolean"),
    ],
};

const PROGRESS: Table = Table {
    name: "user_community_progress",
    columns: &[
        ("id", "bigint"),
        ("community_id", "text"),
        ("user_id", "text"),
        ("total_xp", "bigint"),
        ("daily_streak", "integer"),
        ("weekly_streak", "integer"),
        ("last_challenge_id", "text"),
        ("last_challenge_type", "text"),
        ("last_completed_at", "timestamptz"),
    ],
};

const CHALLENGES: Table = Table {
    name: "community_challenge_events",
    columns: &[
        ("id", "bigint"),
        ("event_id", "text"),
        ("community_id", "text"),
        ("user_id", "text"),
        ("challenge_id", "text"),
        ("challenge_type", "text"),
        ("xp_awarded", "bigint"),
        ("occurred_at", "timestamptz"),
        ("payload", "text"),
        ("created_at", "timestamptz"),
    ],
};

#[derive(sqlx::FromRow)]
struct Community {
    id: i64,
    community_id: Option<String>,
    external_ref: Option<String>,
    name: Option<String>,
    description: Option<String>,
    avatar_url: Option<String>,
    default_group_id: Option<String>,
    is_active: Option<bool>,
}

#[derive(sqlx::FromRow)]
struct Member {
    id: i64,
    community_id: Option<String>,
    user_id: Option<String>,
    role: Option<String>,
    joined_at: Option<OffsetDateTime>,
    is_muted: Option<bool>,
}

#[derive(sqlx::FromRow)]
struct ProgressRow {
    id: i64,
    community_id: Option<String>,
    user_id: Option<String>,
    total_xp: Option<i64>,
    daily_streak: Option<i32>,
    weekly_streak: Option<i32>,
    last_challenge_id: Option<String>,
    last_challenge_type: Option<String>,
    last_completed_at: Option<OffsetDateTime>,
}

#[derive(sqlx::FromRow)]
struct Challenge {
    id: i64,
    event_id: Option<String>,
    community_id: Option<String>,
    user_id: Option<String>,
    challenge_id: Option<String>,
    challenge_type: Option<String>,
    xp_awarded: Option<i64>,
    occurred_at: Option<OffsetDateTime>,
    payload: Option<String>,
    created_at: Option<OffsetDateTime>,
}

/// Digests of rows, of the columns that are there now: one that a later migration adds changes none of them. Noted rows are compared with
/// them, so that a digest stays as it is.
const COMMUNITY_DIGEST: &str =
    "md5(ROW(c.community_id, c.name, c.description, c.avatar_url, c.default_group_id, c.is_active,
    c.created_at, c.updated_at)::text)";
const MEMBER_DIGEST: &str = "md5(ROW(c.community_id, c.user_id, c.role, c.is_muted, c.joined_at)::text)";
const PROGRESS_DIGEST: &str =
    "md5(ROW(c.community_id, c.user_id, c.total_xp, c.daily_streak, c.weekly_streak, c.last_challenge_id,
    c.last_challenge_type, c.last_completed_at)::text)";

const NO_USER: &str = "the user id is not a number";
const NO_COMMUNITY: &str = "of a community that is not here";

pub async fn run(import: &mut Import<'_>, groups: &Known) -> Result<()> {
    let known = communities(import, groups).await?;
    members(import, &known).await?;
    progress(import, &known).await?;
    challenges(import, &known).await
}

/// Returns the ids of the imported ones.
async fn communities(import: &mut Import<'_>, groups: &Known) -> Result<HashSet<String>> {
    let mut known = HashSet::new();
    if !import.source.has(COMMUNITIES.name).await? {
        return Ok(known);
    }
    let mut after = 0;
    loop {
        let rows: Vec<Community> = import.source.page(&COMMUNITIES, after, import.batch).await?;
        let Some(last) = rows.last() else { return Ok(known) };
        after = last.id;
        for row in rows {
            let held = row.default_group_id.unwrap_or_default();
            let (Some(id), Some(group)) = (row.community_id, held_ids::group_id(&held)) else {
                import.report.note(COMMUNITIES.name, "without an id or a default group", row.id)?;
                continue;
            };
            if row.external_ref.is_some_and(|reference| reference != id) {
                import.report.note(COMMUNITIES.name, "its external_ref is not kept", row.id)?;
            }
            if !groups.contains_key(&held) {
                import.report.note(
                    COMMUNITIES.name,
                    "its default group is not there: the next sync makes it",
                    row.id,
                )?;
            }
            import.report.imported(COMMUNITIES.name, 1);
            known.insert(id.clone());
            if import.dry_run {
                continue;
            }
            let group = GroupId(group.0).to_string();
            sqlx::query(&format!("WITH stored AS (
                     INSERT INTO communities AS c (community_id, name, description, avatar_url, default_group_id, is_active)
                     SELECT $1, $2, $3, $4, $5, $6
                     WHERE EXISTS (SELECT FROM communities WHERE community_id = $1)
                         OR NOT EXISTS (SELECT FROM chat_import.rows WHERE table_name = 'communities' AND key = $1)
                     ON CONFLICT (community_id) DO UPDATE SET name = excluded.name, description = excluded.description,
                         avatar_url = excluded.avatar_url, default_group_id = excluded.default_group_id,
                         is_active = excluded.is_active
                     WHERE (SELECT digest FROM chat_import.rows WHERE table_name = 'communities' AND key = $1) = {COMMUNITY_DIGEST}
                     RETURNING {COMMUNITY_DIGEST} AS digest
                 ), noted AS (
                     INSERT INTO chat_import.rows (table_name, key, digest) SELECT 'communities', $1, digest FROM stored
                     ON CONFLICT (table_name, key) DO UPDATE SET digest = excluded.digest
                 )
                 UPDATE group_chats SET community_id = CASE WHEN group_id = $5 THEN $1 END
                 WHERE (group_id = $5 OR community_id = $1) AND EXISTS (SELECT FROM stored)")
            )
            .bind(&id)
            .bind(row.name.map_or_else(|| id.clone(), |name| import.read_text(name)))
            .bind(row.description.map(|text| import.read_text(text)))
            .bind(&row.avatar_url)
            .bind(&group)
            .bind(row.is_active.unwrap_or(true))
            .execute(&mut *import.target)
            .await
            .context("storing a community")?;
        }
    }
}

async fn members(import: &mut Import<'_>, known: &HashSet<String>) -> Result<()> {
    if !import.source.has(MEMBERS.name).await? {
        return Ok(());
    }
    let (mut after, mut found) = (0, Vec::new());
    loop {
        let rows: Vec<Member> = import.source.page(&MEMBERS, after, import.batch).await?;
        let Some(last) = rows.last() else { return remove_members(import, &found).await };
        after = last.id;
        for row in rows {
            let Some(user) = ids::user(row.user_id.as_deref()) else {
                import.report.note(MEMBERS.name, NO_USER, row.id)?;
                continue;
            };
            let given = row.role.as_deref().unwrap_or("member");
            let role = if matches!(given, "owner" | "admin") { given } else { "member" };
            if role != given {
                import.report.note(MEMBERS.name, "with another role, a member now", row.id)?;
            }
            let Some(community) = row.community_id.filter(|id| known.contains(id)) else {
                import.report.note(MEMBERS.name, NO_COMMUNITY, row.id)?;
                continue;
            };
            import.report.imported(MEMBERS.name, 1);
            if import.dry_run {
                continue;
            }
            found.push(format!("{} {}", user.0, community));
            sqlx::query(&format!("WITH stored AS (
                     INSERT INTO community_members AS c (community_id, user_id, role, is_muted, joined_at)
                     SELECT $1, $2, $3, $4, coalesce($5, now())
                     WHERE EXISTS (SELECT FROM community_members WHERE community_id = $1 AND user_id = $2)
                         OR NOT EXISTS (SELECT FROM chat_import.rows
                                        WHERE table_name = 'community_members' AND key = $2::bigint::text || ' ' || $1::text)
                     ON CONFLICT (community_id, user_id) DO UPDATE SET role = excluded.role, is_muted = excluded.is_muted
                     WHERE (SELECT digest FROM chat_import.rows WHERE table_name = 'community_members' AND key = $2::bigint::text || ' ' || $1::text)
                         = {MEMBER_DIGEST}
                     RETURNING {MEMBER_DIGEST} AS digest
                 )
                 INSERT INTO chat_import.rows (table_name, key, digest) SELECT 'community_members', $2::bigint::text || ' ' || $1::text, digest FROM stored
                 ON CONFLICT (table_name, key) DO UPDATE SET digest = excluded.digest")
            )
            .bind(&community)
            .bind(user.0)
            .bind(role)
            .bind(row.is_muted.unwrap_or(false))
            .bind(row.joined_at)
            .execute(&mut *import.target)
            .await
            .context("storing a community's member")?;
        }
    }
}

/// Removes those who were members in the last run and are no longer in the source, unless the new server changed them.
async fn remove_members(import: &mut Import<'_>, found: &[String]) -> Result<()> {
    if import.dry_run {
        return Ok(());
    }
    sqlx::query(&format!("WITH left_it AS (
             DELETE FROM community_members c USING chat_import.rows r
             WHERE r.table_name = 'community_members' AND r.key = c.user_id || ' ' || c.community_id AND r.digest = {MEMBER_DIGEST}
                 AND r.key NOT IN (SELECT unnest($1::text[]))
             RETURNING r.key
         )
         DELETE FROM chat_import.rows r USING left_it WHERE r.table_name = 'community_members' AND r.key = left_it.key")
    )
    .bind(found)
    .execute(&mut *import.target)
    .await
    .context("members who left a community")?;
    Ok(())
}

async fn progress(import: &mut Import<'_>, known: &HashSet<String>) -> Result<()> {
    if !import.source.has(PROGRESS.name).await? {
        return Ok(());
    }
    let mut after = 0;
    loop {
        let rows: Vec<ProgressRow> = import.source.page(&PROGRESS, after, import.batch).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.id;
        for row in rows {
            let Some(user) = ids::user(row.user_id.as_deref()) else {
                import.report.note(PROGRESS.name, NO_USER, row.id)?;
                continue;
            };
            let Some(community) = row.community_id.filter(|id| known.contains(id)) else {
                import.report.note(PROGRESS.name, NO_COMMUNITY, row.id)?;
                continue;
            };
            import.report.imported(PROGRESS.name, 1);
            if import.dry_run {
                continue;
            }
            sqlx::query(&format!("WITH stored AS (
                     INSERT INTO user_community_progress AS c (community_id, user_id, total_xp, daily_streak, weekly_streak,
                         last_challenge_id, last_challenge_type, last_completed_at)
                     SELECT $1, $2, $3, $4, $5, $6, $7, $8
                     WHERE EXISTS (SELECT FROM user_community_progress WHERE community_id = $1 AND user_id = $2)
                         OR NOT EXISTS (SELECT FROM chat_import.rows WHERE table_name = 'user_community_progress'
                                            AND key = $2::bigint::text || ' ' || $1::text)
                     ON CONFLICT (community_id, user_id) DO UPDATE SET total_xp = excluded.total_xp,
                         daily_streak = excluded.daily_streak, weekly_streak = excluded.weekly_streak,
                         last_challenge_id = excluded.last_challenge_id, last_challenge_type = excluded.last_challenge_type,
                         last_completed_at = excluded.last_completed_at
                     WHERE (SELECT digest FROM chat_import.rows WHERE table_name = 'user_community_progress' AND key = $2::bigint::text || ' ' || $1::text)
                         = {PROGRESS_DIGEST}
                     RETURNING {PROGRESS_DIGEST} AS digest
                 )
                 INSERT INTO chat_import.rows (table_name, key, digest)
                 SELECT 'user_community_progress', $2::bigint::text || ' ' || $1::text, digest FROM stored
                 ON CONFLICT (table_name, key) DO UPDATE SET digest = excluded.digest")
            )
            .bind(&community)
            .bind(user.0)
            .bind(row.total_xp.unwrap_or(0))
            .bind(row.daily_streak.unwrap_or(0))
            .bind(row.weekly_streak.unwrap_or(0))
            .bind(row.last_challenge_id)
            .bind(row.last_challenge_type)
            .bind(row.last_completed_at)
            .execute(&mut *import.target)
            .await
            .context("storing progress")?;
        }
    }
}

async fn challenges(import: &mut Import<'_>, known: &HashSet<String>) -> Result<()> {
    if !import.source.has(CHALLENGES.name).await? {
        return Ok(());
    }
    let mut after = 0;
    loop {
        let rows: Vec<Challenge> = import.source.page(&CHALLENGES, after, import.batch).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.id;
        for row in rows {
            let (Some(user), Some(event)) = (ids::user(row.user_id.as_deref()), row.event_id) else {
                import.report.note(CHALLENGES.name, "the user id is not a number, or without an id", row.id)?;
                continue;
            };
            let Some(community) = row.community_id.filter(|id| known.contains(id)) else {
                import.report.note(CHALLENGES.name, NO_COMMUNITY, row.id)?;
                continue;
            };
            import.report.imported(CHALLENGES.name, 1);
            if import.dry_run {
                continue;
            }
            sqlx::query(
                "INSERT INTO community_challenge_events (event_id, community_id, user_id, challenge_id, challenge_type,
                     xp_awarded, occurred_at, payload, created_at)
                 SELECT $1, $2, $3, $4, $5, $6, $7, $8::jsonb, coalesce($9, now()) ON CONFLICT DO NOTHING",
            )
            .bind(event)
            .bind(&community)
            .bind(user.0)
            .bind(row.challenge_id)
            .bind(row.challenge_type)
            .bind(row.xp_awarded.unwrap_or(0))
            .bind(row.occurred_at)
            .bind(row.payload)
            .bind(row.created_at)
            .execute(&mut *import.target)
            .await
            .context("storing a challenge")?;
        }
    }
}
