-- The list of a user's conversations without looking at each of them. A direct conversation that has been quiet is marked so for a
-- participant: the participant's row has the time of its last message, and whether anything was unread then, and so the list is
-- read in the order of an index. The next change of the conversation undoes that. Conversations that go on, and groups, are looked up
-- by their keys; a group's message writes to no member's row.

-- Tables that every message writes to: rather fail and be run again than hold them up.
SET LOCAL lock_timeout = '10s';

-- Some participant's row is marked as quiet. Not indexed, so that setting it rewrites no index.
ALTER TABLE conversations ADD COLUMN is_quiet BOOLEAN NOT NULL DEFAULT FALSE;

ALTER TABLE conversation_members
    -- `last_message_at` of the conversation, or -infinity when this participant can see nothing of it; NULL while it is not marked.
    ADD COLUMN quiet_since     TIMESTAMPTZ,
    -- Something was unread when it was marked; it may have been read since.
    ADD COLUMN quiet_unread BOOLEAN NOT NULL DEFAULT FALSE;

-- A trigger, because a worker of the previous version, or a repair by hand, must not leave a mark that is no longer true.
CREATE FUNCTION chat_end_quiet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE conversation_members SET quiet_since = NULL, quiet_unread = FALSE
    WHERE conversation_id = NEW.conversation_id AND quiet_since IS NOT NULL;
    NEW.is_quiet := FALSE;
    RETURN NEW;
END
$$;
CREATE TRIGGER chat_end_quiet BEFORE UPDATE ON conversations FOR EACH ROW
    WHEN (OLD.is_quiet) EXECUTE FUNCTION chat_end_quiet();
