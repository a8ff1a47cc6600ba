//! `applied_commands`: the record that keeps a redelivered command from being applied twice.

use crate::store::session::PgSession;
use shared::ids::CommandId;

/// The sealed outcome of a command that was applied before; the inner option is `None` if it left none.
pub async fn find_outcome(db: &mut PgSession, command: CommandId) -> sqlx::Result<Option<Option<Vec<u8>>>> {
    let row = sqlx::query!("SELECT outcome FROM applied_commands WHERE command_id = $1", command.0)
        .fetch_optional(db)
        .await?;
    Ok(row.map(|row| row.outcome))
}

pub async fn insert_outcome(db: &mut PgSession, command: CommandId, sealed_outcome: &[u8]) -> sqlx::Result<()> {
    sqlx::query!("INSERT INTO applied_commands (command_id, outcome) VALUES ($1, $2)", command.0, sealed_outcome)
        .execute(db)
        .await?;
    Ok(())
}
