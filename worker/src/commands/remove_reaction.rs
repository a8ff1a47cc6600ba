//! `remove_reaction`: removes the caller's reaction to a direct message.

use shared::commands::RemoveReaction;
use shared::events::change::ReactionRemoved;
use shared::protocol::Rejection;

use super::{Context, FoundMessage, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::messages::{self, RemovedReaction};

impl Handle for RemoveReaction {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let found = context.direct_message(self.message).await?;
        let removed = take_away(context, &found).await?;
        let username = context.caller_name().await?;
        let event = ReactionRemoved {
            message_id: self.message,
            conversation_id: found.conversation,
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

/// Removes the caller's reaction.
///
/// # Errors
/// `RESOURCE_NOT_FOUND` if there is none.
pub async fn take_away(context: &mut Context<'_>, found: &FoundMessage) -> Result<RemovedReaction, Failure> {
    let (user, row) = (context.caller(), &found.row);
    let message = (row.message_id, row.seq);
    let removed = messages::delete_reaction(context.db, row.conversation_id, message, user).await?;
    let none = || Rejection::not_found("messageId", "You have no reaction to this message");
    Ok(removed.ok_or_else(none)?)
}
