-- no-transaction
-- A user's settled conversations in the order of the list, and those that are not settled. Made while messages go on being written.
CREATE INDEX CONCURRENTLY IF NOT EXISTS conversation_members_settled
    ON conversation_members (user_id, settled_at, conversation_id);
