-- Communities mirror the main backend's; they arrive by its webhook.

CREATE TABLE communities (
    community_id     TEXT PRIMARY KEY,
    name             TEXT NOT NULL,
    description      TEXT,
    avatar_url       TEXT,
    default_group_id TEXT NOT NULL,
    is_active        BOOLEAN NOT NULL DEFAULT TRUE,
    created_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at       TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE community_members (
    community_id TEXT NOT NULL,
    user_id      BIGINT NOT NULL,
    role         TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    is_muted     BOOLEAN NOT NULL DEFAULT FALSE,
    joined_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (community_id, user_id)
);
CREATE INDEX community_members_user ON community_members (user_id);

CREATE TABLE user_community_progress (
    community_id        TEXT NOT NULL,
    user_id             BIGINT NOT NULL,
    total_xp            BIGINT NOT NULL DEFAULT 0,
    daily_streak        INTEGER NOT NULL DEFAULT 0,
    weekly_streak       INTEGER NOT NULL DEFAULT 0,
    last_challenge_id   TEXT,
    last_challenge_type TEXT,
    last_completed_at   TIMESTAMPTZ,
    PRIMARY KEY (community_id, user_id)
);

CREATE TABLE community_challenge_events (
    event_id       TEXT PRIMARY KEY,
    community_id   TEXT NOT NULL,
    user_id        BIGINT NOT NULL,
    challenge_id   TEXT,
    challenge_type TEXT,
    xp_awarded     BIGINT NOT NULL DEFAULT 0,
    occurred_at    TIMESTAMPTZ,
    payload        JSONB,
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now()
);
