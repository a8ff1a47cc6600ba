//! `get_group_members`: lists a group's members, which of them are online, and how far they have read; of users blocked in
//! either direction, neither.

use std::collections::HashMap;

use shared::commands::{GetGroupMembers, MemberPosition};
use shared::cursor::Cursor;
use shared::events::membership::{GroupMembers, ListedMember};
use shared::events::moderation::Sanction;
use shared::ids::UserId;
use time::OffsetDateTime;

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::presence;
use crate::sanctions::shown_sanction;
use crate::store::group_members::{self, MemberPlace, MemberRow};
use crate::store::sanctions;

/// More would not fit into a message; only the groups of communities can have more.
const MAX_MEMBERS: i64 = 5_000;

impl Handle for GetGroupMembers {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        context.membership(self.group).await?;
        let after = self.page.as_ref().and_then(|page| page.after.as_ref()).map(place);
        // Reading one more than requested shows if there are more.
        let limit = self.page.as_ref().map_or(MAX_MEMBERS, |page| i64::from(page.limit) + 1);
        let mut rows = group_members::list_members(context.db, self.group, after, limit).await?;
        let has_more = self.page.is_some() && rows.len() as i64 == limit;
        if has_more {
            rows.pop();
        }
        let next_cursor = rows.last().filter(|_| has_more).map(cursor);
        let users: Vec<UserId> = rows.iter().map(|row| row.user_id).collect();
        let app = context.app;
        let mut mutes: HashMap<UserId, Sanction> = sanctions::list_mutes(context.db, self.group, &users)
            .await?
            .into_iter()
            .map(|(user, mute)| (user, shown_sanction(app, mute.sanction_id, mute.ends_at, mute.reason.as_deref())))
            .collect();
        let blocked = context.blocked_either_way().await?;
        let visible = rows.iter().map(|row| row.user_id).filter(|user| !blocked.contains(user));
        let visible: Vec<UserId> = visible.collect();
        let online = presence::online_among(context.app, &visible).await;
        let member = |row: MemberRow| ListedMember {
            user_id: row.user_id,
            display_name: row.display_name.unwrap_or_else(|| row.username.clone()),
            username: row.username,
            role: row.role,
            can_add_members: row.can_add_members,
            joined_at: row.joined_at.into(),
            online: online.contains(&row.user_id),
            read_seq: row.read_seq.filter(|_| !blocked.contains(&row.user_id)),
            mute: mutes.remove(&row.user_id),
        };
        let members = rows.into_iter().map(member).collect();
        Ok(Outcome::answered(context.envelope, &GroupMembers { group_id: self.group, members, next_cursor }))
    }
}

/// Postgres counts from 1.
fn place(position: &MemberPosition) -> MemberPlace {
    let joined_at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(position.joined_at_us) * 1_000);
    MemberPlace {
        rank: i32::from(position.rank) + 1,
        joined_at: joined_at.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        user_id: position.user,
    }
}

fn cursor(row: &MemberRow) -> String {
    let joined_at_us = (row.joined_at.unix_timestamp_nanos() / 1_000) as i64;
    MemberPosition { rank: row.role.rank(), joined_at_us, user: row.user_id }.to_text()
}
