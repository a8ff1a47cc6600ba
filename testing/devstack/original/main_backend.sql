-- The main backend's tables as its definitions make them: no display name, no picture, integer ids, varchar, no time zones.
CREATE TABLE users_auth (
    user_id       SERIAL PRIMARY KEY,
    username      VARCHAR,
    password_hash VARCHAR,
    role          VARCHAR,
    email         VARCHAR
);
CREATE TABLE user_profile_info (
    user_id_serial BIGINT PRIMARY KEY,
    first_name     VARCHAR(100),
    last_name      VARCHAR(100),
    bio            TEXT,
    phone_number   VARCHAR(30),
    resume         TEXT,
    growth_score   INTEGER,
    xp_points      INTEGER,
    achievements   JSONB,
    visibility     VARCHAR(20),
    created_at     TIMESTAMP DEFAULT now(),
    updated_at     TIMESTAMP DEFAULT now()
);
CREATE TABLE user_follows (follower_id BIGINT, followee_id BIGINT, created_at TIMESTAMP DEFAULT now());
CREATE TABLE blocked_relationships (blocker_id BIGINT, blocked_id BIGINT, created_at TIMESTAMP DEFAULT now());
CREATE TABLE jwt_revocation (jti TEXT, revoked_at TIMESTAMP WITHOUT TIME ZONE DEFAULT now());
