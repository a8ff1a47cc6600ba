//! Whether the main backend's tables are as this server needs them. What the columns of a profile are called is known to
//! `chat_profile` alone (migration 0010), which looks it up whenever a statement is planned.

use super::session::PgSession;

/// A sentence about each thing that is missing or of an unusable type; none when all is well.
pub async fn list_problems(db: &mut PgSession) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(r#"SELECT chat_main_backend_problems() AS "problems!""#).fetch_one(db).await
}
