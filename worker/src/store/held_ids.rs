//! `held_conversation_ids`: conversation ids that clients of the replaced server made up. Other held ids need no table:
//! [`shared::held_ids`] derives ours from their text.

use shared::ids::{ConversationId, MessageId};
use sqlx::PgExecutor;

/// The conversations (`conv_{a}_{b}` or `group_{uuid}`) stored under these held ids, each with its held id.
pub async fn list_conversations(
    db: impl PgExecutor<'_>,
    held: &[String],
) -> sqlx::Result<Vec<(String, ConversationId)>> {
    let rows = sqlx::query!("SELECT held_id, conversation_id FROM held_conversation_ids WHERE held_id = ANY($1)", held);
    // The import writes only our ids; any other id counts as unknown.
    let known = |held: String, conversation: String| Some((held, conversation.parse().ok()?));
    Ok(rows.fetch_all(db).await?.into_iter().filter_map(|row| known(row.held_id, row.conversation_id)).collect())
}

/// The messages that are held under these ids, each with its held id.
pub async fn list_messages(db: impl PgExecutor<'_>, held: &[String]) -> sqlx::Result<Vec<(String, MessageId)>> {
    let rows = sqlx::query!("SELECT held_id, message_id FROM held_message_ids WHERE held_id = ANY($1)", held);
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.held_id, MessageId(row.message_id))).collect())
}
