//! `get_community_members`: lists a community's members.

use shared::commands::GetCommunityMembers;
use shared::events::community::{CommunityMember, CommunityMembers};
use shared::ids::CommunityId;

use super::group_rules::denied;
use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::communities::{self, CommunityMemberRow};

/// More would not fit into a message.
const MAX_MEMBERS: i64 = 5_000;

impl Handle for GetCommunityMembers {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        context.reject_community_outsider(&self.community).await?;
        let rows = communities::list_members(context.db, &self.community, MAX_MEMBERS).await?;
        let blocked = context.blocked_either_way().await?;
        let member = |row: CommunityMemberRow| CommunityMember {
            user_id: row.user_id,
            username: row.username,
            role: row.role,
            joined_at: row.joined_at.into(),
            last_seen_at: row.last_seen_at.filter(|_| !blocked.contains(&row.user_id)).map(Into::into),
            is_muted: row.is_muted,
        };
        let members =
            CommunityMembers { community_id: &self.community.0, members: rows.into_iter().map(member).collect() };
        Ok(Outcome::answered(context.envelope, &members))
    }
}

impl Context<'_> {
    /// Rejects callers who are not members, with the same answer whether or not the community exists.
    pub async fn reject_community_outsider(&mut self, community: &CommunityId) -> Result<(), Failure> {
        if communities::is_member(self.db, community, self.caller()).await? {
            return Ok(());
        }
        Err(denied("You are not a member of this community"))
    }
}
