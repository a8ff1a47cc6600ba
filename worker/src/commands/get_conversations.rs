//! `get_conversations`: lists the caller's direct conversations that have visible messages, most recently active first.

use crate::store::session::PgSession;
use shared::clock::Timestamp;
use shared::commands::GetConversations;
use shared::events::direct::{ConversationSummary, Conversations, LastMessage, ListPagination, Participant};
use shared::ids::UserId;
use shared::limits::MAX_ANSWER_BYTES;

use super::{Context, Handle, quiet};
use crate::app::App;
use crate::error::Failure;
use crate::metadata;
use crate::outcome::Outcome;
use crate::store::conversations::{self, ListedConversation};

/// Unread messages are counted up to here: an exact large number is not worth a scan.
const MAX_UNREAD: i64 = 1_000;

impl Handle for GetConversations {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let event = list(context.app, context.db, context.caller(), self.limit, self.offset).await?;
        Ok(Outcome::answered(context.envelope, &event))
    }
}

/// One part of a user's list.
pub async fn list(
    app: &App,
    db: &mut PgSession,
    user: UserId,
    limit: u32,
    offset: u32,
) -> Result<Conversations, Failure> {
    // Reading one more than requested shows if there are more.
    let most = i64::from(limit) + 1;
    let rows = conversations::list_direct(db, user, most, i64::from(offset), MAX_UNREAD).await?;
    quiet::mark_if_many(app, db, user, rows.first().map_or(0, |row| row.active_count)).await;
    let found = rows.len();
    let mut bytes = 0;
    let fits = |row: &&ListedConversation| {
        bytes += row.content.len() + row.metadata.as_ref().map_or(0, Vec::len);
        bytes <= MAX_ANSWER_BYTES
    };
    let count = rows.iter().take(limit as usize).take_while(fits).count().max(1).min(found);
    Ok(Conversations {
        conversations: rows.into_iter().take(count).map(|row| summary(app, row)).collect(),
        pagination: ListPagination { limit, offset, count, has_more: found > count },
        timestamp: Timestamp::now(),
    })
}

fn summary(app: &App, row: ListedConversation) -> ConversationSummary {
    let username = row.username.clone().unwrap_or_default();
    ConversationSummary {
        conversation_id: row.conversation_id,
        participant: Participant {
            user_id: row.other_id,
            display_name: row.display_name.clone().unwrap_or_else(|| username.clone()),
            username,
        },
        unread_count: row.unread_count,
        last_message: last_message(app, row),
    }
}

fn last_message(app: &App, row: ListedConversation) -> Option<LastMessage> {
    let opened = app.keyring.open(row.message_id.0, row.key_id, &row.iv, row.mac.as_deref(), &row.content);
    let content = opened.ok().and_then(|plain| String::from_utf8(plain).ok());
    let opened_metadata = metadata::of_message(app, row.message_id, row.metadata.as_deref()).ok();
    let opened = content.zip(opened_metadata);
    if opened.is_none() {
        app.metrics.unreadable_rows.increment(1);
        tracing::error!(message_id = %row.message_id.0, key_id = row.key_id, "a stored message cannot be read");
    }
    let (content, metadata) = opened?;
    let timestamp = row.created_at.into();
    Some(LastMessage { id: row.message_id, content, sender_id: row.sender_id, timestamp, metadata })
}
