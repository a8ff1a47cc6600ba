//! `get_pinned_messages`: lists the pinned messages of a conversation or group, oldest first.

use std::cmp::Reverse;

use shared::commands::GetPinnedMessages;
use shared::events::change::PinnedMessages;
use shared::limits::{MAX_ANSWER_BYTES, MAX_PAGE};

use super::{Context, Handle};
use crate::error::Failure;
use crate::history;
use crate::outcome::Outcome;
use crate::store::{conversations, history as rows};

impl Handle for GetPinnedMessages {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        context.reject_outsiders(self.conversation).await?;
        let reader = context.caller();
        let version = conversations::get_version(context.db, self.conversation).await?;
        // Reading one more than is shown tells if there are more.
        let ids = rows::list_pinned(context.db, self.conversation, reader, i64::from(MAX_PAGE) + 1).await?;
        let mut pinned = rows::list_by_id(context.db, &ids).await?;
        pinned.sort_by_key(|row| Reverse(row.pinned_at));
        let mut messages = history::show(context.app, context.db, reader, &pinned).await?;
        let fits = history::fitting(messages.iter(), MAX_ANSWER_BYTES).min(MAX_PAGE as usize);
        let has_more = messages.len() > fits;
        messages.truncate(fits);
        messages.sort_by_key(|message| message.seq);
        let event = PinnedMessages {
            conversation_id: self.conversation,
            group_id: self.conversation.group(),
            messages,
            has_more,
            version,
        };
        Ok(Outcome::answered(context.envelope, &event))
    }
}
