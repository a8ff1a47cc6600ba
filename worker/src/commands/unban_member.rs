//! `unban_member`: lets a user be added to a group again.

use shared::commands::UnbanMember;
use shared::events::moderation::MemberUnbanned;
use shared::ids::ConversationId;
use shared::protocol::Rejection;

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::sanctions::SanctionKind;

impl Handle for UnbanMember {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (group_id, user_id) = (self.group, self.user);
        context.moderated(group_id, user_id).await?;
        if !context.lift(SanctionKind::Ban, group_id, user_id).await? {
            return Err(Rejection::invalid("userId", "`userId` is not banned from this group").into());
        }
        let username = context.username(user_id).await?;
        let version = context.raise_version(group_id).await?;
        let unbanned =
            MemberUnbanned { group_id, user_id, username: &username, unbanned_by: context.caller(), version };
        let mut outcome = Outcome::answered(context.envelope, &unbanned);
        context.notify_participants(&mut outcome, ConversationId::Group(group_id), version, &unbanned).await?;
        Ok(outcome)
    }
}
