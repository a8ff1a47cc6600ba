-- Who blocks a user: every sign-in and many lists read it by `blocked_id`, which the primary key does not serve.

-- Building the index holds up blocks for seconds; rather fail and be run again than wait for long behind another transaction.
SET LOCAL lock_timeout = '10s';

-- Only where the table is ours to change, and has no such index. A main backend of its own needs one just as much.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_class c
        WHERE c.oid = 'blocked_relationships'::regclass AND c.relkind = 'r' AND pg_has_role(c.relowner, 'USAGE')
    ) AND NOT EXISTS (
        SELECT FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = 'blocked_relationships'::regclass AND a.attname = 'blocked_id' AND i.indpred IS NULL
    ) THEN
        CREATE INDEX blocked_relationships_blocked ON blocked_relationships (blocked_id);
    END IF;
END
$$;
