//! `mute_member`: keeps a member of a group from writing.

use shared::commands::MuteMember;
use shared::events::moderation::MemberMuted;
use shared::ids::ConversationId;

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::sanctions::SanctionKind;

impl Handle for MuteMember {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (group_id, user_id) = (self.0.group, self.0.user);
        context.other_member(group_id, user_id).await?;
        context.moderated(group_id, user_id).await?;
        let sanction = context.impose(SanctionKind::Mute, self.0).await?;
        let username = context.username(user_id).await?;
        let version = context.raise_version(group_id).await?;
        let muted = MemberMuted {
            group_id,
            user_id,
            username: &username,
            muted_by: context.caller(),
            sanction: &sanction,
            version,
        };
        let mut outcome = Outcome::answered(context.envelope, &muted);
        context.notify_participants(&mut outcome, ConversationId::Group(group_id), version, &muted).await?;
        Ok(outcome)
    }
}
