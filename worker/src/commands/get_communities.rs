//! `get_communities`: lists the caller's communities.

use shared::commands::GetCommunities;
use shared::events::community::{Community, CommunityList};

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::communities::{self, CommunityRow};

/// More would not fit into a message.
const MAX_COMMUNITIES: i64 = 1_000;

impl Handle for GetCommunities {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let rows = communities::list_of_user(context.db, context.caller(), MAX_COMMUNITIES).await?;
        let community = |row: CommunityRow| Community {
            community_id: row.community_id.0,
            name: row.name,
            description: row.description,
            avatar_url: row.avatar_url,
            default_group_id: Some(row.default_group_id),
            role: row.role,
            joined_at: row.joined_at.into(),
            is_muted: row.is_muted,
        };
        let communities = rows.into_iter().map(community).collect();
        Ok(Outcome::answered(context.envelope, &CommunityList { communities }))
    }
}
