-- Who blocks a user: every sign-in and many lists read it by `blocked_id`, which the primary key does not serve. And who has a name or an
-- address, whatever its letter case, for each registration.

-- Building an index holds up blocks and registrations for seconds; rather fail and be run again than wait for long behind another
-- transaction.
SET LOCAL lock_timeout = '10s';

-- Only where the tables are ours to change, and have no such index. A main backend of its own needs the first just as much.
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
    IF EXISTS (
        SELECT FROM pg_class c
        WHERE c.oid = 'users_auth'::regclass AND c.relkind = 'r' AND pg_has_role(c.relowner, 'USAGE')
    ) THEN
        CREATE INDEX IF NOT EXISTS users_auth_lower_username ON users_auth (lower(username));
        CREATE INDEX IF NOT EXISTS users_auth_lower_email ON users_auth (lower(email));
    END IF;
END
$$;
