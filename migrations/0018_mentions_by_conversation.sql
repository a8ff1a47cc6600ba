-- no-transaction
-- Finds the unread mentions of a conversation without reading its unread messages. Made while messages go on being written.
CREATE INDEX CONCURRENTLY IF NOT EXISTS private_messages_mentions ON private_messages (conversation_id, seq)
    WHERE mentions IS NOT NULL;
