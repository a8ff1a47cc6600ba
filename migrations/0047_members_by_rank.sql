-- no-transaction
-- A group's members in the order in which they are shown, so that the first of them are found without the others. Made while members come
-- and go.
CREATE INDEX CONCURRENTLY IF NOT EXISTS group_members_rank
    ON group_members (group_id, array_position(ARRAY['owner', 'admin', 'member'], role), joined_at, user_id);
