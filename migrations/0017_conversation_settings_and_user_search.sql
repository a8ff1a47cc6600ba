-- What a user set for a conversation, and finding users by the beginning of their names.

-- Tables that every message, and the main backend, write to: rather fail and be run again than hold them up.
SET LOCAL lock_timeout = '10s';

ALTER TABLE conversation_members
    ADD COLUMN muted_until   TIMESTAMPTZ,
    ADD COLUMN pinned        BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN marked_unread BOOLEAN NOT NULL DEFAULT FALSE;

-- The names of users as they are searched. A table of our own: an index on the main backend's tables would need their owner's
-- rights, depend on columns that differ between sites, and keep the main backend from changing their types.
CREATE TABLE user_search (
    user_id      BIGINT PRIMARY KEY,
    username     TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C"
);
CREATE INDEX user_search_username ON user_search (username, user_id);
CREATE INDEX user_search_display_name ON user_search (display_name, user_id) WHERE display_name IS NOT NULL;

-- A name without letter case, cut at what a query can be long. By ICU's rules where the server has them: those of the database may
-- know ASCII only.
DO $$
BEGIN
    EXECUTE format(
        'CREATE FUNCTION chat_folded(TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS %L',
        'SELECT left(lower($1 COLLATE ' || CASE
            WHEN getdatabaseencoding() = 'UTF8' AND EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu') THEN '"und-x-icu"' ELSE '"default"'
        END || '), 64)');
END
$$;

-- Renews what is searched of these users, and takes out those who are gone.
CREATE FUNCTION chat_update_user_search(BIGINT[]) RETURNS void LANGUAGE sql AS $$
    DELETE FROM user_search s WHERE s.user_id = ANY ($1) AND NOT EXISTS (SELECT FROM users_auth u WHERE u.user_id = s.user_id);
    INSERT INTO user_search AS s (user_id, username, display_name)
    SELECT u.user_id, chat_folded(u.username::text), chat_folded(p.display_name)
    FROM users_auth u LEFT JOIN LATERAL chat_profile(u.user_id) p ON TRUE
    WHERE u.user_id = ANY ($1) AND u.username IS NOT NULL
    ORDER BY u.user_id
    ON CONFLICT (user_id) DO UPDATE SET username = excluded.username, display_name = excluded.display_name
    WHERE (s.username, s.display_name) IS DISTINCT FROM (excluded.username, excluded.display_name);
$$;

-- The next `most` users after this one, all of them or those who are not searched yet; the last of them, or NULL when there are no more.
-- `chatctl migrate` calls it, so that no transaction is long.
CREATE FUNCTION chat_fill_user_search(after BIGINT, most INTEGER, renew BOOLEAN) RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
    users BIGINT[];
BEGIN
    SELECT array_agg(n.user_id) INTO users FROM (
        SELECT u.user_id::bigint FROM users_auth u
        WHERE u.user_id > after AND (renew OR NOT EXISTS (SELECT FROM user_search s WHERE s.user_id = u.user_id))
        ORDER BY u.user_id LIMIT most
    ) n (user_id);
    PERFORM chat_update_user_search(users);
    RETURN users[cardinality(users)];
END
$$;

-- As its owner: the main backend need not be allowed to write our tables, and never fails for us. Which columns matter is not said
-- in the triggers, which would keep them from changing their types.
CREATE FUNCTION chat_note_name() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    before CONSTANT JSONB := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    after  CONSTANT JSONB := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    id     TEXT;
BEGIN
    IF TG_TABLE_NAME = 'users_auth' THEN
        IF before ->> 'username' IS NOT DISTINCT FROM after ->> 'username' THEN
            RETURN NULL;
        END IF;
        id := coalesce(after, before) ->> 'user_id';
    ELSE
        id := coalesce(
            coalesce(after, before) ->> (SELECT column_name FROM main_backend_columns WHERE field = 'user_id'),
            coalesce(after, before) ->> 'user_id', coalesce(after, before) ->> 'user_id_serial');
    END IF;
    PERFORM chat_update_user_search(ARRAY[id::bigint]);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'the chat does not know that a name changed: %', SQLERRM;
    RETURN NULL;
END
$$;

DO $$
DECLARE
    main_backends TEXT;
BEGIN
    FOREACH main_backends IN ARRAY ARRAY['users_auth', 'user_profile_info'] LOOP
        EXECUTE format('CREATE TRIGGER chat_name AFTER INSERT OR UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION chat_note_name()', main_backends);
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no triggers on users_auth and user_profile_info: find_users knows new names after the next `chatctl migrate`';
END
$$;
