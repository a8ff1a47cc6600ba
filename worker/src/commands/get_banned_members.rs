//! `get_banned_members`: lists the users who are banned from a group.

use shared::commands::{BannedPosition, GetBannedMembers};
use shared::cursor::Cursor;
use shared::events::moderation::{BannedMember, BannedMembers};

use super::group_rules::denied;
use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::sanctions::shown_sanction;
use crate::store::sanctions::{self, BannedRow};

impl Handle for GetBannedMembers {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let group_id = self.group;
        if !context.membership(group_id).await?.is_owner_or_admin() {
            return Err(denied("Only the owner and admins may see who is banned"));
        }
        // Reading one more than requested shows if there are more.
        let limit = i64::from(self.limit) + 1;
        let mut rows = sanctions::list_banned(context.db, group_id, self.after.map(|after| after.user), limit).await?;
        let has_more = rows.len() as i64 == limit;
        if has_more {
            rows.pop();
        }
        let last = rows.last().filter(|_| has_more).map(|row| BannedPosition { user: row.user_id });
        let member = |row: BannedRow| {
            let sanction = shown_sanction(context.app, row.sanction_id, row.ends_at, row.reason.as_deref());
            BannedMember {
                user_id: row.user_id,
                username: row.username,
                banned_by: row.imposed_by,
                banned_at: row.imposed_at.into(),
                sanction,
            }
        };
        let members = rows.into_iter().map(member).collect();
        let next_cursor = last.map(|last| last.to_text());
        Ok(Outcome::answered(context.envelope, &BannedMembers { group_id, members, next_cursor }))
    }
}
