-- What happened to a conversation besides new messages, once per conversation and whatever its size: `sync` tells a device what
-- changed since the version that it knows. New messages need no row, since they are found by their number.

-- Tables that every message writes to: rather fail and be run again than hold them up.
SET LOCAL lock_timeout = '10s';

CREATE TABLE conversation_changes (
    conversation_id TEXT NOT NULL,
    -- The conversation's version that this change made.
    version         BIGINT NOT NULL,
    -- 1 a message changed or was deleted, 2 the group's information, members or roles, 3 the conversation was emptied
    kind            SMALLINT NOT NULL,
    -- The message's number; of an emptied conversation its last number.
    seq             BIGINT,
    message_id      UUID,
    at              TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (conversation_id, version)
);

-- Versions are positive: that of a conversation in which nothing happened yet is 1.
UPDATE conversations SET version = 1 WHERE version = 0;
ALTER TABLE conversations ALTER COLUMN version SET DEFAULT 1;
-- Changes up to this version may not be kept any more: whoever knows less has to load the conversation anew.
ALTER TABLE conversations ADD COLUMN changes_lost BIGINT NOT NULL DEFAULT 0;
-- The version by which a message was sent; NULL for those of before.
ALTER TABLE private_messages ADD COLUMN version BIGINT;
-- The conversation's version when the user did something to one's own view of it, which raises no version: `sync` tells the user's
-- other devices. What has settings of a user's own raises `settings_version` to the conversation's version with each change.
ALTER TABLE message_deletions ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE conversation_members ADD COLUMN cleared_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE conversation_members ADD COLUMN settings_version BIGINT NOT NULL DEFAULT 0;

-- A change without a row (by a worker of the version before, or by hand) is not missed: it makes all earlier versions stale.
CREATE FUNCTION chat_note_unrecorded_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE conversations SET changes_lost = NEW.version
    WHERE conversation_id = NEW.conversation_id AND NOT EXISTS (
        SELECT FROM conversation_changes c
        WHERE c.conversation_id = NEW.conversation_id AND c.version = NEW.version);
    RETURN NULL;
END
$$;
CREATE TRIGGER chat_unrecorded_change AFTER UPDATE OF version ON conversations FOR EACH ROW
    WHEN (NEW.version > OLD.version AND NEW.last_seq = OLD.last_seq)
    EXECUTE FUNCTION chat_note_unrecorded_change();
