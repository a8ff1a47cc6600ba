//! `remove_group_reaction`: removes the caller's reaction to a group message.

use shared::commands::RemoveGroupReaction;
use shared::events::change::GroupReactionRemoved;

use super::remove_reaction::take_away;
use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;

impl Handle for RemoveGroupReaction {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (found, group_id, _) = context.group_message(self.message).await?;
        context.reject_beyond_reach(group_id).await?;
        let removed = take_away(context, &found).await?;
        let username = context.caller_name().await?;
        let event = GroupReactionRemoved {
            message_id: self.message,
            group_id,
            user_id: context.caller(),
            username: &username,
            reaction: &removed.reaction,
            version: removed.version,
        };
        let mut outcome = Outcome::answered(context.envelope, &event);
        context.notify_about(&mut outcome, &found, removed.version, &event).await?;
        Ok(outcome)
    }
}
