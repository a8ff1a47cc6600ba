//! `get_group_messages`: returns a page of a group's history.

use shared::commands::GetGroupMessages;
use shared::events::membership::GroupMessages;
use shared::ids::ConversationId;

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;

impl Handle for GetGroupMessages {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        context.membership(self.group).await?;
        let page = context.read_page(ConversationId::Group(self.group), self.page).await?;
        let messages = GroupMessages {
            group_id: self.group,
            messages: page.messages,
            limit: page.pagination.limit,
            offset: page.pagination.offset,
            has_more: page.pagination.has_more,
            around: page.around,
            pagination: page.pagination,
            version: page.version,
        };
        Ok(Outcome::answered(context.envelope, &messages))
    }
}
