-- The main backend's tables differ between sites and change while we run: a profile has a display name, or a first and a last
-- name; a picture or none; its key is `user_id` or `user_id_serial`; numbers are integer or bigint, texts varchar or text. Nothing
-- here may depend on one of their columns: a view would keep the main backend from changing its type.

-- What columns of `user_profile_info` are called where the functions below do not guess it. `chatctl migrate` writes it from
-- PROFILE_COLUMNS and calls `chat_map_profile`.
CREATE TABLE main_backend_columns (
    field       TEXT PRIMARY KEY
                CHECK (field IN ('user_id', 'display_name', 'first_name', 'last_name', 'bio', 'profile_picture')),
    column_name TEXT NOT NULL
);

-- Makes `chat_profile(user_id)`, the one place that knows the columns of a profile. PostgreSQL inlines it into the queries that
-- use it. Its names are looked up whenever a statement is planned, and so again after each change of the table: a column that the
-- table does not have is found in `absent` instead. One that was set by hand must be there.
CREATE FUNCTION chat_map_profile() RETURNS void LANGUAGE plpgsql AS $map$
DECLARE
    by_hand CONSTANT JSONB := (SELECT coalesce(jsonb_object_agg(field, format('profile.%I', column_name)), '{}')
                               FROM main_backend_columns);
    body CONSTANT TEXT := $body$
        SELECT found.display_name, found.bio, found.profile_picture
        FROM (SELECT NULL::bigint AS user_id, NULL::bigint AS user_id_serial, NULL::text AS display_name,
                     NULL::text AS first_name, NULL::text AS last_name, NULL::text AS bio, NULL::text AS profile_picture) AS absent
        CROSS JOIN LATERAL (
            SELECT coalesce(nullif(btrim({display_name}::text), ''),
                            nullif(btrim(concat_ws(' ', {first_name}::text, {last_name}::text)), '')) AS display_name,
                   {bio}::text AS bio, {profile_picture}::text AS profile_picture
            FROM user_profile_info AS profile
            WHERE {is_of_user}
        ) AS found
    $body$;
    made TEXT := replace(body, '{is_of_user}',
                         coalesce(by_hand ->> 'user_id' || ' = $1', 'user_id = $1 OR user_id_serial = $1'));
    field TEXT;
BEGIN
    FOREACH field IN ARRAY ARRAY['display_name', 'first_name', 'last_name', 'bio', 'profile_picture'] LOOP
        made := replace(made, '{' || field || '}', coalesce(by_hand ->> field, field));
    END LOOP;
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION chat_profile(BIGINT)
             RETURNS TABLE (display_name TEXT, bio TEXT, profile_picture TEXT) LANGUAGE sql STABLE ROWS 1 AS %L', made);
END
$map$;

-- What of the main backend's tables is not as this server needs it, a sentence each; empty when all is well.
CREATE FUNCTION chat_main_backend_problems() RETURNS TEXT[] LANGUAGE sql STABLE AS $problems$
    WITH needed (table_name, names, is_number) AS (
        VALUES
            ('users_auth', ARRAY['user_id'], TRUE),
            ('users_auth', ARRAY['username'], FALSE),
            ('users_auth', ARRAY['email'], FALSE),
            ('jwt_revocation', ARRAY['jti'], FALSE),
            ('jwt_revocation', ARRAY['revoked_at'], FALSE),
            ('blocked_relationships', ARRAY['blocker_id'], TRUE),
            ('blocked_relationships', ARRAY['blocked_id'], TRUE),
            ('user_follows', ARRAY['follower_id'], TRUE),
            ('user_follows', ARRAY['followee_id'], TRUE),
            ('user_profile_info', coalesce((SELECT ARRAY[column_name] FROM main_backend_columns WHERE field = 'user_id'),
                                           ARRAY['user_id', 'user_id_serial']), TRUE)
        UNION ALL
        SELECT 'user_profile_info', ARRAY[column_name], FALSE FROM main_backend_columns WHERE field <> 'user_id'
    ),
    seen AS (
        SELECT n.*, to_regclass(n.table_name) AS relation, c.attname, c.atttypid, c.attnum
        FROM needed n
        LEFT JOIN LATERAL (
            SELECT a.attname, a.atttypid, a.attnum FROM pg_attribute a
            WHERE a.attrelid = to_regclass(n.table_name) AND a.attname = ANY (n.names) AND NOT a.attisdropped
            ORDER BY array_position(n.names, a.attname::text) LIMIT 1
        ) c ON TRUE
    ),
    problems AS (
        SELECT CASE
            WHEN relation IS NULL THEN format('table %s is missing', table_name)
            WHEN attname IS NULL THEN
                format('column %s is missing', (SELECT string_agg(table_name || '.' || name, ' or ') FROM unnest(names) AS name))
            WHEN NOT has_column_privilege(relation, attnum, 'SELECT') THEN
                format('column %s.%s may not be read by %s', table_name, attname, current_user)
            WHEN is_number AND atttypid NOT IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN
                format('column %s.%s is of type %s, but must be an integer', table_name, attname, format_type(atttypid, NULL))
        END AS problem
        FROM seen
    )
    SELECT coalesce(array_agg(DISTINCT problem ORDER BY problem) FILTER (WHERE problem IS NOT NULL), '{}') FROM problems
$problems$;

SELECT chat_map_profile();
