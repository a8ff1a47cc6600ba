-- Who may not write in a group (`mute`), and who may not be in it (`ban`). Both outlive the membership. Workers of earlier releases
-- know neither these nor slow mode, and enforce them only once they are replaced.
CREATE TABLE group_sanctions (
    sanction_id UUID PRIMARY KEY,
    group_id    TEXT NOT NULL,
    user_id     BIGINT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('mute', 'ban')),
    -- NULL until it is lifted.
    ends_at     TIMESTAMPTZ,
    -- Sealed under the sanction's id.
    reason      BYTEA,
    imposed_by  BIGINT NOT NULL,
    imposed_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT group_sanctions_of_user UNIQUE (group_id, kind, user_id)
);
CREATE INDEX group_sanctions_by_user ON group_sanctions (user_id);
CREATE INDEX group_sanctions_ended ON group_sanctions (ends_at) WHERE ends_at IS NOT NULL;

-- Ordinary members may send one message in this time; 0 is no limit.
ALTER TABLE group_chats ADD COLUMN slow_mode_seconds INTEGER NOT NULL DEFAULT 0;
-- When the member last sent a message while the group was in slow mode.
ALTER TABLE group_members ADD COLUMN turn_at TIMESTAMPTZ;

-- Takes a member's turn to send a message in slow mode. Returns `stored`, or `too_soon` and the seconds until the next turn.
CREATE FUNCTION chat_take_turn(of_group TEXT, of_user BIGINT, every_seconds INTEGER) RETURNS TEXT LANGUAGE plpgsql AS $$
DECLARE
    last_turn TIMESTAMPTZ;
BEGIN
    UPDATE group_members SET turn_at = now()
    WHERE group_id = of_group AND user_id = of_user
        AND (turn_at IS NULL OR turn_at <= now() - make_interval(secs => every_seconds));
    IF FOUND THEN
        RETURN 'stored';
    END IF;
    SELECT turn_at INTO last_turn FROM group_members WHERE group_id = of_group AND user_id = of_user;
    RETURN 'too_soon ' || greatest(1, ceil(extract(epoch FROM last_turn + make_interval(secs => every_seconds) - now())))::bigint;
END
$$;
