-- The conversation's last message when a member joined: what is up to it is not sent to the member live. By number, because the
-- times of messages come from another clock than the time of joining. NULL: joined before, or by way of the previous version.

-- A table that sends read: rather fail and be run again than hold them up.
SET LOCAL lock_timeout = '10s';

ALTER TABLE group_members ADD COLUMN joined_seq BIGINT;
