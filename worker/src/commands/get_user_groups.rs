//! `get_user_groups`: lists the caller's groups.

use shared::commands::{GetUserGroups, GroupPosition};
use shared::cursor::Cursor;
use shared::events::membership::{UserGroup, UserGroups};
use shared::limits::MAX_ANSWER_BYTES;
use time::OffsetDateTime;

use super::{Context, Handle};
use crate::app::App;
use crate::error::Failure;
use crate::metadata;
use crate::outcome::Outcome;
use crate::store::groups::{self, UserGroupRow};

/// Those written to last, of somebody who asks for all: as many as users are in by default.
const MAX_GROUPS: i64 = 2_000;
/// Counting on would take time and tell nobody more.
const MAX_UNREAD: i64 = 1_000;

impl Handle for GetUserGroups {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let limit = self.page.as_ref().map_or(MAX_GROUPS, |page| i64::from(page.limit));
        let after = self.page.and_then(|page| page.after).map(|place| {
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(place.active_at_us) * 1_000);
            (at.unwrap_or(OffsetDateTime::UNIX_EPOCH), place.group)
        });
        // One more than asked for tells whether there are more.
        let mut rows = groups::list_of_user(context.db, context.caller(), after, limit + 1, MAX_UNREAD).await?;
        let found = rows.len();
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let places: Vec<GroupPosition> = rows.iter().map(place).collect();
        let mut groups: Vec<UserGroup> = rows.into_iter().map(|row| user_group(context.app, row)).collect();
        groups.truncate(fitting(&groups));
        let last = places.get(groups.len().wrapping_sub(1));
        let next_cursor = last.filter(|_| found > groups.len()).map(Cursor::to_text);
        Ok(Outcome::answered(context.envelope, &UserGroups { groups, next_cursor }))
    }
}

/// How many of the groups the answer has room for, at least one.
fn fitting(groups: &[UserGroup]) -> usize {
    let mut bytes = 0;
    let fits = |group: &&UserGroup| {
        bytes += serde_json::to_vec(group).map_or(0, |json| json.len() + 1);
        bytes <= MAX_ANSWER_BYTES
    };
    groups.iter().take_while(fits).count().max(1)
}

fn place(row: &UserGroupRow) -> GroupPosition {
    GroupPosition { active_at_us: (row.active_at.unix_timestamp_nanos() / 1_000) as i64, group: row.group_id }
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
