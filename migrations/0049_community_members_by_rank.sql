-- no-transaction
-- A community's members in the order in which they are shown, so that the first of them are found without the others. Made while members
-- come and go.
CREATE INDEX CONCURRENTLY IF NOT EXISTS community_members_rank
    ON community_members (community_id, array_position(ARRAY['owner', 'admin', 'member'], role), joined_at, user_id);
