-- What workers need in addition, where this server keeps the accounts itself (BUILTIN_AUTH=true). After worker-role.sql.

GRANT INSERT ON users_auth, user_profile_info, jwt_revocation TO chat_worker;
-- The server API changes display names.
GRANT UPDATE ON user_profile_info TO chat_worker;
-- `block_user` and `unblock_user`.
GRANT INSERT, DELETE ON blocked_relationships TO chat_worker;
