//! `audit_log`: what was done with this program, and by whom.

use anyhow::Result;
use serde_json::Value;
use sqlx::PgConnection;

/// Who runs this program, as the log names it.
pub fn operator() -> String {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
    format!("operator:{}", user.as_deref().unwrap_or("unknown"))
}

/// Records an action on a user, or on everything.
pub async fn record(
    connection: &mut PgConnection,
    action: &str,
    target_user: Option<i64>,
    details: Value,
) -> Result<()> {
    sqlx::query("INSERT INTO audit_log (actor, action, target_user_id, details) VALUES ($1, $2, $3, $4::text::jsonb)")
        .bind(operator())
        .bind(action)
        .bind(target_user)
        .bind(details.to_string())
        .execute(connection)
        .await?;
    Ok(())
}
