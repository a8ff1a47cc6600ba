//! `delete_conversation`: deletes a direct conversation's messages, or hides them from the caller until the next one
//! arrives. Only the first part of a long history is deleted in the command's transaction, and the rest within seconds
//! by `jobs::purge`, hidden from both users meanwhile, so that the partition is never locked for long.

use shared::commands::DeleteConversation;
use shared::events::direct::ConversationDeleted;
use shared::ids::{ConversationId, UserId};
use shared::protocol::Rejection;

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::conversations::Emptied;
use crate::store::{conversations, purge, shared_events};

/// Messages deleted in the command's own transaction.
const MAX_MESSAGES: i64 = 2_000;

impl Handle for DeleteConversation {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let no_such = || Rejection::not_found("conversationId", "There is no such conversation");
        let caller = context.caller();
        let other = self.conversation.other(caller).ok_or_else(no_such)?;
        let emptied = if self.for_everyone {
            delete_for_both(context, self.conversation, [caller, other]).await?
        } else {
            conversations::update_cleared(context.db, caller, self.conversation).await?
        };
        let emptied = emptied.ok_or_else(no_such)?;
        let event = ConversationDeleted {
            conversation_id: self.conversation,
            delete_for_everyone: self.for_everyone,
            through_seq: emptied.last_seq,
            version: emptied.version,
        };
        let mut outcome = Outcome::answered(context.envelope, &event);
        if self.for_everyone {
            context.notify_participants(&mut outcome, self.conversation, emptied.version, &event).await?;
        } else {
            context.tell_own_connections(&mut outcome, &event);
        }
        Ok(outcome)
    }
}

/// `None` if there were never any messages.
async fn delete_for_both(
    context: &mut Context<'_>,
    conversation: ConversationId,
    participants: [UserId; 2],
) -> Result<Option<Emptied>, Failure> {
    let Some(emptied) = conversations::update_emptied(context.db, conversation).await? else { return Ok(None) };
    let last_seq = emptied.last_seq;
    // Only now: a command about a conversation that does not exist must not wait.
    context.bound_waiting_events(&participants).await?;
    let db = &mut *context.db;
    // Waiting events must not show what was deleted.
    shared_events::update_all_delivered(db, conversation, &participants).await?;
    purge::delete_waiting_events(db, conversation, &participants).await?;
    // First, so that this waits for a purge of an earlier deletion before it locks anything itself.
    purge::insert_purge(db, conversation, last_seq).await?;
    if purge::delete_messages(db, &conversation.into(), last_seq, MAX_MESSAGES).await? < MAX_MESSAGES as u64 {
        purge::delete_purge(db, &conversation.into()).await?;
    } else {
        for user in participants {
            conversations::update_cleared(db, user, conversation).await?;
        }
    }
    Ok(Some(emptied))
}
