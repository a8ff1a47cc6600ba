//! A site of the original server: its main backend's tables, its own, and rows with every quirk that was found.

/// The main backend's tables.
pub const MAIN_BACKEND: &str = include_str!("../original/main_backend.sql");
/// The original chat server's tables, empty.
pub const TABLES: &str = include_str!("../original/tables.sql");
/// Rows for them; the users are 1 to 4, 9 and 10.
pub const QUIRKS: &str = include_str!("../original/quirks.sql");
/// Those users, in the main backend's tables.
pub const USERS: &str = "
    INSERT INTO users_auth (user_id, username, email)
        SELECT n, 'user' || n, 'user' || n || '@example.org' FROM unnest(ARRAY[1, 2, 3, 4, 9, 10]) AS n;
    INSERT INTO user_profile_info (user_id_serial, first_name, last_name) VALUES (9, 'Nina', 'Nine'), (10, 'Tom', NULL);
    SELECT setval(pg_get_serial_sequence('users_auth', 'user_id'), 100);";
