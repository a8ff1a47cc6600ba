//! Checks that the main backend's tables are as this server needs them, and that our own are found. Only `chat_profile`
//! (migration 0010) knows the column names of a profile; it looks them up whenever a statement is planned.

use super::session::PgSession;

/// A sentence about each missing or unusable thing; empty if all is well.
pub async fn list_problems(db: &mut PgSession) -> sqlx::Result<Vec<String>> {
    // The import of the original's tables gives its role its own search path.
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

/// Our tables that this role cannot read and write as required. Without rights on one, only the commands that need it
/// wait.
pub async fn list_unusable(db: &mut PgSession) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"SELECT 'the role ' || current_user || ' may not read and write ' || name AS "problem!"
           FROM unnest(ARRAY['conversations', 'conversation_members', 'private_messages', 'message_reactions', 'message_deletions',
               'group_chats', 'group_members', 'event_log', 'event_queue', 'applied_commands', 'user_status', 'workers',
               'partition_leases', 'communities', 'community_members', 'user_community_progress', 'community_challenge_events',
               'conversation_purges', 'conversation_changes']) AS name
           WHERE NOT coalesce(has_table_privilege(to_regclass(name), 'SELECT') AND has_table_privilege(to_regclass(name), 'INSERT')
               AND has_table_privilege(to_regclass(name), 'UPDATE') AND has_table_privilege(to_regclass(name), 'DELETE'), false)"#
    )
    .fetch_all(db)
    .await
}
