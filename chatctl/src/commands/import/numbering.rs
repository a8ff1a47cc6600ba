//! Moves staged messages to their conversations, numbered by time and, for equal times, by the old serial id.

use anyhow::{Context as _, Result};
use sqlx::Connection as _;

use super::Import;
use super::messages::DOUBLE;
use crate::progress::Progress;

/// A transaction numbers conversations with about this many messages in total.
const MESSAGES_AT_A_TIME: i64 = 20_000;

pub async fn run(import: &mut Import<'_>) -> Result<()> {
    leave_out_doubles(import).await?;
    // A million rows were just inserted; plans made for an empty table would read all of them for every batch.
    sqlx::raw_sql("ANALYZE chat_import.staged").execute(&mut *import.target).await?;
    let waiting: Vec<(String, i64)> =
        sqlx::query_as("SELECT conversation_id, count(*) FROM chat_import.staged GROUP BY 1 ORDER BY 1")
            .fetch_all(&mut *import.target)
            .await?;
    let total: i64 = waiting.iter().map(|(_, count)| count).sum();
    let mut progress = Progress::with_total("private_messages numbered", total.unsigned_abs());
    let (mut chunk, mut size) = (Vec::new(), 0);
    let last = waiting.len();
    for (index, (conversation, count)) in waiting.into_iter().enumerate() {
        chunk.push(conversation);
        size += count;
        if size >= MESSAGES_AT_A_TIME || index + 1 == last {
            let stored = number(import, &chunk).await?;
            import.report.imported("private_messages", stored.max(0).unsigned_abs());
            progress.add(size.unsigned_abs());
            (chunk, size) = (Vec::new(), 0);
        }
    }
    Ok(())
}

/// Moves some conversations; returns the number of new messages.
async fn number(import: &mut Import<'_>, conversations: &[String]) -> Result<i64> {
    const COUNT: &str =
        "SELECT count(*) FROM chat_import.messages WHERE conversation_id IN (SELECT conversation_id FROM chosen)";
    let mut transaction = import.target.begin().await?;
    sqlx::raw_sql("CREATE TEMPORARY TABLE chosen (conversation_id TEXT PRIMARY KEY) ON COMMIT DROP")
        .execute(&mut *transaction)
        .await?;
    sqlx::query("INSERT INTO chosen SELECT unnest($1::text[])").bind(conversations).execute(&mut *transaction).await?;
    sqlx::raw_sql("ANALYZE chosen").execute(&mut *transaction).await?;
    let before: i64 = sqlx::query_scalar(COUNT).persistent(false).fetch_one(&mut *transaction).await?;
    sqlx::raw_sql(include_str!("numbering.sql")).execute(&mut *transaction).await.context("numbering messages")?;
    let after: i64 = sqlx::query_scalar(COUNT).persistent(false).fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(after - before)
}

/// Leaves out rows with an id that an earlier row has.
async fn leave_out_doubles(import: &mut Import<'_>) -> Result<()> {
    let doubles: Vec<i64> = sqlx::query_scalar(
        "DELETE FROM chat_import.staged s
         WHERE NOT s.is_deleted AND (
             EXISTS (SELECT FROM chat_import.staged e WHERE e.message_id = s.message_id AND e.source_id < s.source_id
                         AND NOT e.is_deleted)
             OR EXISTS (SELECT FROM chat_import.messages m WHERE m.message_id = s.message_id AND m.source_id <> s.source_id))
         RETURNING s.source_id",
    )
    .fetch_all(&mut *import.target)
    .await?;
    for id in doubles {
        import.report.note("private_messages", DOUBLE, id)?;
    }
    Ok(())
}
