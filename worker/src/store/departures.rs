//! `departed_users`: accounts that the main backend deleted, and what remains of them here.

use super::columns::raw;
use super::conversations;
use super::session::PgSession;
use shared::ids::UserId;
use shared::role::Role;

/// A deleted user who has not been handled yet; locked until the end of the transaction.
pub struct Departed {
    pub user_id: UserId,
    /// True if the account exists again.
    pub exists: bool,
}

/// The next one that no other worker is handling, except these.
pub async fn find_departed(db: &mut PgSession, except: &[UserId]) -> sqlx::Result<Option<Departed>> {
    sqlx::query_as!(
        Departed,
        r#"SELECT d.user_id, EXISTS (SELECT FROM users_auth u WHERE u.user_id = d.user_id) AS "exists!"
           FROM departed_users d WHERE d.user_id <> ALL($1) ORDER BY d.departed_at LIMIT 1 FOR UPDATE SKIP LOCKED"#,
        &raw(except)
    )
    .fetch_optional(db)
    .await
}

/// Removes the user from all communities and from up to `most` groups; returns true if these were all. A group that the
/// user owned goes to its longest-serving admin, or else member; one without other members is deleted. `chatctl user
/// erase` does the same.
pub async fn delete_memberships(db: &mut PgSession, user: UserId, most: i64) -> sqlx::Result<bool> {
    sqlx::query!("DELETE FROM community_members WHERE user_id = $1", user.0).execute(&mut *db).await?;
    let groups = sqlx::query_scalar!(
        "SELECT group_id FROM group_members WHERE user_id = $1 ORDER BY group_id LIMIT $2",
        user.0,
        most
    )
    .fetch_all(&mut *db)
    .await?;
    let are_all = (groups.len() as i64) < most;
    for stored in groups {
        // Members' commands hold a share lock on the group: the owner, and the members who may inherit, stay the same
        // until the end.
        sqlx::query!("SELECT group_id FROM group_chats WHERE group_id = $1 FOR UPDATE", stored)
            .fetch_optional(&mut *db)
            .await?;
        let role = sqlx::query_scalar!(
            "DELETE FROM group_members WHERE group_id = $1 AND user_id = $2 RETURNING role",
            stored,
            user.0
        )
        .fetch_optional(&mut *db)
        .await?;
        // No event is sent; `sync` reports the change, for groups with a valid id.
        if let Ok(group) = stored.parse() {
            conversations::raise_for_info(&mut *db, group).await?;
        }
        if role.as_deref() != Some(Role::Owner.as_str()) {
            continue;
        }
        let inherited = sqlx::query!(
            "UPDATE group_members SET role = 'owner', can_add_members = TRUE
         WHERE group_id = $1 AND user_id = (SELECT user_id FROM group_members WHERE group_id = $1
                                            ORDER BY role <> 'admin', joined_at, user_id LIMIT 1)",
            stored
        )
        .execute(&mut *db)
        .await?;
        if inherited.rows_affected() == 0 {
            sqlx::query!("UPDATE group_chats SET deleted_at = coalesce(deleted_at, now()) WHERE group_id = $1", stored)
                .execute(&mut *db)
                .await?;
        }
    }
    Ok(are_all)
}

pub async fn delete_departed(db: &mut PgSession, user: UserId) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM departed_users WHERE user_id = $1", user.0).execute(db).await?;
    Ok(())
}
