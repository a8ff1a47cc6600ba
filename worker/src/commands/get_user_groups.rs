//! `get_user_groups`: lists the caller's groups.

use shared::commands::GetUserGroups;
use shared::events::membership::{UserGroup, UserGroups};

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::groups::{self, UserGroupRow};

/// The most recently active ones; more would not fit into a message.
const MAX_GROUPS: i64 = 1_000;
/// Unread messages are counted up to here: an exact large number is not worth a scan.
const MAX_UNREAD: i64 = 1_000;

impl Handle for GetUserGroups {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let rows = groups::list_of_user(context.db, context.caller(), MAX_GROUPS, MAX_UNREAD).await?;
        Ok(Outcome::answered(context.envelope, &UserGroups { groups: rows.into_iter().map(user_group).collect() }))
    }
}

fn user_group(row: UserGroupRow) -> UserGroup {
    UserGroup {
        group_id: row.group_id,
        group_name: row.name,
        group_description: row.description,
        created_by: row.created_by,
        my_role: row.role,
        role: row.role,
        member_count: row.member_count,
        max_members: row.max_members,
        joined_at: row.joined_at.into(),
        last_seq: row.last_seq,
        unread_count: row.unread_count,
    }
}
