//! Large audiences: a message to the connected members of a large community, and comings and goings that every
//! connection is told of.

use std::path::Path;

use anyhow::Result;
use devstack::{Programs, process};
use serde_json::Value;

use super::site::{DATABASE, Site};

const GROUP: &str = "group_00000000-0000-4000-8000-000000000001";
/// Users who come, and as many who go, in a second.
const COMINGS: usize = 50;
const COMING_FOR_SECONDS: usize = 30;
const ONLINE: usize = 100_000;
/// Connections whose frames the generator reads; it could not read those of all on the same machine.
const READERS: usize = 500;
/// Until as many go as come.
const WARMUP_SECONDS: usize = 10;

/// `members` belong to the group; each count in `connected` is measured with that many of them connected.
pub fn measure(programs: &Programs, bin_dir: &Path, members: usize, connected: &[usize]) -> Result<()> {
    process::raise_file_limit();
    let mut site = Site::start(programs, bin_dir, members)?;
    create_community(&site, members)?;
    for count in connected {
        message(&site, members, *count)?;
    }
    let most = connected.iter().copied().max().unwrap_or(0);
    site.set(&[("OFFLINE_GRACE_PERIOD", "2s")])?;
    comings(&site, most, &[], "whom nobody is told of")?;
    site.set(&[("PRESENCE_SCOPE", "all")])?;
    comings(&site, most, &["--batches", "--deflate"], "in batches, compressed")?;
    comings(&site, most, &["--batches"], "in batches")?;
    comings(&site, most, &[], "as single events")?;
    online(&site, members, ONLINE.min(2 * members))
}

/// The lists of online users, when there are many.
fn online(site: &Site, members: usize, users: usize) -> Result<()> {
    site.add_users(DATABASE, (users - members) as u64)?;
    site.list_online(users)?;
    let args = ["--online", "--preload", "0", "--page", "200", "--rate", "20", "--duration", "20s"];
    let result = site.loadtest(&format!("lists of {users} online users"), "history", 0..2, &args)?;
    println!(
        "    a part of 200: p50 {:.1} ms, p99 {:.1} ms; the list without parts: p50 {:.1} ms, p99 {:.1} ms",
        number(&result, "/latency_ms/part_of_online_users/p50"),
        number(&result, "/latency_ms/part_of_online_users/p99"),
        number(&result, "/latency_ms/online_users/p50"),
        number(&result, "/latency_ms/online_users/p99"),
    );
    Ok(())
}

fn create_community(site: &Site, members: usize) -> Result<()> {
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
    Ok(())
}

fn message(site: &Site, members: usize, count: usize) -> Result<()> {
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
    let result = site.loadtest(&label, "group", 0..count, &args)?;
    println!(
        "    until the last has it: p50 {:.1} ms, the slowest {:.1} ms; a delivery: p50 {:.1} ms, p99 {:.1} ms",
        number(&result, "/latency_ms/to_the_last/p50"),
        number(&result, "/latency_ms/to_the_last/max"),
        number(&result, "/latency_ms/deliver/p50"),
        number(&result, "/latency_ms/deliver/p99"),
    );
    Ok(())
}

/// Connects `watchers`, slowly because all who are connected are told of each, and then lets others come and go. Logins
/// and closed connections cost the gateways the same each time.
fn comings(site: &Site, watchers: usize, options: &[&str], how: &str) -> Result<()> {
    let movers = COMINGS * (WARMUP_SECONDS + COMING_FOR_SECONDS);
    let (among, rate, warmup) = (watchers.to_string(), COMINGS.to_string(), format!("{WARMUP_SECONDS}s"));
    let readers = READERS.to_string();
    let args = [
        "--watchers",
        &among,
        "--readers",
        &readers,
        "--rate",
        &rate,
        "--warmup",
        &warmup,
        "--stay",
        "2s",
        "--settle",
        "10s",
        "--connect-rate",
        "100",
        "--drain",
        "30s",
    ];
    let label = format!("{watchers} connections, {} comings and goings a second {how}", 2 * COMINGS);
    let result = site.loadtest(&label, "presence", 0..watchers + movers, &[&args[..], options].concat())?;
    let seconds = number(&result, "/duration_seconds");
    println!(
        "    gateways: {:.2} of a core; until a connection is told: p50 {:.0} ms, p99 {:.0} ms",
        number(&result, "/groups/gateway/cpu_seconds") / seconds,
        number(&result, "/latency_ms/user_online/p50"),
        number(&result, "/latency_ms/user_online/p99"),
    );
    Ok(())
}

fn number(result: &Value, path: &str) -> f64 {
    result.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN)
}
