-- no-transaction
-- Receipts name events, and what is too old goes in the order of their ids, which begin with the time. Made while changes go on being
-- written.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS conversation_changes_event ON conversation_changes (event_id)
    WHERE event_id IS NOT NULL;
