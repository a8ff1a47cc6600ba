-- Conversations and messages. A conversation's id is text: `conv_{a}_{b}` (a < b) or `group_{uuid}`.

CREATE TABLE conversations (
    conversation_id TEXT PRIMARY KEY,
    -- The number of the newest message; numbers are never reused, even after deletions.
    last_seq        BIGINT NOT NULL DEFAULT 0,
    -- The messages that are still there.
    message_count   BIGINT NOT NULL DEFAULT 0,
    -- Counts every change that a history page could show; cached pages carry it and are void when it moved on.
    version         BIGINT NOT NULL DEFAULT 0,
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    last_message_at TIMESTAMPTZ
) WITH (fillfactor = 70);

-- What one participant has received, read and put away of one conversation.
CREATE TABLE conversation_members (
    user_id         BIGINT NOT NULL,
    conversation_id TEXT NOT NULL,
    delivered_seq   BIGINT NOT NULL DEFAULT 0,
    read_seq        BIGINT NOT NULL DEFAULT 0,
    -- Messages up to this number are hidden from this user (`delete_conversation` for oneself).
    cleared_seq     BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, conversation_id)
) WITH (fillfactor = 70);
CREATE INDEX conversation_members_conversation ON conversation_members (conversation_id, user_id);

CREATE TABLE private_messages (
    message_id          UUID PRIMARY KEY,
    conversation_id     TEXT NOT NULL,
    seq                 BIGINT NOT NULL,
    sender_id           BIGINT NOT NULL,
    -- NULL in groups.
    recipient_id        BIGINT,
    -- 1 text, 2 announcement
    kind                SMALLINT NOT NULL DEFAULT 1,
    content             BYTEA NOT NULL,
    iv                  BYTEA NOT NULL,
    mac                 BYTEA,
    key_id              SMALLINT NOT NULL,
    reply_to_message_id UUID,
    -- User ids in order of appearance; 0 stands for everyone.
    mentions            BIGINT[],
    client_message_id   TEXT,
    created_at          TIMESTAMPTZ NOT NULL,
    edited_at           TIMESTAMPTZ,
    pinned_at           TIMESTAMPTZ,
    pinned_by           BIGINT,
    -- With the sender, so that unread messages are counted without reading them.
    CONSTRAINT private_messages_seq UNIQUE (conversation_id, seq) INCLUDE (sender_id)
);
CREATE UNIQUE INDEX private_messages_client_id ON private_messages (sender_id, client_message_id)
    WHERE client_message_id IS NOT NULL;
CREATE INDEX private_messages_pinned ON private_messages (conversation_id, pinned_at) WHERE pinned_at IS NOT NULL;

CREATE TABLE message_reactions (
    message_id UUID NOT NULL,
    user_id    BIGINT NOT NULL,
    reaction   TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (message_id, user_id)
);

-- Messages that one user deleted for oneself.
CREATE TABLE message_deletions (
    user_id         BIGINT NOT NULL,
    conversation_id TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    message_id      UUID NOT NULL,
    deleted_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, conversation_id, seq)
);
CREATE INDEX message_deletions_message ON message_deletions (message_id);

CREATE TABLE group_chats (
    group_id     TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    description  TEXT NOT NULL DEFAULT '',
    created_by   BIGINT NOT NULL,
    max_members  INTEGER NOT NULL,
    -- Set for the default group of a community, whose members come only from there.
    community_id TEXT,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    -- Softly deleted: hidden at once, purged later.
    deleted_at   TIMESTAMPTZ
);
CREATE INDEX group_chats_deleted ON group_chats (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE group_members (
    group_id        TEXT NOT NULL,
    user_id         BIGINT NOT NULL,
    role            TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    can_add_members BOOLEAN NOT NULL DEFAULT FALSE,
    joined_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_members_user ON group_members (user_id);

-- Durable events that are not messages: the sealed event once, and a row per recipient.
CREATE TABLE event_log (
    event_id        UUID PRIMARY KEY,
    conversation_id TEXT,
    body            BYTEA NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    -- The message it is about: when that is deleted for everyone, what was told about it goes, too.
    message_id      UUID
);
CREATE INDEX event_log_created ON event_log (created_at);
CREATE INDEX event_log_conversation ON event_log (conversation_id) WHERE conversation_id IS NOT NULL;
CREATE INDEX event_log_message ON event_log (message_id) WHERE message_id IS NOT NULL;

CREATE TABLE event_queue (
    user_id      BIGINT NOT NULL,
    event_id     UUID NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    delivered_at TIMESTAMPTZ,
    PRIMARY KEY (user_id, event_id)
);
CREATE INDEX event_queue_undelivered ON event_queue (user_id, event_id) WHERE delivered_at IS NULL;
CREATE INDEX event_queue_event ON event_queue (event_id);

-- Commands other than sends that were applied, with their sealed outcome, so that a redelivered one is answered and
-- not applied again. Deleted messages leave their id here, lest a redelivered send bring them back.
CREATE TABLE applied_commands (
    command_id UUID PRIMARY KEY,
    outcome    BYTEA,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX applied_commands_applied ON applied_commands (applied_at);

CREATE TABLE user_status (
    user_id      BIGINT PRIMARY KEY,
    last_seen_at TIMESTAMPTZ NOT NULL
);

-- Workers that are alive, and which of them may write to which partition. A transaction that applies commands of a
-- partition reads its row with a share lock; a takeover raises the epoch and so waits for it or excludes it.
CREATE TABLE workers (
    worker_id    UUID PRIMARY KEY,
    heartbeat_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE partition_leases (
    partition  INTEGER PRIMARY KEY,
    owner      UUID,
    epoch      BIGINT NOT NULL DEFAULT 0,
    expires_at TIMESTAMPTZ NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
