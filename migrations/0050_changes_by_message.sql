-- no-transaction
-- The events about a message that is deleted, without reading the others of its conversation. Made while changes go on being written.
CREATE INDEX CONCURRENTLY IF NOT EXISTS conversation_changes_about ON conversation_changes (about) WHERE about IS NOT NULL;
