//! `delete_conversation`: removes a direct conversation's messages, or hides them from oneself until the next one comes.

use shared::commands::DeleteConversation;
use shared::events::direct::ConversationDeleted;
use shared::protocol::Rejection;

use super::{Context, Handle};
use crate::error::Failure;
use crate::publish::Outcome;
use crate::store::conversations;

impl Handle for DeleteConversation {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let no_such = || Rejection::not_found("conversationId", "There is no such conversation");
        let caller = context.caller();
        let other = self.conversation.other(caller).ok_or_else(no_such)?;
        let id = self.conversation.to_string();
        let event = ConversationDeleted { conversation_id: self.conversation, delete_for_everyone: self.for_everyone };
        let mut outcome = Outcome::answered(context.envelope, &event);
        let existed = if self.for_everyone {
            conversations::delete_messages(context.db, &id, &[caller.0, other.0]).await?
        } else {
            conversations::update_cleared(context.db, caller.0, &id).await?
        };
        if !existed {
            return Err(no_such().into());
        }
        if self.for_everyone {
            context.notify_participants(&mut outcome, self.conversation, &event).await?;
        } else {
            context.tell_own_connections(&mut outcome, &event);
        }
        Ok(outcome)
    }
}
