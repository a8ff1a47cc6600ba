//! Whether the main backend's tables are as this server needs them, and ours are found. What the columns of a profile are called is known to
//! `chat_profile` alone (migration 0010), which looks it up whenever a statement is planned.

use super::session::PgSession;

/// A sentence about each thing that is missing or of an unusable type; none when all is well.
pub async fn list_problems(db: &mut PgSession) -> sqlx::Result<Vec<String>> {
    // The import of the original's tables gives its role a search path of its own.
    sqlx::query_scalar!(
        r#"SELECT chat_main_backend_problems() || CASE
               WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('private_messages') AND attname = 'seq')
               THEN ARRAY[]::text[]
               ELSE ARRAY['the role ' || current_user || ' finds no table private_messages of this server: its search_path is '
                   || current_setting('search_path')]
           END AS "problems!""#
    )
    .fetch_one(db)
    .await
}
