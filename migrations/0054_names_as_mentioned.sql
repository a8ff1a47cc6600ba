-- no-transaction
-- Who has a name, as mentions spell it, in any letter case. Made while names go on being changed.
CREATE INDEX CONCURRENTLY IF NOT EXISTS user_search_mentioned ON user_search (chat_composed(username));
