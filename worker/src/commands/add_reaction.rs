//! `add_reaction`: sets the caller's reaction to a direct message. A different reaction replaces it; the same one again
//! removes it.

use shared::commands::AddReaction;
use shared::events::change::{ReactionAdded, ReactionRemoved};

use super::{Context, FoundMessage, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::messages;

impl Handle for AddReaction {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let found = context.direct_message(self.message).await?;
        if let Some(other) = found.other(context.caller()) {
            context.reject_blocked(other, "messageId").await?;
        }
        let (user_id, username) = (context.caller(), context.caller_name().await?);
        let (message_id, conversation_id, reaction) = (self.message, found.conversation, self.reaction.as_str());
        let toggled = toggle(context, &found, reaction).await?;
        let version = toggled.version;
        if toggled.is_there {
            let event = ReactionAdded {
                message_id,
                conversation_id,
                user_id,
                username: &username,
                reaction,
                emoji: reaction,
                version,
            };
            let mut outcome = Outcome::answered(context.envelope, &event);
            context.notify_about(&mut outcome, &found, version, &event).await?;
            Ok(outcome)
        } else {
            let event =
                ReactionRemoved { message_id, conversation_id, user_id, username: &username, reaction, version };
            let mut outcome = Outcome::answered(context.envelope, &event);
            context.notify_about(&mut outcome, &found, version, &event).await?;
            Ok(outcome)
        }
    }
}

/// The result of setting a reaction.
pub struct Toggled {
    pub is_there: bool,
    pub version: i64,
}

/// Sets the caller's reaction, or removes it if it is already set.
pub async fn toggle(context: &mut Context<'_>, found: &FoundMessage, reaction: &str) -> Result<Toggled, Failure> {
    let (user, row) = (context.caller(), &found.row);
    let message = (row.message_id, row.seq);
    let set = messages::upsert_reaction(context.db, row.conversation_id, message, user, reaction).await?;
    if let Some(version) = set {
        return Ok(Toggled { is_there: true, version });
    }
    let removed = messages::delete_reaction(context.db, row.conversation_id, message, user).await?;
    let gone = || anyhow::anyhow!("a reaction disappeared while its conversation was locked");
    Ok(Toggled { is_there: false, version: removed.ok_or_else(gone)?.version })
}
