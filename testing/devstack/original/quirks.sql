-- Rows with every quirk that was found at real sites, for the users 1 to 4, 9 and 10.
INSERT INTO private_messages (message_id, conversation_id, sender_id, recipient_id, content, is_read, reply_to, created_at) VALUES
    -- 1: a bare UUID; string order puts 10 before 9.
    ('11111111-1111-4111-8111-111111111111', 'conv_10_9', '9', '10', 'first &amp; foremost', TRUE, NULL, '2025-11-01 10:00:00'),
    -- 2 and 3: equal times, the serial id decides; an id of the older kind, and a reply to it.
    ('msg_1762000000000_k3j9x2', 'conv_10_9', '10', '9', 'second', TRUE, NULL, '2025-11-01 10:00:01'),
    ('22222222-2222-4222-8222-222222222222', 'conv_10_9', '9', '10', 'third', FALSE, 'msg_1762000000000_k3j9x2', '2025-11-01 10:00:01'),
    -- 4: stored last, but written before all others.
    ('33333333-3333-4333-8333-333333333333', 'conv_user-9_user-10', '10', '9', 'zeroth', TRUE, NULL, '2025-11-01 09:00:00'),
    -- 5: a reply to nothing; 6: a reply across conversations.
    ('44444444-4444-4444-8444-444444444444', 'conv_1_2', '1', '2', 'to nothing', TRUE, 'gone', '2025-11-02 10:00:00'),
    ('55555555-5555-4555-8555-555555555555', 'conv_1_2', '2', '1', 'across', FALSE, '11111111-1111-4111-8111-111111111111', '2025-11-02 10:00:01'),
    -- 7: a user id that is not a number; 8: a message to oneself.
    ('66666666-6666-4666-8666-666666666666', 'conv_user-1_user-2', 'user-1', 'user-2', 'nobody', FALSE, NULL, '2025-11-02 10:00:02'),
    ('77777777-7777-4777-8777-777777777777', 'conv_1_1', '1', '1', 'myself', FALSE, NULL, '2025-11-02 10:00:03'),
    -- 9: the same id as the first row.
    ('11111111-1111-4111-8111-111111111111', 'conv_1_2', '1', '2', 'double', FALSE, NULL, '2025-11-02 10:00:04');
-- 10: deleted for everyone, and still there; 11: deleted by the sender for themselves, which is in another table.
INSERT INTO private_messages (message_id, conversation_id, sender_id, recipient_id, content, is_deleted, deleted_for_everyone, deleted_at, created_at) VALUES
    ('88888888-8888-4888-8888-888888888888', 'conv_1_2', '1', '2', 'taken back', TRUE, TRUE, '2025-11-02 11:00:00', '2025-11-02 10:00:05'),
    ('99999999-9999-4999-8999-999999999999', 'conv_1_2', '1', '2', 'kept', TRUE, FALSE, '2025-11-02 11:00:00', '2025-11-02 10:00:06');
-- Groups: 12 edited, its ciphertext the old text; 13 an announcement; 14 pinned; 15 in a group that does not exist.
INSERT INTO private_messages (message_id, conversation_id, sender_id, recipient_id, content, encrypted_content, encryption_iv, is_encrypted, is_group_message, is_edited, edited_at, is_announcement, is_pinned, pinned_at, pinned_by_user_id, created_at) VALUES
    ('aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', 'group_91afa5df-8ac6-4d01-a6a1-94a0b0d98103', '1', 'group_91afa5df-8ac6-4d01-a6a1-94a0b0d98103', 'edited &lt;b&gt;', 'deadbeef', 'cafe', TRUE, TRUE, TRUE, '2025-11-03 10:05:00', FALSE, FALSE, NULL, NULL, '2025-11-03 10:00:00'),
    ('bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb', 'group_91afa5df-8ac6-4d01-a6a1-94a0b0d98103', '2', 'group_91afa5df-8ac6-4d01-a6a1-94a0b0d98103', 'hear ye', NULL, NULL, FALSE, TRUE, FALSE, NULL, TRUE, FALSE, NULL, NULL, '2025-11-03 10:00:01'),
    ('cccccccc-cccc-4ccc-8ccc-cccccccccccc', 'general', '3', 'general', 'pinned', NULL, NULL, FALSE, TRUE, FALSE, NULL, FALSE, TRUE, '2025-11-03 12:00:00', '2', '2025-11-03 10:00:02'),
    ('dddddddd-dddd-4ddd-8ddd-dddddddddddd', 'group_gone', '3', 'group_gone', 'lost', NULL, NULL, FALSE, TRUE, FALSE, NULL, FALSE, FALSE, NULL, NULL, '2025-11-03 10:00:03');
-- 16 and 17: ids of nobody's making that we know, and a reply to one.
INSERT INTO private_messages (message_id, conversation_id, sender_id, recipient_id, content, is_read, reply_to, created_at) VALUES
    ('draft #17 (ü)', 'conv_3_4', '3', '4', 'an id like none', TRUE, NULL, '2025-11-04 10:00:00'),
    ('18', 'conv_3_4', '4', '3', 'to it', TRUE, 'draft #17 (ü)', '2025-11-04 10:00:01');

