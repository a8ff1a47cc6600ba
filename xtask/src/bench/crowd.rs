//! A message to the connected members of a large community: the time until the last of them has it.

use std::path::Path;

use anyhow::Result;
use devstack::{Programs, process};
use serde_json::Value;

use super::site::{DATABASE, Site};

const GROUP: &str = "group_00000000-0000-4000-8000-000000000001";

/// `members` belong to the group; each count in `connected` is measured with that many of them connected.
pub fn measure(programs: &Programs, bin_dir: &Path, members: usize, connected: &[usize]) -> Result<()> {
    process::raise_file_limit();
    let site = Site::start(programs, bin_dir, members)?;
    site.postgres.query(
        DATABASE,
        &format!(
            "INSERT INTO communities (community_id, name, default_group_id) VALUES ('crowd', 'crowd', '{GROUP}');
             INSERT INTO group_chats (group_id, name, created_by, max_members, community_id)
                 VALUES ('{GROUP}', 'crowd', 1, {members}, 'crowd');
             INSERT INTO community_members (community_id, user_id, role)
                 SELECT 'crowd', user_id, CASE user_id WHEN 1 THEN 'owner' ELSE 'member' END FROM users_auth;
             INSERT INTO group_members (group_id, user_id, role)
                 SELECT '{GROUP}', user_id, CASE user_id WHEN 1 THEN 'owner' ELSE 'member' END FROM users_auth;
             INSERT INTO conversation_members (user_id, conversation_id) SELECT user_id, '{GROUP}' FROM users_auth;
             ANALYZE;"
        ),
    )?;
    for count in connected {
        let label = format!("a message to {count} of {members} members");
        let among = count.to_string();
        let args = [
            "--group",
            GROUP,
            "--members",
            &among,
            "--senders",
            "1",
            "--rate",
            "0.5",
            "--duration",
            "30s",
            "--settle",
            "10s",
            "--connect-rate",
            "400",
            "--processes",
            "1",
        ];
        let result = site.loadtest(&label, "group", 0..*count, &args)?;
        let ms = |path: &str| result.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
        println!(
            "    until the last has it: p50 {:.1} ms, the slowest {:.1} ms; a delivery: p50 {:.1} ms, p99 {:.1} ms",
            ms("/latency_ms/to_the_last/p50"),
            ms("/latency_ms/to_the_last/max"),
            ms("/latency_ms/deliver/p50"),
            ms("/latency_ms/deliver/p99"),
        );
    }
    Ok(())
}
