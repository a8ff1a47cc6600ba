//! Large audiences: a message to the connected members of a large community, and comings and goings that every
//! connection is told of.

use anyhow::Result;
use serde_json::Value;

use super::section::{Section, cell};
use super::setup::Setup;
use super::site::{DATABASE, Site};
use super::target::{Figure, at, number};

const GROUP: &str = "group_00000000-0000-4000-8000-000000000001";
/// Users who come, and as many who go, in a second.
const COMINGS: usize = 50;
const COMING_FOR_SECONDS: usize = 30;
const ONLINE: usize = 100_000;
/// Users in a part of the list of online users.
const PART: usize = 200;
/// Connections whose frames the generator reads; it could not read those of all on the same machine.
const READERS: usize = 500;
/// Until as many go as come.
const WARMUP_SECONDS: usize = 10;

pub fn measure(setup: &Setup) -> Result<Section> {
    let (members, audiences) = (setup.sizes.members, setup.sizes.audiences);
    let mut site = Site::start(setup, members)?;
    create_community(&site, members)?;
    let mut section = Section::new("Large audiences");
    messages(&site, &mut section, members, audiences)?;
    comings_and_goings(&mut site, &mut section, audiences.iter().copied().max().unwrap_or(0))?;
    online(&site, &mut section, members, ONLINE.min(2 * members))?;
    Ok(section)
}

/// Messages to the connected members of a community.
fn messages(site: &Site, section: &mut Section, members: usize, audiences: &[usize]) -> Result<()> {
    let mut rows = Vec::new();
    let mut slowest = None;
    for connected in audiences {
        let result = message(site, members, *connected)?;
        section.check(&format!("{connected} connected members"), &result);
        let ms = |name: &str| at(&result, &format!("/latency_ms/{name}"));
        let latencies = ["deliver/p50", "deliver/p99", "to_the_last/p50", "to_the_last/max"];
        let mut row = vec![number(*connected as f64)];
        row.extend(latencies.map(|name| cell(ms(name))));
        rows.push(row);
        slowest = ms("to_the_last/max");
    }
    let most = number(audiences.iter().copied().max().unwrap_or(0) as f64);
    let name = format!("community of {most} connected, until the last has it");
    section.figures.push(Figure::at_most(&name, slowest, 500.0, "ms"));
    section.text(format!(
        "A message every two seconds to a community of {} members, some of them connected:",
        number(members as f64)
    ));
    let heads = ["connected", "delivered p50, ms", "p99", "until the last has it, p50", "the slowest"];
    section.table(&heads, rows);
    Ok(())
}

/// With one connection for each of `watchers`, which are told in several ways.
fn comings_and_goings(site: &mut Site, section: &mut Section, watchers: usize) -> Result<()> {
    site.set(&[("OFFLINE_GRACE_PERIOD", "2s")])?;
    let mut results = vec![("nobody is told", comings(site, watchers, &[], "whom nobody is told of")?)];
    site.set(&[("PRESENCE_SCOPE", "all")])?;
    let ways = [
        ("in batches, compressed", ["--batches", "--deflate"].as_slice()),
        ("in batches", &["--batches"]),
        ("as single events", &[]),
    ];
    for (how, options) in ways {
        results.push((how, comings(site, watchers, options, how)?));
    }
    let cores = |result: &Value| Some(at(result, "/groups/gateway/cpu_seconds")? / at(result, "/duration_seconds")?);
    let told = |result: &Value, name: &str| at(result, &format!("/latency_ms/user_online/{name}"));
    let (most, changes) = (number(watchers as f64), 2 * COMINGS);
    if let Some((_, batches)) = results.get(1) {
        let name = format!("{changes} comings and goings a second, {most} told in batches, gateways");
        section.figures.push(Figure::at_most(&name, cores(batches), 0.5, "cores"));
    }
    section.text(format!(
        "{changes} comings and goings a second with `PRESENCE_SCOPE=all` and {most} connections, {READERS} of which check that they \
         are told of all. How old a change is counts from the login's answer:"
    ));
    let row = |(how, result): &(&str, Value)| {
        let age = |name| cell(told(result, name).filter(|_| *how != "nobody is told"));
        vec![(*how).to_owned(), cell(cores(result)), age("p50"), age("p99")]
    };
    section.table(&["", "cores used by the gateways", "age of a change p50, ms", "p99"], results.iter().map(row));
    // Where nobody is told, the generator misses what it expects.
    for (how, result) in results.iter().skip(1) {
        section.check(&format!("comings and goings {how}"), result);
    }
    Ok(())
}

/// The lists of online users, when there are many.
fn online(site: &Site, section: &mut Section, members: usize, users: usize) -> Result<()> {
    site.add_users(DATABASE, (users - members) as u64)?;
    site.list_online(users)?;
    let mut ask = |request: &str, rate: &str| -> Result<Value> {
        let (label, part) = (format!("lists of {users} online users, {request}"), PART.to_string());
        let args = ["--requests", request, "--preload", "0", "--page", &part, "--rate", rate, "--duration", "20s"];
        let result = site.loadtest(&label, "history", 0..2, &args)?;
        section.check(&label, &result);
        Ok(result)
    };
    let parts = ask("part_of_online_users", "20")?;
    let whole = ask("online_users", "2")?;
    let p99 = at(&parts, "/latency_ms/part_of_online_users/p99");
    let name = format!("part of the list of {} online users, p99", number(users as f64));
    section.figures.push(Figure::at_most(&name, p99, 20.0, "ms"));
    section.text(format!(
        "`get_online_users` with {} users online, 20 parts a second, and then two whole lists a second:",
        number(users as f64)
    ));
    let row = |name: &str, result: &Value, request: &str| {
        let ms = |percentile: &str| cell(at(result, &format!("/latency_ms/{request}/{percentile}")));
        vec![name.to_owned(), ms("p50"), ms("p99")]
    };
    let rows = [
        row(&format!("a part of {PART}"), &parts, "part_of_online_users"),
        row("the list without parts", &whole, "online_users"),
    ];
    section.table(&["", "p50, ms", "p99"], rows);
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

fn message(site: &Site, members: usize, count: usize) -> Result<Value> {
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
    site.loadtest(&label, "group", 0..count, &args)
}

/// Connects `watchers`, slowly because all who are connected are told of each, and then lets others come and go. Logins
/// and closed connections cost the gateways the same each time.
fn comings(site: &Site, watchers: usize, options: &[&str], how: &str) -> Result<Value> {
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
    site.loadtest(&label, "presence", 0..watchers + movers, &[&args[..], options].concat())
}
