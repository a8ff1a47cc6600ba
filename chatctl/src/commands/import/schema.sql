-- What `chatctl import original` remembers, so that it can be repeated, resumed and verified. It contains no plaintext.
-- When the original is gone for good: DROP SCHEMA chat_import CASCADE;

CREATE SCHEMA IF NOT EXISTS chat_import;

CREATE TABLE IF NOT EXISTS chat_import.runs (
    run_id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Database and schema; never a password.
    source      TEXT NOT NULL,
    since       TIMESTAMPTZ,
    decode      BOOLEAN NOT NULL,
    time_zone   TEXT NOT NULL,
    -- Rows of the old table up to this `id` are staged.
    last_id     BIGINT NOT NULL DEFAULT 0,
    is_staged   BOOLEAN NOT NULL DEFAULT FALSE,
    started_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    finished_at TIMESTAMPTZ
);

-- Messages that were read and sealed, but have no number yet.
CREATE TABLE IF NOT EXISTS chat_import.staged (
    source_id       BIGINT PRIMARY KEY,
    message_id      UUID NOT NULL,
    conversation_id TEXT NOT NULL,
    sender_id       BIGINT NOT NULL,
    recipient_id    BIGINT,
    kind            SMALLINT NOT NULL,
    content         BYTEA NOT NULL,
    iv              BYTEA NOT NULL,
    mac             BYTEA NOT NULL,
    key_id          SMALLINT NOT NULL,
    reply_to        UUID,
    created_at      TIMESTAMPTZ NOT NULL,
    edited_at       TIMESTAMPTZ,
    pinned_at       TIMESTAMPTZ,
    pinned_by       BIGINT,
    is_deleted      BOOLEAN NOT NULL
);
CREATE INDEX IF NOT EXISTS staged_order ON chat_import.staged (conversation_id, created_at, source_id);
CREATE INDEX IF NOT EXISTS staged_message ON chat_import.staged (message_id);

-- The imported messages, with what determines their order.
CREATE TABLE IF NOT EXISTS chat_import.messages (
    source_id       BIGINT PRIMARY KEY,
    message_id      UUID NOT NULL UNIQUE,
    conversation_id TEXT NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_order ON chat_import.messages (conversation_id, created_at, source_id);

-- The version in which the import left each conversation: another one now means that the new server wrote there since, and then
-- nothing that is there is changed any more.
CREATE TABLE IF NOT EXISTS chat_import.conversations (
    conversation_id TEXT PRIMARY KEY,
    version         BIGINT NOT NULL
);

-- Rows of communities as the import left them, by a digest of their columns: one that is another now was changed by the new server,
-- and is not changed any more.
CREATE TABLE IF NOT EXISTS chat_import.rows (
    table_name TEXT NOT NULL,
    key        TEXT NOT NULL,
    digest     TEXT NOT NULL,
    PRIMARY KEY (table_name, key)
);
