//! `group_sanctions`: mutes and bans of users in groups. One that has ended counts as none, by the clock of the database.

use super::columns::raw;
use super::session::PgSession;
use shared::ids::{GroupId, SanctionId, UserId};
use time::OffsetDateTime;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SanctionKind {
    /// Keeps a member from writing.
    Mute,
    /// Keeps a user from being a member.
    Ban,
}

impl SanctionKind {
    fn as_str(self) -> &'static str {
        match self {
            SanctionKind::Mute => "mute",
            SanctionKind::Ban => "ban",
        }
    }
}

pub struct NewSanction<'a> {
    pub sanction_id: SanctionId,
    pub group: GroupId,
    pub user: UserId,
    pub kind: SanctionKind,
    /// `None` until it is lifted.
    pub seconds: Option<u32>,
    /// Sealed under the id.
    pub reason: Option<&'a [u8]>,
    pub imposed_by: UserId,
}

/// Imposes a sanction instead of one of the same kind; returns when it ends.
pub async fn upsert_sanction(db: &mut PgSession, new: &NewSanction<'_>) -> sqlx::Result<Option<OffsetDateTime>> {
    sqlx::query_scalar!(
        "INSERT INTO group_sanctions AS s (sanction_id, group_id, user_id, kind, ends_at, reason, imposed_by)
         VALUES ($1, $2, $3, $4, now() + $5::bigint * interval '1 second', $6, $7)
         ON CONFLICT (group_id, kind, user_id) DO UPDATE SET
             sanction_id = excluded.sanction_id, ends_at = excluded.ends_at, reason = excluded.reason,
             imposed_by = excluded.imposed_by, imposed_at = excluded.imposed_at
         RETURNING ends_at",
        new.sanction_id.0,
        new.group.to_string(),
        new.user.0,
        new.kind.as_str(),
        new.seconds.map(i64::from),
        new.reason,
        new.imposed_by.0
    )
    .fetch_one(db)
    .await
}

/// Lifts a sanction. Returns true if it was in effect.
pub async fn delete_sanction(
    db: &mut PgSession,
    group: GroupId,
    user: UserId,
    kind: SanctionKind,
) -> sqlx::Result<bool> {
    let lifted = sqlx::query_scalar!(
        r#"DELETE FROM group_sanctions WHERE group_id = $1 AND kind = $2 AND user_id = $3
           RETURNING (ends_at IS NULL OR ends_at > now()) AS "lifted!""#,
        group.to_string(),
        kind.as_str(),
        user.0
    );
    Ok(lifted.fetch_optional(db).await?.unwrap_or(false))
}

/// A sanction in effect.
pub struct SanctionRow {
    pub sanction_id: SanctionId,
    pub ends_at: Option<OffsetDateTime>,
    pub wait_seconds: Option<i64>,
    /// Sealed under the id.
    pub reason: Option<Vec<u8>>,
}

impl SanctionRow {
    /// Seconds until it ends, if it ends by itself.
    pub fn wait(&self) -> Option<u32> {
        self.wait_seconds.map(|seconds| seconds.clamp(1, i64::from(u32::MAX)) as u32)
    }
}

pub async fn find_sanction(
    db: &mut PgSession,
    group: GroupId,
    user: UserId,
    kind: SanctionKind,
) -> sqlx::Result<Option<SanctionRow>> {
    sqlx::query_as!(
        SanctionRow,
        r#"SELECT sanction_id, ends_at, reason, ceil(extract(epoch FROM ends_at - now()))::bigint AS wait_seconds
           FROM group_sanctions
           WHERE group_id = $1 AND kind = $2 AND user_id = $3 AND (ends_at IS NULL OR ends_at > now())"#,
        group.to_string(),
        kind.as_str(),
        user.0
    )
    .fetch_optional(db)
    .await
}

/// The mutes in effect of these members of a group.
pub async fn list_mutes(
    db: &mut PgSession,
    group: GroupId,
    users: &[UserId],
) -> sqlx::Result<Vec<(UserId, SanctionRow)>> {
    let rows = sqlx::query!(
        r#"SELECT user_id, sanction_id, ends_at, reason FROM group_sanctions
           WHERE group_id = $1 AND kind = 'mute' AND user_id = ANY($2) AND (ends_at IS NULL OR ends_at > now())"#,
        group.to_string(),
        &raw(users)
    )
    .fetch_all(db)
    .await?;
    let mute = |sanction_id, ends_at, reason| SanctionRow {
        sanction_id: SanctionId(sanction_id),
        ends_at,
        wait_seconds: None,
        reason,
    };
    Ok(rows.into_iter().map(|row| (UserId(row.user_id), mute(row.sanction_id, row.ends_at, row.reason))).collect())
}

/// A user who is banned from a group.
pub struct BannedRow {
    pub user_id: UserId,
    /// Empty for a deleted user.
    pub username: String,
    pub sanction_id: SanctionId,
    pub ends_at: Option<OffsetDateTime>,
    /// Sealed under the sanction's id.
    pub reason: Option<Vec<u8>>,
    pub imposed_by: UserId,
    pub imposed_at: OffsetDateTime,
}

/// The users banned from a group, by their ids, after one of them; at most `limit`.
pub async fn list_banned(
    db: &mut PgSession,
    group: GroupId,
    after: Option<UserId>,
    limit: i64,
) -> sqlx::Result<Vec<BannedRow>> {
    sqlx::query_as!(
        BannedRow,
        r#"SELECT s.user_id, coalesce(u.username, '')::text AS "username!", s.sanction_id, s.ends_at, s.reason,
               s.imposed_by, s.imposed_at
           FROM group_sanctions s LEFT JOIN users_auth u ON u.user_id = s.user_id
           WHERE s.group_id = $1 AND s.kind = 'ban' AND (s.ends_at IS NULL OR s.ends_at > now())
               AND ($2::bigint IS NULL OR s.user_id > $2)
           ORDER BY s.user_id LIMIT $3"#,
        group.to_string(),
        after.map(|user| user.0),
        limit
    )
    .fetch_all(db)
    .await
}

/// Deletes up to `limit` sanctions that have ended; returns how many.
pub async fn delete_ended(db: &mut PgSession, limit: i64) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "DELETE FROM group_sanctions WHERE sanction_id IN (
             SELECT sanction_id FROM group_sanctions WHERE ends_at <= now() ORDER BY ends_at LIMIT $1 FOR UPDATE SKIP LOCKED)",
        limit
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}
