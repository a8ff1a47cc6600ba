-- Moves the conversations in the temporary table `chosen` from staging to their final tables, in one transaction.

-- Conversations in which the new server wrote since the last import: messages are only added to them.
CREATE TEMPORARY TABLE touched ON COMMIT DROP AS
SELECT c.conversation_id FROM conversations c
LEFT JOIN chat_import.conversations i ON i.conversation_id = c.conversation_id
WHERE c.conversation_id IN (SELECT conversation_id FROM chosen) AND i.version IS DISTINCT FROM c.version;

-- Deleted for everyone since the last import.
WITH gone AS (
    DELETE FROM private_messages p USING chat_import.staged s
    WHERE s.conversation_id IN (SELECT conversation_id FROM chosen) AND s.is_deleted AND p.message_id = s.message_id
        AND s.conversation_id NOT IN (SELECT conversation_id FROM touched)
    RETURNING p.message_id
), reactions AS (
    DELETE FROM message_reactions r USING gone WHERE r.message_id = gone.message_id
), hidden AS (
    DELETE FROM message_deletions d USING gone WHERE d.message_id = gone.message_id
)
DELETE FROM chat_import.messages m USING gone WHERE m.message_id = gone.message_id;

-- Edited and pinned since.
UPDATE private_messages p SET
    content = CASE WHEN e.edited THEN s.content ELSE p.content END, iv = CASE WHEN e.edited THEN s.iv ELSE p.iv END,
    mac = CASE WHEN e.edited THEN s.mac ELSE p.mac END, key_id = CASE WHEN e.edited THEN s.key_id ELSE p.key_id END,
    edited_at = s.edited_at, pinned_at = s.pinned_at, pinned_by = s.pinned_by
FROM chat_import.staged s
JOIN chat_import.messages m ON m.source_id = s.source_id
CROSS JOIN LATERAL (SELECT x.edited_at IS DISTINCT FROM s.edited_at AS edited FROM private_messages x
                    WHERE x.message_id = s.message_id) e
WHERE s.conversation_id IN (SELECT conversation_id FROM chosen) AND NOT s.is_deleted AND p.message_id = s.message_id
    AND s.conversation_id NOT IN (SELECT conversation_id FROM touched)
    AND (e.edited OR p.pinned_at IS DISTINCT FROM s.pinned_at);

-- New ones, numbered after the existing ones. An imported message that is gone was deleted by the new server, or with its group.
WITH new AS (
    SELECT DISTINCT ON (s.message_id) s.* FROM chat_import.staged s
    WHERE s.conversation_id IN (SELECT conversation_id FROM chosen) AND NOT s.is_deleted
        AND NOT EXISTS (SELECT FROM private_messages p WHERE p.message_id = s.message_id)
        AND NOT EXISTS (SELECT FROM chat_import.messages m WHERE m.message_id = s.message_id)
        AND NOT EXISTS (SELECT FROM applied_commands a WHERE a.command_id = s.message_id)
    ORDER BY s.message_id, s.source_id
), stored AS (
    INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, recipient_id, kind, content, iv, mac, key_id,
        reply_to_message_id, created_at, edited_at, pinned_at, pinned_by)
    SELECT n.message_id, n.conversation_id,
        coalesce(c.last_seq, 0) + row_number() OVER (PARTITION BY n.conversation_id ORDER BY n.created_at, n.source_id),
        n.sender_id, n.recipient_id, n.kind, n.content, n.iv, n.mac, n.key_id,
        CASE WHEN n.reply_to IS NULL THEN NULL
             WHEN EXISTS (SELECT FROM chat_import.staged r WHERE r.message_id = n.reply_to
                              AND r.conversation_id = n.conversation_id AND NOT r.is_deleted)
               OR EXISTS (SELECT FROM private_messages r WHERE r.message_id = n.reply_to
                              AND r.conversation_id = n.conversation_id) THEN n.reply_to END,
        n.created_at, n.edited_at, n.pinned_at, n.pinned_by
    FROM new n LEFT JOIN conversations c ON c.conversation_id = n.conversation_id
)
INSERT INTO chat_import.messages (source_id, message_id, conversation_id, created_at)
SELECT n.source_id, n.message_id, n.conversation_id, n.created_at FROM new n;

-- Late ones that belong between others: the conversation is renumbered, unless the new server wrote in it.
CREATE TEMPORARY TABLE disordered ON COMMIT DROP AS
SELECT p.message_id, p.conversation_id,
    row_number() OVER (PARTITION BY p.conversation_id ORDER BY m.created_at, m.source_id) AS seq
FROM chat_import.messages m JOIN private_messages p ON p.message_id = m.message_id
WHERE p.conversation_id IN (
    SELECT o.conversation_id FROM (
        SELECT p.conversation_id, p.seq, lag(p.seq) OVER (PARTITION BY p.conversation_id ORDER BY m.created_at, m.source_id) AS before
        FROM chat_import.messages m JOIN private_messages p ON p.message_id = m.message_id
        WHERE m.conversation_id IN (SELECT conversation_id FROM chosen)
    ) o WHERE o.seq < o.before AND o.conversation_id NOT IN (SELECT conversation_id FROM touched));

UPDATE private_messages p SET seq = -d.seq FROM disordered d WHERE p.message_id = d.message_id;

UPDATE private_messages p SET seq = d.seq FROM disordered d WHERE p.message_id = d.message_id;

-- Hidden messages are restored by their numbers later.
DELETE FROM message_deletions WHERE conversation_id IN (SELECT conversation_id FROM disordered);

INSERT INTO conversations AS c (conversation_id, last_seq, message_count, version, created_at, last_message_at)
SELECT i.conversation_id, coalesce(p.last_seq, 0), coalesce(p.count, 0), 1, coalesce(p.first_at, now()), p.last_at
FROM chosen i
CROSS JOIN LATERAL (
    SELECT max(p.seq) AS last_seq, count(*) AS count, min(p.created_at) AS first_at, max(p.created_at) AS last_at
    FROM private_messages p WHERE p.conversation_id = i.conversation_id
) p
WHERE p.count > 0 OR EXISTS (SELECT FROM conversations o WHERE o.conversation_id = i.conversation_id)
ON CONFLICT (conversation_id) DO UPDATE SET
    last_seq = greatest(c.last_seq, excluded.last_seq), message_count = excluded.message_count, version = c.version + 1,
    last_message_at = excluded.last_message_at;

INSERT INTO conversation_members (user_id, conversation_id)
SELECT DISTINCT participant, s.conversation_id
FROM chat_import.staged s
JOIN conversations c ON c.conversation_id = s.conversation_id
CROSS JOIN LATERAL unnest(ARRAY[s.sender_id, s.recipient_id]) AS participant
WHERE s.conversation_id IN (SELECT conversation_id FROM chosen) AND s.recipient_id IS NOT NULL
ON CONFLICT DO NOTHING;

INSERT INTO chat_import.conversations AS i (conversation_id, version)
SELECT conversation_id, version FROM conversations c
WHERE conversation_id IN (SELECT conversation_id FROM chosen) AND conversation_id NOT IN (SELECT conversation_id FROM touched)
ON CONFLICT (conversation_id) DO UPDATE SET version = excluded.version;

DELETE FROM chat_import.staged WHERE conversation_id IN (SELECT conversation_id FROM chosen);
