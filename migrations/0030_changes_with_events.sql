-- no-transaction
-- The events of a conversation in their order, without reading them. Made while changes go on being written.
CREATE INDEX CONCURRENTLY IF NOT EXISTS conversation_changes_told ON conversation_changes (conversation_id, version)
    INCLUDE (event_id, actor_id, about) WHERE event_id IS NOT NULL;
