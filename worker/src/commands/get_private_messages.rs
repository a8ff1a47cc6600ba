//! `get_private_messages`: returns a page of a direct conversation's history.

use shared::commands::GetPrivateMessages;
use shared::events::direct::PrivateMessages;

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;

impl Handle for GetPrivateMessages {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        context.reject_outsiders(self.conversation).await?;
        let page = context.read_page(self.conversation, self.page).await?;
        let event = PrivateMessages {
            conversation_id: self.conversation,
            messages: page.messages,
            limit: page.pagination.limit,
            offset: page.pagination.offset,
            has_more: page.pagination.has_more,
            total: page.pagination.total,
            around: page.around,
            pagination: page.pagination,
            version: page.version,
        };
        Ok(Outcome::answered(context.envelope, &event))
    }
}
