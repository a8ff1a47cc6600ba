//! Ids that clients hold.

use anyhow::Result;
use sqlx::PgConnection;

/// Stores conversation ids that clients hold, as pairs of held id and ours.
pub async fn write_held_conversations(target: &mut PgConnection, held: &[(String, String)]) -> Result<()> {
    let (held, ours): (Vec<&str>, Vec<&str>) = held.iter().map(|(held, id)| (held.as_str(), id.as_str())).unzip();
    sqlx::query(
        "INSERT INTO held_conversation_ids SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING",
    )
    .bind(&held)
    .bind(&ours)
    .execute(target)
    .await?;
    Ok(())
}
