-- Who has a name or an address, whatever its letter case: each registration asks for it (`BUILTIN_AUTH`).

-- Building an index holds up changes of accounts for seconds; rather fail and be run again than wait for long behind another
-- transaction.
SET LOCAL lock_timeout = '10s';

-- Only where the table is ours to change and has such columns.
DO $$
DECLARE
    name TEXT;
BEGIN
    FOR name IN
        SELECT a.attname FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname IN ('username', 'email') AND NOT a.attisdropped
        JOIN pg_type t ON t.oid = a.atttypid AND t.typcategory = 'S'
        WHERE c.oid = 'users_auth'::regclass AND c.relkind = 'r' AND pg_has_role(c.relowner, 'USAGE')
    LOOP
        EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON users_auth (lower(%I))', 'users_auth_lower_' || name, name);
    END LOOP;
END
$$;
