-- The worker's role: it writes the chat's tables and only reads the main backend's. `chatctl migrate` runs this, as the owner
-- of the schema, when it is given the role's password (WORKER_PASSWORD). Without that, run it by hand after every migration;
-- it can be repeated:
--   psql "$DATABASE_URL" --file deploy/postgres/worker-role.sql
-- and once, for the password: psql "$DATABASE_URL" --command '\password chat_worker'
-- Migrations and chatctl still run as the owner. With BUILTIN_AUTH=true see builtin-auth.sql, too.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'chat_worker') THEN
        CREATE ROLE chat_worker LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT 500;
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO chat_worker;
GRANT SELECT ON users_auth, user_profile_info, jwt_revocation, blocked_relationships, user_follows TO chat_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    conversations, conversation_members, private_messages, message_reactions, message_deletions, group_chats,
    group_members, event_log, event_queue, applied_commands, user_status, workers, partition_leases, communities,
    community_members, user_community_progress, community_challenge_events, conversation_purges, conversation_changes
    TO chat_worker;
-- A view of these tables.
GRANT SELECT ON due_events TO chat_worker;
-- Written only by `chatctl import original`.
GRANT SELECT ON held_message_ids, held_conversation_ids TO chat_worker;
-- Written only by `chatctl migrate`; `chatctl doctor` reads which migrations were applied.
GRANT SELECT ON main_backend_columns, _sqlx_migrations TO chat_worker;
-- Kept in step by triggers, and by `chatctl migrate`.
GRANT SELECT ON user_search TO chat_worker;
GRANT SELECT, UPDATE ON store_epoch TO chat_worker;
GRANT SELECT, UPDATE, DELETE ON departed_users TO chat_worker;
-- Created and revoked only by `chatctl apikey`; workers note when a key was used.
GRANT SELECT, UPDATE (last_used_at) ON api_keys TO chat_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON api_requests TO chat_worker;
GRANT SELECT, INSERT, DELETE ON deactivated_users TO chat_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON sign_ins, group_sanctions, message_reports, table_sizes TO chat_worker;
-- Written only by `chatctl conversation retention`.
GRANT SELECT ON conversation_retentions TO chat_worker;
-- What was put down is not changed; DELETE is for retention.
GRANT SELECT, INSERT, DELETE ON audit_log TO chat_worker;
-- Endpoints are created by `chatctl webhook`, and by a worker that has WEBHOOK_URL.
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_endpoints, webhook_deliveries, webhook_topics TO chat_worker;
