-- Which tokens of a user's are in use and from where, for the user to see and to end. Only workers with BUILTIN_AUTH write it:
-- elsewhere the main backend knows the logins.
CREATE TABLE sign_ins (
    token_id     TEXT PRIMARY KEY,
    user_id      BIGINT NOT NULL,
    -- As the client names itself.
    user_agent   TEXT,
    address      TEXT NOT NULL,
    signed_in_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    last_seen_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at   TIMESTAMPTZ NOT NULL
);
CREATE INDEX sign_ins_by_user ON sign_ins (user_id, last_seen_at DESC);
CREATE INDEX sign_ins_by_expiry ON sign_ins (expires_at);

-- As in 0023, and of sign-ins everything but what names their tokens.
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
    SELECT line FROM (
        SELECT to_jsonb(a)::text FROM audit_log a
        WHERE $2 = 'audit' AND (a.target_user_id = $1 OR a.actor = 'user:' || $1) ORDER BY audit_id
    ) AS audited (line)
$$;
