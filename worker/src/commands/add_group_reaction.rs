//! `add_group_reaction`: sets the caller's reaction to a group message. A different reaction replaces it; the same one
//! again removes it.

use shared::commands::AddGroupReaction;
use shared::events::change::{GroupReactionAdded, GroupReactionRemoved};

use super::add_reaction::toggle;
use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;

impl Handle for AddGroupReaction {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (found, group_id, _) = context.group_message(self.message).await?;
        context.reject_beyond_reach(group_id).await?;
        context.reject_muted(group_id, &found).await?;
        let (user_id, username) = (context.caller(), context.caller_name().await?);
        let (message_id, username, reaction) = (self.message, username.as_str(), self.reaction.as_str());
        let toggled = toggle(context, &found, reaction).await?;
        let version = toggled.version;
        if toggled.is_there {
            let event = GroupReactionAdded { message_id, group_id, user_id, username, reaction, version };
            let mut outcome = Outcome::answered(context.envelope, &event);
            context.notify_about(&mut outcome, &found, version, &event).await?;
            Ok(outcome)
        } else {
            let event = GroupReactionRemoved { message_id, group_id, user_id, username, reaction, version };
            let mut outcome = Outcome::answered(context.envelope, &event);
            context.notify_about(&mut outcome, &found, version, &event).await?;
            Ok(outcome)
        }
    }
}
