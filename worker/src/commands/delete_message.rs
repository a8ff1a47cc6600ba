//! `delete_message`: deletes the caller's own direct message for everyone, or hides any direct message from the caller.

use shared::commands::DeleteMessage;
use shared::events::change::MessageDeleted;
use shared::protocol::{ErrorCode, Rejection};

use super::{Context, FoundMessage, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::messages;

impl Handle for DeleteMessage {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let found = context.direct_message(self.message).await?;
        if self.for_everyone && !context.is_own(&found) {
            return Err(not_allowed("Only the sender may delete a message for everyone").into());
        }
        let version = if self.for_everyone {
            messages::delete_message(context.db, self.message).await?
        } else {
            hide(context, &found).await?
        };
        let event = MessageDeleted {
            message_id: self.message,
            conversation_id: found.conversation,
            delete_for_everyone: self.for_everyone,
            version,
        };
        let mut outcome = Outcome::answered(context.envelope, &event);
        if self.for_everyone {
            context.notify_participants(&mut outcome, found.conversation, version, &event).await?;
        } else {
            context.tell_own_connections(&mut outcome, &event);
        }
        Ok(outcome)
    }
}

/// Hides a message from the caller; returns the conversation's version, which does not change.
pub async fn hide(context: &mut Context<'_>, found: &FoundMessage) -> Result<i64, Failure> {
    let (user, row) = (context.caller(), &found.row);
    Ok(messages::insert_deletion(context.db, user, row.conversation_id, row.seq, row.message_id).await?)
}

pub fn not_allowed(details: &str) -> Rejection {
    Rejection { field: Some("messageId"), ..Rejection::new(ErrorCode::PermissionDenied, details) }
}
