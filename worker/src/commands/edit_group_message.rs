//! `edit_group_message`: replaces the content of the caller's own group message. Its mentions are found again for later
//! readers; nobody is notified again.

use shared::commands::EditGroupMessage;
use shared::events::change::GroupMessageEdited;

use super::edit_message::{Edited, NewWords, store_edit};
use super::{Context, Handle};
use crate::error::Failure;
use crate::mentions::{self, Mentioned, Writing};
use crate::outcome::Outcome;

impl Handle for EditGroupMessage {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (found, group_id, _) = context.group_message(self.message).await?;
        context.reject_beyond_reach(group_id).await?;
        context.reject_muted(group_id, &found).await?;
        let writing = Writing { group: group_id, author: context.caller(), text: &self.content };
        let everyone_size = context.app.settings.everyone_group_size;
        let mentioned = mentions::list_allowed(context.db, &[writing], everyone_size).await?;
        let mentioned: Vec<i64> = mentioned.iter().flatten().map(Mentioned::to_stored).collect();
        let mentions = (!mentioned.is_empty()).then_some(&*mentioned);
        let new = NewWords { content: &self.content, mentions, metadata: self.metadata };
        let Edited { edited_at, version, metadata } = store_edit(context, &found, new).await?;
        let username = context.caller_name().await?;
        let event = GroupMessageEdited {
            message_id: self.message,
            group_id,
            content: &self.content,
            new_content: &self.content,
            edited_at,
            edited_by: context.caller(),
            edited_by_username: &username,
            seq: found.row.seq,
            version,
            metadata: metadata.as_ref(),
        };
        let mut outcome = Outcome::answered(context.envelope, &event);
        context.notify_about(&mut outcome, &found, version, &event).await?;
        Ok(outcome)
    }
}
