//! `get_user_groups`: the groups one belongs to.

use shared::commands::GetUserGroups;
use shared::events::membership::{UserGroup, UserGroups};

use super::{Context, Handle};
use crate::app::App;
use crate::error::Failure;
use crate::metadata;
use crate::outcome::Outcome;
use crate::store::groups::{self, UserGroupRow};

/// Those written to last; more would not fit into a message.
const MAX_GROUPS: i64 = 1_000;
/// Metadata of all groups together.
const MAX_METADATA_IN_LIST_BYTES: usize = 256 * 1024;
/// Counting on would take time and tell nobody more.
const MAX_UNREAD: i64 = 1_000;

impl Handle for GetUserGroups {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let rows = groups::list_of_user(context.db, context.caller(), MAX_GROUPS, MAX_UNREAD).await?;
        let mut metadata_bytes = 0;
        let user_group = |mut row: UserGroupRow| {
            metadata_bytes += row.metadata.as_ref().map_or(0, Vec::len);
            row.metadata = row.metadata.filter(|_| metadata_bytes <= MAX_METADATA_IN_LIST_BYTES);
            user_group(context.app, row)
        };
        let groups = rows.into_iter().map(user_group).collect();
        Ok(Outcome::answered(context.envelope, &UserGroups { groups }))
    }
}

fn user_group(app: &App, row: UserGroupRow) -> UserGroup {
    UserGroup {
        metadata: metadata::of_group(app, row.group_id, row.metadata.as_deref()),
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
