//! `get_private_messages`: a page of a direct conversation's history.

use shared::commands::{GetPrivateMessages, PageRequest, Position};
use shared::events::direct::{Pagination, PrivateMessages};
use shared::events::message::Message;
use shared::ids::ConversationId;
use shared::protocol::Rejection;

use super::{Context, Handle};
use crate::domain::message;
use crate::error::Failure;
use crate::publish::Outcome;
use crate::store::history::{self, Range};
use crate::store::users;

impl Handle for GetPrivateMessages {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let user = context.envelope.user;
        let no_such = || Rejection::not_found("conversationId", "There is no such conversation");
        let other = self.conversation.other(user).ok_or_else(no_such)?;
        if users::list_names(context.db, &[other.0]).await?.is_empty() {
            return Err(no_such().into());
        }
        let page = read_page(context, self.conversation, self.page).await?;
        Ok(Outcome::answered(
            context.envelope,
            &PrivateMessages {
                conversation_id: self.conversation,
                messages: page.messages,
                has_more: page.pagination.has_more,
                total: page.pagination.total,
                pagination: page.pagination,
            },
        ))
    }
}

/// A page as its reader sees it.
pub struct Page {
    /// Oldest first.
    pub messages: Vec<Message>,
    pub pagination: Pagination,
}

/// Reads a page of a conversation; whether the caller may is checked before.
pub async fn read_page(
    context: &mut Context<'_>,
    conversation: ConversationId,
    request: PageRequest,
) -> Result<Page, Failure> {
    let (id, user) = (conversation.to_string(), context.envelope.user.0);
    let offset = match request.position {
        Position::Offset(offset) => Some(offset),
        Position::Seq { .. } => None,
    };
    let Some(scope) = history::find_scope(context.db, &id, user).await? else {
        let pagination = Pagination { limit: request.limit, offset, has_more: false, total: 0 };
        return Ok(Page { messages: Vec::new(), pagination });
    };
    let (before, after) = match request.position {
        Position::Offset(_) => (None, None),
        Position::Seq { before, after } => (before, after),
    };
    let range = Range {
        after: after.unwrap_or(0).max(scope.cleared_seq),
        before: before.unwrap_or(i64::MAX),
        from_newest: after.is_none(),
        offset: i64::from(offset.unwrap_or(0)),
        // One more than asked for tells whether there are more.
        limit: i64::from(request.limit) + 1,
    };
    let mut rows = history::list_messages(context.db, &id, user, range).await?;
    let has_more = rows.len() > request.limit as usize;
    if has_more {
        let surplus = if range.from_newest { 0 } else { rows.len() - 1 };
        rows.remove(surplus);
    }
    let total = history::count_visible(context.db, &id, user, &scope).await?;
    let mut messages: Vec<Message> = rows.iter().filter_map(|row| message::open(context.app, row)).collect();
    let ids: Vec<uuid::Uuid> = messages.iter().map(|message| message.message_id.0).collect();
    if !ids.is_empty() {
        let reactions = history::list_reactions(context.db, &ids).await?;
        message::add_reactions(&mut messages, reactions);
    }
    Ok(Page { messages, pagination: Pagination { limit: request.limit, offset, has_more, total } })
}