INSERT INTO conversations (conversation_id, participant1_id, participant2_id) VALUES
    ('conv_10_9', '9', '10'), ('conv_user-1_user-2', 'user-1', 'user-2'), ('dm-1-3', '1', '3'), ('dm-3-4', '3', '4');

-- The creator is an admin; the creator left and an admin stays; nobody is an admin; gone.
INSERT INTO group_chats (group_id, group_name, group_description, created_by_user_id, max_members, is_active, deleted_at, created_at) VALUES
    ('group_91afa5df-8ac6-4d01-a6a1-94a0b0d98103', 'Readers', NULL, '1', 50, TRUE, NULL, '2025-10-01'),
    ('general', 'General', 'of the community', '9', 50, TRUE, NULL, '2025-10-01'),
    ('group_22222222-0000-4000-8000-000000000000', repeat('long ', 50), NULL, 'system', 10, TRUE, NULL, '2025-10-01'),
    ('group_33333333-0000-4000-8000-000000000000', 'Closed', NULL, '1', 10, FALSE, '2025-10-02', '2025-10-01'),
    ('group_44444444-0000-4000-8000-000000000000', 'Nobody', NULL, 'system', 10, TRUE, NULL, '2025-10-01');
INSERT INTO group_members (group_id, user_id, role, can_send_messages, can_add_members, joined_at) VALUES
    ('group_91afa5df-8ac6-4d01-a6a1-94a0b0d98103', '2', 'admin', TRUE, TRUE, '2025-10-01 00:00:00'),
    ('group_91afa5df-8ac6-4d01-a6a1-94a0b0d98103', '1', 'admin', TRUE, TRUE, '2025-10-01 00:00:01'),
    ('group_91afa5df-8ac6-4d01-a6a1-94a0b0d98103', '3', 'moderator', FALSE, FALSE, '2025-10-01 00:00:02'),
    ('general', '3', 'member', TRUE, FALSE, '2025-10-01 00:00:00'),
    ('general', '2', 'admin', TRUE, TRUE, '2025-10-01 00:00:01'),
    ('general', 'user-7', 'member', TRUE, FALSE, '2025-10-01 00:00:02'),
    ('group_22222222-0000-4000-8000-000000000000', '4', 'member', TRUE, TRUE, '2025-10-01 00:00:00'),
    ('group_22222222-0000-4000-8000-000000000000', '1', 'member', TRUE, FALSE, '2025-10-01 00:00:01');

-- Several of a user on one message; on a message that is gone; by nobody; longer than a reaction is.
INSERT INTO message_reactions (message_id, user_id, reaction, created_at) VALUES
    ('msg_1762000000000_k3j9x2', '9', '👍', '2025-11-01 11:00:00'), ('msg_1762000000000_k3j9x2', '9', '❤️', '2025-11-01 11:00:01'),
    ('88888888-8888-4888-8888-888888888888', '2', '👍', '2025-11-01 11:00:00'), ('44444444-4444-4444-8444-444444444444', 'user-1', '👍', '2025-11-01'),
    ('44444444-4444-4444-8444-444444444444', '2', 'congratulations', '2025-11-01');
INSERT INTO message_deletions (message_id, user_id) VALUES
    ('99999999-9999-4999-8999-999999999999', '1'), ('nowhere', '1');
INSERT INTO conversation_deletions (conversation_id, user_id, deleted_at) VALUES
    ('conv_1_2', '2', '2025-11-02 10:00:00'), ('conv_9_9', '1', '2025-11-02');
INSERT INTO user_status (user_id, is_online, last_seen) VALUES ('9', TRUE, '2025-11-05 08:00:00'), ('user-1', FALSE, '2025-11-05');
INSERT INTO event_queue (user_id, event_type, event_data, delivered_at) VALUES
    ('9', 'member_removed', '{"groupId": "group_91afa5df-8ac6-4d01-a6a1-94a0b0d98103", "userId": "9", "username": "nine", "removedBy": "1"}', NULL),
    ('9', 'new_private_message', '{}', NULL), ('9', 'member_removed', '{}', now());
INSERT INTO communities (community_id, external_ref, name, default_group_id, created_by_user_id) VALUES
    ('c-1', 'ref-1', 'Community', 'general', '9');
INSERT INTO community_members (community_id, user_id, role, is_muted) VALUES ('c-1', '2', 'owner', FALSE), ('c-1', '3', 'moderator', TRUE);
INSERT INTO user_community_progress (community_id, user_id, total_xp, daily_streak) VALUES ('c-1', '3', 120, 4);
INSERT INTO community_challenge_events (event_id, community_id, user_id, challenge_id, challenge_type, xp_awarded, payload) VALUES
    ('e-1', 'c-1', '3', 'ch-1', 'daily', 20, '{"a": 1}');
