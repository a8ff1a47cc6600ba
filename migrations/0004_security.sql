-- Revoking a token ends its live connections: the trigger tells the workers at once. They also look by themselves every
-- few seconds, so where this role may not touch the main backend's table, only the speed is lost.

-- The main backend writes this table all the time: rather fail and be run again than hold it up.
SET LOCAL lock_timeout = '10s';

CREATE FUNCTION chat_notify_revocation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- No token that this server accepts has a longer id, and a longer payload would make the insertion fail.
    IF octet_length(NEW.jti::text) <= 255 THEN
        PERFORM pg_notify('chat_revocation', NEW.jti::text);
    END IF;
    RETURN NULL;
END
$$;

DO $$
BEGIN
    CREATE TRIGGER chat_revocation AFTER INSERT ON jwt_revocation
        FOR EACH ROW EXECUTE FUNCTION chat_notify_revocation();
    CREATE INDEX IF NOT EXISTS chat_revocation_revoked ON jwt_revocation (revoked_at);
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no trigger on jwt_revocation: revocations are noticed by looking every few seconds only';
END
$$;

-- What administrators and moderators did: who, what, whom, when. Never any content.
CREATE TABLE audit_log (
    audit_id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    occurred_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    -- `user:{id}`, or `operator:{name}` for the command line.
    actor           TEXT NOT NULL,
    -- The command's name, as on the wire or the command line.
    action          TEXT NOT NULL,
    target_user_id  BIGINT,
    conversation_id TEXT,
    message_id      UUID,
    -- Counts and the like.
    details         JSONB
);
CREATE INDEX audit_log_occurred ON audit_log (occurred_at);

-- Set when the sender was erased (`chatctl user erase`): the content is a placeholder since.
ALTER TABLE private_messages ADD COLUMN erased_at TIMESTAMPTZ;
