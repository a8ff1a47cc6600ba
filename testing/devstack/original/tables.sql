-- The original chat server's own tables: every id is varchar, each table has a serial `id`.
CREATE TABLE private_messages (
    id SERIAL PRIMARY KEY, message_id VARCHAR(255), conversation_id VARCHAR(255), sender_id VARCHAR(255),
    recipient_id VARCHAR(255), content TEXT NOT NULL, encrypted_content TEXT, encryption_iv VARCHAR(255),
    is_encrypted BOOLEAN DEFAULT FALSE, is_read BOOLEAN DEFAULT FALSE, reply_to VARCHAR(255), is_edited BOOLEAN DEFAULT FALSE,
    edited_at TIMESTAMP, is_deleted BOOLEAN DEFAULT FALSE, deleted_at TIMESTAMP, deleted_for_everyone BOOLEAN DEFAULT FALSE,
    created_at TIMESTAMP DEFAULT now(), updated_at TIMESTAMP DEFAULT now(), is_group_message BOOLEAN DEFAULT FALSE,
    is_announcement BOOLEAN DEFAULT FALSE, is_pinned BOOLEAN DEFAULT FALSE, pinned_at TIMESTAMP, pinned_by_user_id VARCHAR(255)
);
CREATE TABLE conversations (
    id SERIAL PRIMARY KEY, conversation_id VARCHAR(255), participant1_id VARCHAR(255), participant2_id VARCHAR(255),
    last_message_at TIMESTAMP, created_at TIMESTAMP DEFAULT now()
);
CREATE TABLE group_chats (
    id SERIAL PRIMARY KEY, group_id VARCHAR(255), group_name VARCHAR(255), group_description TEXT,
    created_by_user_id VARCHAR(255), max_members INTEGER DEFAULT 50, is_active BOOLEAN DEFAULT TRUE, deleted_at TIMESTAMP,
    created_at TIMESTAMP DEFAULT now()
);
CREATE TABLE group_members (
    id SERIAL PRIMARY KEY, group_id VARCHAR(255), user_id VARCHAR(255), role VARCHAR(50) DEFAULT 'member',
    can_send_messages BOOLEAN DEFAULT TRUE, can_add_members BOOLEAN DEFAULT FALSE, joined_at TIMESTAMP DEFAULT now(),
    added_by_user_id VARCHAR(255)
);
CREATE TABLE message_reactions (
    id SERIAL PRIMARY KEY, message_id VARCHAR(255), user_id VARCHAR(255), reaction VARCHAR(50), created_at TIMESTAMP DEFAULT now()
);
CREATE TABLE message_deletions (
    id SERIAL PRIMARY KEY, message_id VARCHAR(255), user_id VARCHAR(255), deleted_at TIMESTAMP DEFAULT now()
);
CREATE TABLE conversation_deletions (
    id SERIAL PRIMARY KEY, conversation_id VARCHAR(255), user_id VARCHAR(255), deleted_at TIMESTAMP DEFAULT now()
);
CREATE TABLE user_status (id SERIAL PRIMARY KEY, user_id VARCHAR(255), is_online BOOLEAN, last_seen TIMESTAMP);
CREATE TABLE event_queue (
    id SERIAL PRIMARY KEY, user_id VARCHAR(255), event_type VARCHAR(100), event_data JSONB, created_at TIMESTAMP DEFAULT now(),
    delivered_at TIMESTAMP
);
CREATE TABLE communities (
    id SERIAL PRIMARY KEY, community_id VARCHAR(255), external_ref VARCHAR(255), name VARCHAR(255), description TEXT,
    avatar_url TEXT, default_group_id VARCHAR(255), created_by_user_id VARCHAR(255), is_active BOOLEAN DEFAULT TRUE
);
CREATE TABLE community_members (
    id SERIAL PRIMARY KEY, community_id VARCHAR(255), user_id VARCHAR(255), role VARCHAR(50), joined_at TIMESTAMP DEFAULT now(),
    last_seen_at TIMESTAMP, is_muted BOOLEAN DEFAULT FALSE, metadata JSONB
);
CREATE TABLE user_community_progress (
    id SERIAL PRIMARY KEY, community_id VARCHAR(255), user_id VARCHAR(255), total_xp INTEGER, daily_streak INTEGER,
    weekly_streak INTEGER, last_challenge_id VARCHAR(255), last_challenge_type VARCHAR(50), last_completed_at TIMESTAMP
);
CREATE TABLE community_challenge_events (
    id SERIAL PRIMARY KEY, event_id VARCHAR(255), community_id VARCHAR(255), user_id VARCHAR(255), challenge_id VARCHAR(255),
    challenge_type VARCHAR(50), xp_awarded INTEGER, occurred_at TIMESTAMP, payload JSONB, created_at TIMESTAMP DEFAULT now()
);
