//! `group_chats` and `group_members`.

use sqlx::PgConnection;

pub struct MemberName {
    pub group_id: String,
    pub user_id: i64,
    pub username: String,
}

/// The members of these groups, by name.
pub async fn list_member_names(db: &mut PgConnection, groups: &[String]) -> sqlx::Result<Vec<MemberName>> {
    sqlx::query_as!(
        MemberName,
        "SELECT m.group_id, m.user_id, u.username FROM group_members m
         JOIN users_auth u ON u.user_id = m.user_id WHERE m.group_id = ANY($1)",
        groups
    )
    .fetch_all(db)
    .await
}

/// A user's part in a group.
#[derive(Clone, Debug)]
pub struct Membership {
    /// `owner`, `admin` or `member`
    pub role: String,
    pub can_add_members: bool,
    /// Set for the default group of a community.
    pub community_id: Option<String>,
}

impl Membership {
    pub fn is_owner(&self) -> bool {
        self.role == "owner"
    }

    pub fn is_owner_or_admin(&self) -> bool {
        self.role == "owner" || self.role == "admin"
    }
}

/// The user's part in the group; `None` for outsiders and for a deleted group.
pub async fn find_membership(db: &mut PgConnection, group: &str, user: i64) -> sqlx::Result<Option<Membership>> {
    sqlx::query_as!(
        Membership,
        "SELECT m.role, m.can_add_members, g.community_id FROM group_members m
         JOIN group_chats g ON g.group_id = m.group_id AND g.deleted_at IS NULL
         WHERE m.group_id = $1 AND m.user_id = $2",
        group,
        user
    )
    .fetch_optional(db)
    .await
}

/// The members of a group but one.
pub async fn list_member_ids(db: &mut PgConnection, group: &str, except: i64) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar!("SELECT user_id FROM group_members WHERE group_id = $1 AND user_id <> $2", group, except)
        .fetch_all(db)
        .await
}
