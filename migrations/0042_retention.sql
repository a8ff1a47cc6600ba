-- Messages that are kept for a time only, and how the tables grow.

-- Tables that every message writes to: rather fail and be run again than hold them up.
SET LOCAL lock_timeout = '10s';

-- Conversations whose messages are kept for another time than RETENTION says; `chatctl conversation retention` sets it.
CREATE TABLE conversation_retentions (
    conversation_id TEXT PRIMARY KEY,
    -- NULL: for good.
    keep_seconds    BIGINT CHECK (keep_seconds >= 3600)
);

ALTER TABLE conversations
    -- Messages up to this number are gone because of their age, the last of them since this time.
    ADD COLUMN expired_seq BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN expired_at  TIMESTAMPTZ;

-- What each table held at the end of a day, for `chatctl status`.
CREATE TABLE table_sizes (
    measured_on DATE NOT NULL,
    table_name  TEXT NOT NULL,
    -- With indexes.
    bytes       BIGINT NOT NULL,
    -- As Postgres estimates it.
    rows        BIGINT NOT NULL,
    PRIMARY KEY (measured_on, table_name)
);
