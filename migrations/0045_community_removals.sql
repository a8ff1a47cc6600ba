-- A main backend may take thousands of members out of a community at once. Their memberships in its group end in parts, by any
-- worker. Workers of the version before still end all of them in one transaction.

-- Every sync of a community writes to it: rather fail and be run again than hold them up.
SET LOCAL lock_timeout = '10s';

-- Set while members have to leave the group who no longer belong to the community: the id of the last part, under which
-- `applied_commands` has what it published; zero before the first.
ALTER TABLE communities ADD COLUMN removing UUID;
CREATE INDEX communities_removing ON communities (community_id) WHERE removing IS NOT NULL;
