//! `pin_message`: pins a message for all participants; in groups the owner and admins may.

use shared::commands::PinMessage;
use shared::events::change::MessagePinned;
use shared::ids::{ConversationId, MessageId};
use shared::protocol::{ErrorCode, Rejection};

use super::about_message::reject_mismatch;
use super::{Context, FoundMessage, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::{conversations, messages};

impl Handle for PinMessage {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let found = may_pin(context, self.message, self.conversation).await?;
        if let Some(other) = found.other(context.caller()) {
            context.reject_blocked(other, "messageId").await?;
        }
        let caller = context.caller();
        let pinned = messages::update_pinned(context.db, self.message, caller).await?;
        let (pinned_by, version) = match pinned {
            Some(version) => (caller, version),
            None => {
                let by = messages::find_pinned_by(context.db, self.message).await?.unwrap_or(caller);
                (by, conversations::get_version(context.db, found.conversation).await?)
            }
        };
        let event = MessagePinned {
            message_id: self.message,
            conversation_id: found.conversation,
            group_id: found.conversation.group(),
            pinned_by,
            version,
        };
        let mut outcome = Outcome::answered(context.envelope, &event);
        if pinned.is_some() {
            context.notify_about(&mut outcome, &found, version, &event).await?;
        }
        Ok(outcome)
    }
}

/// Returns the message if the caller may pin and unpin it and it is where the command says.
pub async fn may_pin(
    context: &mut Context<'_>,
    message: MessageId,
    conversation: ConversationId,
) -> Result<FoundMessage, Failure> {
    let found = context.message(message).await?;
    reject_mismatch(&found, conversation)?;
    if found.membership.as_ref().is_some_and(|membership| !membership.is_owner_or_admin()) {
        let details = "Only the owner and admins may pin and unpin messages";
        return Err(Rejection::new(ErrorCode::PermissionDenied, details).into());
    }
    Ok(found)
}
