-- A conversation keeps a number of events for its participants, whatever one of them does: the oldest go first. Workers of the version
-- before neither count nor delete them.

-- Every message writes to it: rather fail and be run again than hold them up.
SET LOCAL lock_timeout = '10s';

-- The events of the conversation's changes when they were last counted, and those stored since.
ALTER TABLE conversations ADD COLUMN told_count INTEGER NOT NULL DEFAULT 0;
-- The newest change whose event is no longer kept: who has not received the events up to it is told that a replay is not complete.
ALTER TABLE conversations ADD COLUMN told_lost BIGINT NOT NULL DEFAULT 0;
