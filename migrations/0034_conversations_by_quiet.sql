-- no-transaction
-- A user's quiet conversations in the order of the list, and those that are not marked as quiet. Made while messages go on being written.
CREATE INDEX CONCURRENTLY IF NOT EXISTS conversation_members_quiet
    ON conversation_members (user_id, quiet_since, conversation_id);
