//! `unpin_message`: unpins a message; users who may pin may also unpin.

use shared::commands::UnpinMessage;
use shared::events::change::MessageUnpinned;

use super::pin_message::may_pin;
use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::{conversations, messages};

impl Handle for UnpinMessage {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let found = may_pin(context, self.message, self.conversation).await?;
        let unpinned = messages::update_unpinned(context.db, self.message).await?;
        let version = match unpinned {
            Some(version) => version,
            None => conversations::get_version(context.db, found.conversation).await?,
        };
        let event = MessageUnpinned {
            message_id: self.message,
            conversation_id: found.conversation,
            group_id: found.conversation.group(),
            unpinned_by: context.caller(),
            version,
        };
        let mut outcome = Outcome::answered(context.envelope, &event);
        if unpinned.is_some() {
            context.notify_about(&mut outcome, &found, version, &event).await?;
        }
        Ok(outcome)
    }
}
