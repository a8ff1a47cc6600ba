-- no-transaction
-- A user's settled conversations in the order of the list, and those that are not settled. Made while messages go on being written.
CREATE INDEX CONCURRENTLY IF NOT EXISTS conversation_members_quiet
    ON conversation_members (user_id, quiet_since, conversation_id);
