-- Messages that users have reported. The content is not copied: it stays where the message is, and goes with it.
CREATE TABLE message_reports (
    report_id       UUID PRIMARY KEY,
    message_id      UUID NOT NULL,
    conversation_id TEXT NOT NULL,
    sender_id       BIGINT NOT NULL,
    reporter_id     BIGINT NOT NULL,
    -- Sealed under the report's id.
    reason          BYTEA NOT NULL,
    reported_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    state           TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'resolved', 'dismissed')),
    closed_at       TIMESTAMPTZ,
    -- As the audit log names who did it.
    closed_by       TEXT,
    CONSTRAINT message_reports_once UNIQUE (reporter_id, message_id)
);
CREATE INDEX message_reports_open ON message_reports (report_id) WHERE state = 'open';
CREATE INDEX message_reports_by_reporter ON message_reports (reporter_id, reported_at);
CREATE INDEX message_reports_by_sender ON message_reports (sender_id);
CREATE INDEX message_reports_closed ON message_reports (closed_at) WHERE closed_at IS NOT NULL;

-- As in 0037, with the mutes and bans of a user and the reports that a user made.
CREATE OR REPLACE FUNCTION chat_personal_data(user_id BIGINT, section TEXT) RETURNS SETOF TEXT LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('userId', u.user_id, 'username', u.username, 'email', to_jsonb(u) -> 'email',
               'createdAt', to_jsonb(u) -> 'created_at')::text
    FROM users_auth u WHERE $2 = 'account' AND u.user_id = $1
    UNION ALL
    SELECT to_jsonb(p)::text FROM user_profile_info p
    WHERE $2 = 'profile' AND $1::text = coalesce(to_jsonb(p) ->> 'user_id', to_jsonb(p) ->> 'user_id_serial')
    UNION ALL
    SELECT to_jsonb(f)::text FROM user_follows f WHERE $2 = 'following' AND f.follower_id = $1
    UNION ALL
    SELECT to_jsonb(b)::text FROM blocked_relationships b WHERE $2 = 'blocked' AND b.blocker_id = $1
    UNION ALL
    SELECT to_jsonb(s)::text FROM user_status s WHERE $2 = 'status' AND s.user_id = $1
    UNION ALL
    SELECT to_jsonb(d)::text FROM deactivated_users d WHERE $2 = 'deactivated' AND d.user_id = $1
    UNION ALL
    SELECT (to_jsonb(s) - 'token_id')::text FROM sign_ins s WHERE $2 = 'signIns' AND s.user_id = $1
    UNION ALL
    SELECT to_jsonb(c)::text FROM conversation_members c WHERE $2 = 'conversations' AND c.user_id = $1
    UNION ALL
    SELECT (to_jsonb(m) || jsonb_build_object('name', g.name))::text
    FROM group_members m LEFT JOIN group_chats g USING (group_id) WHERE $2 = 'groups' AND m.user_id = $1
    UNION ALL
    SELECT to_jsonb(m)::text FROM community_members m WHERE $2 = 'communities' AND m.user_id = $1
    UNION ALL
    SELECT to_jsonb(p)::text FROM user_community_progress p WHERE $2 = 'progress' AND p.user_id = $1
    UNION ALL
    SELECT to_jsonb(e)::text FROM community_challenge_events e WHERE $2 = 'challenges' AND e.user_id = $1
    UNION ALL
    SELECT to_jsonb(r)::text FROM message_reactions r WHERE $2 = 'reactions' AND r.user_id = $1
    UNION ALL
    SELECT jsonb_build_object('message_id', message_id, 'conversation_id', conversation_id, 'pinned_at', pinned_at)::text
    FROM private_messages WHERE $2 = 'pins' AND pinned_at IS NOT NULL AND pinned_by = $1
    UNION ALL
    SELECT to_jsonb(g)::text FROM group_chats g WHERE $2 = 'createdGroups' AND g.created_by = $1
    UNION ALL
    SELECT to_jsonb(d)::text FROM message_deletions d WHERE $2 = 'hidden' AND d.user_id = $1
    UNION ALL
    SELECT to_jsonb(s)::text FROM group_sanctions s WHERE $2 = 'sanctions' AND s.user_id = $1
    UNION ALL
    SELECT to_jsonb(r)::text FROM message_reports r WHERE $2 = 'reports' AND r.reporter_id = $1
    UNION ALL
    SELECT line FROM (
        SELECT to_jsonb(a)::text FROM audit_log a
        WHERE $2 = 'audit' AND (a.target_user_id = $1 OR a.actor = 'user:' || $1) ORDER BY audit_id
    ) AS audited (line)
$$;
