//! `get_community_progress`: returns the caller's progress in a community.

use shared::commands::GetCommunityProgress;
use shared::events::community::{CommunityProgress, Progress};
use shared::ids::{CommunityId, UserId};

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::communities::{self, ProgressRow};

impl Handle for GetCommunityProgress {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        context.reject_community_outsider(&self.community).await?;
        // A user who has not begun has nothing yet.
        let row = communities::find_progress(context.db, &self.community, context.caller()).await?.unwrap_or_default();
        let progress = progress(&self.community, context.caller(), row);
        Ok(Outcome::answered(context.envelope, &CommunityProgress { community_id: &self.community.0, progress }))
    }
}

/// The progress as the protocol shows it.
pub fn progress(community: &CommunityId, user: UserId, row: ProgressRow) -> Progress {
    Progress {
        community_id: community.0.clone(),
        user_id: user,
        total_xp: row.total_xp,
        daily_streak: row.daily_streak,
        weekly_streak: row.weekly_streak,
        last_challenge_id: row.last_challenge_id,
        last_challenge_type: row.last_challenge_type,
        last_completed_at: row.last_completed_at.map(Into::into),
    }
}
