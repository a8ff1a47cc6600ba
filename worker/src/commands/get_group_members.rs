//! `get_group_members`: a group's members, and who of them is online.

use shared::commands::GetGroupMembers;
use shared::events::membership::{GroupMembers, ListedMember};
use shared::ids::UserId;

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::presence;
use crate::store::group_members::{self, MemberRow};

/// More would not fit into a message; only communities' groups can have more.
const MOST_MEMBERS: i64 = 5_000;

impl Handle for GetGroupMembers {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        context.membership(self.group).await?;
        let rows = group_members::list_members(context.db, &self.group.to_string(), MOST_MEMBERS).await?;
        let blocked = context.blocked_either_way().await?;
        let visible = rows.iter().map(|row| row.user_id).filter(|user| !blocked.contains(user));
        let visible: Vec<UserId> = visible.map(UserId).collect();
        let online = presence::online_among(context.app, &visible).await;
        let member = |row: MemberRow| ListedMember {
            user_id: UserId(row.user_id),
            display_name: row.display_name.unwrap_or_else(|| row.username.clone()),
            username: row.username,
            role: row.role,
            can_add_members: row.can_add_members,
            joined_at: row.joined_at.into(),
            online: online.contains(&UserId(row.user_id)),
        };
        let members = rows.into_iter().map(member).collect();
        Ok(Outcome::answered(context.envelope, &GroupMembers { group_id: self.group, members }))
    }
}
