-- A great many events of a deleted group may wait for its members. They are deleted in parts, by any worker, and hidden meanwhile.
-- Workers of the version before still delete all of them in one transaction, and do not know what is hidden.

-- Every command to a group reads it: rather fail and be run again than hold them up.
SET LOCAL lock_timeout = '10s';

-- Set while events of the deleted group wait: those of members with ids up to this one are deleted.
ALTER TABLE group_chats ADD COLUMN clearing_after BIGINT;
CREATE INDEX group_chats_clearing ON group_chats (deleted_at) WHERE clearing_after IS NOT NULL;
