//! `delete_group_message`: deletes a group message for everyone (allowed for its sender, the owner and admins), or
//! hides it from the caller.

use shared::commands::DeleteGroupMessage;
use shared::events::change::GroupMessageDeleted;

use super::delete_message::{hide, not_allowed};
use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::messages;

impl Handle for DeleteGroupMessage {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (found, group_id, membership) = context.group_message(self.message).await?;
        let is_own = context.is_own(&found);
        if self.for_everyone && !is_own && !membership.is_owner_or_admin() {
            let details = "Only the sender, the owner and admins may delete a message for everyone";
            return Err(not_allowed(details).into());
        }
        let version = if self.for_everyone {
            messages::delete_message(context.db, self.message).await?
        } else {
            hide(context, &found).await?
        };
        let event = GroupMessageDeleted {
            message_id: self.message,
            group_id,
            deleted_by: context.caller(),
            delete_for_everyone: self.for_everyone,
            version,
        };
        let mut outcome = Outcome::answered(context.envelope, &event);
        if self.for_everyone {
            if !is_own {
                let sender = found.row.sender_id;
                context.audit(found.conversation, Some(sender), Some(self.message)).await?;
            }
            context.notify_participants(&mut outcome, found.conversation, version, &event).await?;
        } else {
            context.tell_own_connections(&mut outcome, &event);
        }
        Ok(outcome)
    }
}
