-- How many groups a user created lately is asked with every new one.
SET LOCAL lock_timeout = '10s';

CREATE INDEX group_chats_creator ON group_chats (created_by, created_at);
