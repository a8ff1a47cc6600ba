-- Who has a name, as mentions spell it: in any letter case, and however its accents are encoded.

-- Building the index holds up changes of names for seconds; rather fail and be run again than wait for long behind another
-- transaction.
SET LOCAL lock_timeout = '10s';

-- A text in the form in which mentions are compared. Only UTF-8 has other forms.
DO $$
BEGIN
    EXECUTE format(
        'CREATE FUNCTION chat_composed(TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS %L',
        CASE WHEN getdatabaseencoding() = 'UTF8' THEN 'SELECT normalize($1, NFC)' ELSE 'SELECT $1' END);
END
$$;

CREATE INDEX user_search_mentioned ON user_search (chat_composed(username));
