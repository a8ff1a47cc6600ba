-- Accounts that a backend has deactivated: they open no sessions, and nothing else of theirs changes. A table of our own: users_auth
-- may be the main backend's.

CREATE TABLE deactivated_users (
    user_id        BIGINT PRIMARY KEY,
    deactivated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
