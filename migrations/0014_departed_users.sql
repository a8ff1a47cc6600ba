-- Users whose account the main backend deleted, until a worker has ended their sessions and taken them out of their groups.

-- The main backend writes users_auth all the time: rather fail and be run again than hold it up.
SET LOCAL lock_timeout = '10s';

CREATE TABLE departed_users (
    user_id     BIGINT PRIMARY KEY,
    departed_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- As its owner: whoever deletes accounts need not be allowed to write our tables.
CREATE FUNCTION chat_note_departure() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO departed_users (user_id) VALUES (OLD.user_id::bigint) ON CONFLICT DO NOTHING;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Deleting accounts is the main backend's affair, and never fails for us.
    RAISE WARNING 'the chat does not know that an account was deleted: %', SQLERRM;
    RETURN NULL;
END
$$;

DO $$
BEGIN
    CREATE TRIGGER chat_departure AFTER DELETE ON users_auth FOR EACH ROW EXECUTE FUNCTION chat_note_departure();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no trigger on users_auth: sessions of deleted accounts go on, but their commands are refused';
END
$$;
