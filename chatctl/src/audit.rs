//! `audit_log`: what was done with this program, and by whom.

use anyhow::Result;
use serde_json::Value;
use sqlx::PgConnection;

/// Records an action on a user, or on everything.
pub async fn record(
    connection: &mut PgConnection,
    action: &str,
    target_user: Option<i64>,
    details: Value,
) -> Result<()> {
    let operator =
        std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "unknown".to_owned());
    sqlx::query("INSERT INTO audit_log (actor, action, target_user_id, details) VALUES ($1, $2, $3, $4::text::jsonb)")
        .bind(format!("operator:{operator}"))
        .bind(action)
        .bind(target_user)
        .bind(details.to_string())
        .execute(connection)
        .await?;
    Ok(())
}
