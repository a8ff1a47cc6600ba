-- no-transaction
-- The quiet conversations of a user in which something may be unread. Made while messages go on being written.
CREATE INDEX CONCURRENTLY IF NOT EXISTS conversation_members_quiet_unread
    ON conversation_members (user_id) WHERE quiet_unread;
