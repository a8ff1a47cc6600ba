//! `add_reaction`: one's reaction to a direct message; another one replaces it, the same one again takes it away.

use shared::commands::AddReaction;
use shared::events::change::{ReactionAdded, ReactionRemoved};

use super::{Context, Found, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::messages;

impl Handle for AddReaction {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let found = context.direct_message(self.message).await?;
        if let Some(other) = found.other(context.caller()) {
            context.refuse_blocked(other, "messageId").await?;
        }
        let (user_id, username) = (context.caller(), context.caller_name().await?);
        let (message_id, conversation_id, reaction) = (self.message, found.conversation, self.reaction.as_str());
        if toggle(context, &found, reaction).await? {
            let event =
                ReactionAdded { message_id, conversation_id, user_id, username: &username, reaction, emoji: reaction };
            let mut outcome = Outcome::answered(context.envelope, &event);
            context.notify_about(&mut outcome, &found, &event).await?;
            Ok(outcome)
        } else {
            let event = ReactionRemoved { message_id, conversation_id, user_id, username: &username, reaction };
            let mut outcome = Outcome::answered(context.envelope, &event);
            context.notify_about(&mut outcome, &found, &event).await?;
            Ok(outcome)
        }
    }
}

/// Sets the caller's reaction, or takes it away when it is this one already. Whether it is there afterwards.
pub async fn toggle(context: &mut Context<'_>, found: &Found, reaction: &str) -> Result<bool, Failure> {
    let (user, row) = (context.caller().0, &found.row);
    if messages::upsert_reaction(context.db, &row.conversation_id, row.message_id, user, reaction).await? {
        return Ok(true);
    }
    messages::delete_reaction(context.db, &row.conversation_id, row.message_id, user).await?;
    Ok(false)
}
