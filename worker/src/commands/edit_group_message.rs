//! `edit_group_message`: replaces the content of the caller's own group message. Its mentions are found again for later
//! readers; nobody is notified again.

use shared::commands::EditGroupMessage;
use shared::events::change::GroupMessageEdited;

use super::edit_message::{Edited, NewWords, store_edit};
use super::{Context, Handle};
use crate::error::Failure;
use crate::mentions::{self, Names};
use crate::outcome::Outcome;
use crate::store::groups;

/// The column's value for a mention of everyone.
const EVERYONE: i64 = 0;

impl Handle for EditGroupMessage {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (found, group_id, _) = context.group_message(self.message).await?;
        context.reject_muted(group_id, &found).await?;
        let mut mentioned: Vec<i64> = Vec::new();
        if self.content.contains('@') {
            let members = groups::list_member_names(context.db, &[group_id]).await?;
            let members: Vec<_> = members.into_iter().map(|row| (row.user_id, row.username)).collect();
            let all = mentions::find(&self.content, context.caller(), &Names::of(&members));
            mentioned = all.iter().map(|one| one.user().map_or(EVERYONE, |user| user.0)).collect();
        }
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
