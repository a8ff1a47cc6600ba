//! `unmute_member`: lets a user write in a group again.

use shared::commands::UnmuteMember;
use shared::events::moderation::MemberUnmuted;
use shared::ids::ConversationId;
use shared::protocol::Rejection;

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::sanctions::SanctionKind;

impl Handle for UnmuteMember {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (group_id, user_id) = (self.group, self.user);
        context.moderated(group_id, user_id).await?;
        if !context.lift(SanctionKind::Mute, group_id, user_id).await? {
            return Err(Rejection::invalid("userId", "`userId` is not muted in this group").into());
        }
        let username = context.username(user_id).await?;
        let version = context.raise_version(group_id).await?;
        let unmuted = MemberUnmuted { group_id, user_id, username: &username, unmuted_by: context.caller(), version };
        let mut outcome = Outcome::answered(context.envelope, &unmuted);
        context.notify_participants(&mut outcome, ConversationId::Group(group_id), version, &unmuted).await?;
        Ok(outcome)
    }
}
