-- Which history this database is of. What was learnt from an earlier one (cached pages, numbers seen) may never have happened in this
-- one: a dump was restored, or a standby took over that had not received everything.
CREATE TABLE store_epoch (
    is_only BOOLEAN PRIMARY KEY DEFAULT true CHECK (is_only),
    epoch   UUID NOT NULL DEFAULT gen_random_uuid(),
    -- Where the epoch was begun, see store_place(). A worker that finds itself elsewhere begins another.
    place   TEXT NOT NULL DEFAULT ''
);
INSERT INTO store_epoch DEFAULT VALUES;

-- Differs after a restore (another cluster, database or table) and after a promotion (another timeline).
CREATE FUNCTION store_place() RETURNS TEXT LANGUAGE sql STABLE AS $$
    SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()),
        substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        (SELECT tableoid FROM store_epoch))
$$;
