-- What the product's own backend is told over HTTP: where to, and what still waits to be delivered.

CREATE TABLE webhook_endpoints (
    endpoint_id UUID PRIMARY KEY,
    -- `settings` is the one that WEBHOOK_URL names.
    name        TEXT NOT NULL UNIQUE,
    url         TEXT NOT NULL,
    events      TEXT[] NOT NULL,
    -- One secret, or two while they change, the newest first, separated by a comma; sealed under the endpoint's id.
    secrets     BYTEA NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- Stored in the transaction of the event, deleted when the endpoint has taken it. No reference to the endpoint: an event is not to
-- fail because an endpoint goes at the same moment.
CREATE TABLE webhook_deliveries (
    -- Rises in the order in which what happens in a conversation is committed: writers hold the conversation's row or partition.
    delivery_id   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint_id   UUID NOT NULL,
    -- What is delivered in order: a conversation's id, or `user_` and the user's.
    topic         TEXT COLLATE "C" NOT NULL,
    event         TEXT NOT NULL,
    event_id      UUID NOT NULL,
    -- The message that it is about. Its content is not copied, but read when it is delivered.
    about         UUID,
    -- Anything else there is to say, sealed under the event's id.
    body          BYTEA,
    happened_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    -- Tries go on for WEBHOOK_RETRY_FOR from here.
    waiting_since TIMESTAMPTZ NOT NULL DEFAULT now(),
    -- Of a delivery in several parts: the last user of the part delivered last.
    after_user    BIGINT NOT NULL DEFAULT 0,
    attempts      INTEGER NOT NULL DEFAULT 0,
    last_error    TEXT,
    set_aside_at  TIMESTAMPTZ
);
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (endpoint_id, topic, delivery_id) WHERE set_aside_at IS NULL;
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (waiting_since) WHERE set_aside_at IS NULL;
CREATE INDEX webhook_deliveries_set_aside ON webhook_deliveries (set_aside_at) WHERE set_aside_at IS NOT NULL;

-- Topics that a worker delivers at the moment, or that wait after a failure; nobody else takes them until then.
CREATE TABLE webhook_topics (
    endpoint_id   UUID NOT NULL,
    topic         TEXT COLLATE "C" NOT NULL,
    blocked_until TIMESTAMPTZ NOT NULL,
    -- Failures since the last success.
    failures      INTEGER NOT NULL DEFAULT 0,
    owner         UUID,
    PRIMARY KEY (endpoint_id, topic)
);
