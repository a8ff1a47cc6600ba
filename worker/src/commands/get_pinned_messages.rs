//! `get_pinned_messages`: the pinned messages of a conversation or group, oldest first.

use shared::commands::GetPinnedMessages;
use shared::events::change::PinnedMessages;
use shared::limits::MAX_PAGE;

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
        let ids = rows::list_pinned(context.db, self.conversation, reader, i64::from(MAX_PAGE)).await?;
        let mut pinned = rows::list_by_id(context.db, &ids).await?;
        pinned.sort_by_key(|row| row.seq);
        let event = PinnedMessages {
            conversation_id: self.conversation,
            group_id: self.conversation.group(),
            messages: history::show(context.app, context.db, reader, &pinned).await?,
            version,
        };
        Ok(Outcome::answered(context.envelope, &event))
    }
}
