-- Whom others were told to be online, so that after a loss of Redis those who do not come back are told to be gone.
ALTER TABLE user_status ADD COLUMN online BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX user_status_online ON user_status (user_id) WHERE online;
