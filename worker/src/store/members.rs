//! `conversation_members`: what each participant has received and read.

use super::columns::raw;
use crate::store::session::PgSession;
use shared::ids::{ConversationId, UserId};

/// Moves delivery cursors forward; the arrays are parallel. A cursor never moves back, and never beyond the newest
/// message.
pub async fn update_delivered(
    db: &mut PgSession,
    users: &[UserId],
    conversations: &[ConversationId],
    seqs: &[i64],
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE conversation_members AS m SET delivered_seq = least(d.seq, c.last_seq)
         FROM conversations AS c, (SELECT user_id, conversation_id, max(seq) AS seq
               FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS u (user_id, conversation_id, seq)
               GROUP BY user_id, conversation_id ORDER BY user_id, conversation_id) AS d
         WHERE m.user_id = d.user_id AND m.conversation_id = d.conversation_id AND c.conversation_id = d.conversation_id
             AND m.delivered_seq < least(d.seq, c.last_seq)",
        &raw(users),
        &raw(conversations),
        seqs
    )
    .execute(db)
    .await?;
    Ok(())
}
