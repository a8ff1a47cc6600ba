-- An event for all participants of a conversation is stored once, with the change that it tells of, whatever the number of members:
-- each participant has a delivered version, as for messages a delivered number. `event_queue` keeps what concerns one user.
-- What waits there stays and is replayed from there, so that the version before may go on writing it.

-- Tables that every message writes to: rather fail and be run again than hold them up.
SET LOCAL lock_timeout = '10s';

-- All NULL when nothing is to be told of the change, or not any more.
ALTER TABLE conversation_changes ADD COLUMN event_id UUID;
-- Who made the change, and is not told; NULL for nobody in particular.
ALTER TABLE conversation_changes ADD COLUMN actor_id BIGINT;
-- The message that the event is about: when that is deleted for everyone, the event goes, too.
ALTER TABLE conversation_changes ADD COLUMN about UUID;
-- The event, sealed under its id.
ALTER TABLE conversation_changes ADD COLUMN body BYTEA;

-- The newest change that had an event, and when: conversations that a participant knows to the end are passed over.
ALTER TABLE conversations ADD COLUMN told_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE conversations ADD COLUMN told_at TIMESTAMPTZ;

-- The participant has the events of all changes up to this version,
ALTER TABLE conversation_members ADD COLUMN delivered_version BIGINT NOT NULL DEFAULT 0;
-- and of these beyond a gap; NULL when there is none.
ALTER TABLE conversation_members ADD COLUMN delivered_beyond INT8MULTIRANGE;

-- What happened in a group before is not undelivered to a new member. Workers of the version before do not say so.
CREATE FUNCTION chat_begin_at_present_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT version INTO NEW.delivered_version FROM conversations WHERE conversation_id = NEW.conversation_id;
    NEW.delivered_version := coalesce(NEW.delivered_version, 0);
    RETURN NEW;
END
$$;
CREATE TRIGGER chat_present_version BEFORE INSERT ON conversation_members FOR EACH ROW
    WHEN (NEW.delivered_version = 0 AND NEW.conversation_id LIKE 'group\_%')
    EXECUTE FUNCTION chat_begin_at_present_version();

-- The events that each participant is still to get: another's, that the participant may see now. A worker of the version before
-- leaves the events of a message that it deletes.
CREATE VIEW due_events AS
SELECT m.user_id, c.conversation_id, c.version, c.event_id, c.about
FROM conversation_members m
JOIN conversation_changes c ON c.conversation_id = m.conversation_id AND c.version > m.delivered_version
    AND c.event_id IS NOT NULL AND c.actor_id IS DISTINCT FROM m.user_id
    AND NOT coalesce(m.delivered_beyond @> c.version, FALSE)
WHERE (m.conversation_id NOT LIKE 'group\_%' OR EXISTS (
        SELECT FROM group_members g JOIN group_chats h ON h.group_id = g.group_id AND h.deleted_at IS NULL
        WHERE g.group_id = m.conversation_id AND g.user_id = m.user_id))
    AND (c.about IS NULL OR (
        SELECT p.seq > m.cleared_seq AND NOT EXISTS (
            SELECT FROM message_deletions d
            WHERE d.user_id = m.user_id AND d.conversation_id = p.conversation_id AND d.seq = p.seq)
        FROM private_messages p WHERE p.message_id = c.about));
