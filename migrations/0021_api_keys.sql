-- The server API: its keys, and the requests that a repetition is recognised by.

CREATE TABLE api_keys (
    -- Part of the key, so not secret.
    key_id       TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    -- SHA-256 of the key, which is stored nowhere.
    key_hash     BYTEA NOT NULL CHECK (octet_length(key_hash) = 32),
    scopes       TEXT[] NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    -- Exact to a minute.
    last_used_at TIMESTAMPTZ,
    revoked_at   TIMESTAMPTZ
);

-- A request with an `Idempotency-Key`, and the command that it became: a repetition becomes the same one, which is applied once.
CREATE TABLE api_requests (
    key_id          TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    -- SHA-256 of the key, method, path and fields.
    fingerprint     BYTEA NOT NULL,
    command_id      UUID NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (key_id, idempotency_key)
);
CREATE INDEX api_requests_created ON api_requests (created_at);
