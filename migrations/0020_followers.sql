-- Who follows a user: `find_users` over contacts and the online list read it by `followee_id`, which the primary key does not serve.

-- Building the index holds up follows for seconds; rather fail and be run again than wait for long behind another transaction.
SET LOCAL lock_timeout = '10s';

-- Only where the table is ours to change, and has no such index. A main backend of its own needs one just as much.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_class c
        WHERE c.oid = 'user_follows'::regclass AND c.relkind = 'r' AND pg_has_role(c.relowner, 'USAGE')
    ) AND NOT EXISTS (
        SELECT FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = 'user_follows'::regclass AND a.attname = 'followee_id' AND i.indpred IS NULL
    ) THEN
        CREATE INDEX user_follows_followee ON user_follows (followee_id);
    END IF;
END
$$;
