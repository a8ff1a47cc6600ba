//! The reading queries on a large database, as Postgres itself times them. The statements are exactly those in `.sqlx`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::section::Section;
use super::setup::{Setup, Sizes};
use super::site::Site;
use super::target::{Figure, number};

const DATABASE: &str = "history";
/// Runs of each statement; the median counts.
const ROUNDS: usize = 7;
const PAGE: u32 = 50;
/// Messages in each conversation of the user; every second one is the user's own.
const UNREAD: u32 = 70;

/// One request of a client, and its cost.
#[derive(Debug)]
pub struct Reading {
    pub name: &'static str,
    /// The first time, when less of it was in memory.
    pub first_ms: f64,
    /// The median, of the slower of Postgres' two ways to plan a prepared statement.
    pub ms: f64,
    pub buffers: u64,
    /// Tables of messages or conversations that were scanned completely.
    pub scanned: Vec<String>,
}

pub fn measure(setup: &Setup) -> Result<Section> {
    let sizes = &setup.sizes;
    let site = Site::start(setup, 2)?;
    println!("==> a database of {} messages", sizes.messages);
    let begin = Instant::now();
    site.create_database(DATABASE)?;
    let file = site.dir().join("history.sql");
    std::fs::write(&file, fill(sizes))?;
    site.postgres.run_file(DATABASE, &file)?;
    println!("==> filled in {:.0} s", begin.elapsed().as_secs_f32());
    let readings = readings(&site, &setup.workspace.root, sizes)?;
    let mut section = Section::new("Reading");
    section.figures = vec![
        Figure::at_most("history page, database time", slowest(&readings, "page "), 5.0, "ms"),
        Figure::at_most("list of conversations, database time", slowest(&readings, "list"), 5.0, "ms"),
    ];
    section.text(format!(
        "Database time (planning and execution, median) of all statements of one request, in a database of {} messages, {} of them \
         in one conversation, and a user with {} conversations, {UNREAD} unread in each.",
        number(sizes.messages as f64),
        number(sizes.long_conversation as f64),
        number(sizes.conversations as f64)
    ));
    let row = |reading: &Reading| {
        let by = match reading.scanned.as_slice() {
            [] => "indexes".to_owned(),
            scanned => format!("**scans {}**", scanned.join(", ")),
        };
        vec![reading.name.to_owned(), number(reading.ms), reading.buffers.to_string(), by]
    };
    section.table(&["request", "ms", "buffers", "by"], readings.iter().map(row));
    Ok(section)
}

/// The time of the slowest request with these words in its name.
pub fn slowest(readings: &[Reading], words: &str) -> Option<f64> {
    readings.iter().filter(|reading| reading.name.contains(words)).map(|reading| reading.ms).reduce(f64::max)
}

fn readings(site: &Site, root: &Path, sizes: &Sizes) -> Result<Vec<Reading>> {
    let statements = statements(root)?;
    let (long, middle) = ("'conv_1_2'", sizes.long_conversation / 2);
    let top = i64::MAX;
    let limit = PAGE + 1;
    let scope = ("visible_count!", format!("{long}, 1, 2"));
    let page = |before: String| ("ORDER BY p.seq DESC OFFSET $5", format!("{long}, 1, 0, {before}, 0, {limit}"));
    let readings: [(&'static str, Vec<(&str, String)>); 4] = [
        ("newest page of the long conversation", vec![scope.clone(), page(top.to_string())]),
        ("page in its middle, by `beforeSeq`", vec![scope.clone(), page(middle.to_string())]),
        (
            "page in its middle, by `afterSeq`",
            vec![scope, ("ORDER BY p.seq ASC OFFSET", format!("{long}, 1, {middle}, {top}, 0, {limit}"))],
        ),
        (
            "list of conversations, first page",
            vec![("page.sender_id = $1 THEN page.recipient_id", format!("1, {PAGE}, 0, 200"))],
        ),
    ];
    readings.into_iter().map(|(name, parts)| read(site, DATABASE, &statements, name, &parts)).collect()
}

/// Returns the SQL for a long conversation of the users 1 and 2, and shorter ones of user 1 with everybody else.
fn fill(sizes: &Sizes) -> String {
    let (long, others) = (sizes.long_conversation, sizes.conversations - 1);
    let short = (sizes.messages - long) / others;
    let users = sizes.conversations + 1;
    // Ids like those of version 7: ascending, so that the indexes look like real ones.
    let id = "(lpad(to_hex(1760000000000 + n), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' \
              || substr(md5(n::text), 4, 15))::uuid";
    let columns = "message_id, conversation_id, seq, sender_id, recipient_id, content, iv, mac, key_id, created_at";
    let sealed = "decode(repeat(md5(n::text), 7), 'hex'), decode(md5(n::text), 'hex'), \
                  decode(repeat(md5(n::text), 2), 'hex'), 1, now() - interval '1 year' + n * interval '10 seconds'";
    format!(
        "INSERT INTO users_auth (username) SELECT 'user' || n FROM generate_series(1, {users}) n;
         INSERT INTO conversations (conversation_id, last_seq, message_count, version, last_message_at)
             SELECT 'conv_1_' || u, CASE WHEN u = 2 THEN {long} ELSE {short} END, CASE WHEN u = 2 THEN {long} ELSE {short} END,
                 1, now() - u * interval '1 minute'
             FROM generate_series(2, {users}) u;
         INSERT INTO conversation_members (user_id, conversation_id, read_seq)
             SELECT m, 'conv_1_' || u, CASE WHEN u = 2 THEN {long} ELSE {short} END - 2 * {UNREAD}
             FROM generate_series(2, {users}) u, unnest(ARRAY[1, u]) m;
         -- Those of everybody else, so that one user's are a small part of the tables, as in real life.
         INSERT INTO conversations (conversation_id, last_seq, message_count, version, last_message_at)
             SELECT 'conv_' || u || '_' || u + k, 1, 1, 1, now() - k * interval '1 minute'
             FROM generate_series(2, {users}) u, generate_series(1, 50) k;
         INSERT INTO conversation_members (user_id, conversation_id)
             SELECT m, 'conv_' || u || '_' || u + k
             FROM generate_series(2, {users}) u, generate_series(1, 50) k, unnest(ARRAY[u, u + k]) m;
         -- Interleaved, as they would have come.
         INSERT INTO private_messages ({columns})
             SELECT {id}, 'conv_1_' || u, seq, CASE WHEN seq % 2 = 0 THEN 1 ELSE u END,
                 CASE WHEN seq % 2 = 0 THEN u ELSE 1 END, {sealed}
             FROM (
                 SELECT u, seq, row_number() OVER (ORDER BY seq, u) AS n
                 FROM generate_series(3, {users}) u, generate_series(1, {short}) seq
             ) numbered;
         INSERT INTO private_messages ({columns})
             SELECT {id}, 'conv_1_2', seq, 1 + seq % 2, 2 - seq % 2, {sealed}
             FROM (SELECT seq, {others}::bigint * {short} + seq AS n FROM generate_series(1, {long}) seq) numbered;
         VACUUM ANALYZE;"
    )
}

pub fn statements(root: &Path) -> Result<Vec<String>> {
    let dir = root.join(".sqlx");
    let mut statements = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
        let data: Value = serde_json::from_str(&std::fs::read_to_string(entry?.path())?)?;
        statements.push(data["query"].as_str().context("a query")?.to_owned());
    }
    Ok(statements)
}

/// Measures one request: the statements that contain these words, with these arguments.
pub fn read(
    site: &Site,
    database: &str,
    statements: &[String],
    name: &'static str,
    parts: &[(&str, String)],
) -> Result<Reading> {
    let mut reading = Reading { name, first_ms: 0.0, ms: 0.0, buffers: 0, scanned: Vec::new() };
    for (words, arguments) in parts {
        let found: Vec<&String> = statements.iter().filter(|statement| statement.contains(words)).collect();
        let [statement] = found.as_slice() else {
            bail!("{} statements in .sqlx have `{words}`", found.len());
        };
        let plans = ["force_custom_plan", "force_generic_plan"];
        let mut slowest: Option<(f64, u64)> = None;
        for (place, mode) in plans.into_iter().enumerate() {
            let (first_ms, ms, buffers, scanned) = explain(site, database, statement, arguments, mode)?;
            if place == 0 {
                reading.first_ms += first_ms;
            }
            reading.scanned.extend(scanned);
            slowest =
                Some(slowest.map_or((ms, buffers), |slowest| if ms > slowest.0 { (ms, buffers) } else { slowest }));
        }
        let (ms, buffers) = slowest.unwrap_or_default();
        reading.ms += ms;
        reading.buffers += buffers;
    }
    reading.scanned.sort();
    reading.scanned.dedup();
    println!("    {name}: {:.2} ms", reading.ms);
    Ok(reading)
}

/// Returns the time of planning and execution in milliseconds, the first and the median, the buffers touched, and the
/// tables scanned. Only the total is timed: reading the clock for each row of each step would dominate the result.
fn explain(
    site: &Site,
    database: &str,
    statement: &str,
    arguments: &str,
    mode: &str,
) -> Result<(f64, f64, u64, Vec<String>)> {
    let mut sql = format!("SET plan_cache_mode = {mode};\nPREPARE reading AS {statement};\n");
    for _ in 0..ROUNDS {
        let _ = writeln!(sql, "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE reading({arguments});");
    }
    let output = site.postgres.query(database, &sql)?;
    let mut plans = Vec::new();
    for document in serde_json::Deserializer::from_str(&output).into_iter::<Value>() {
        plans.push(document.context("a plan")?);
    }
    let time = |plan: &Value| {
        let part = |name: &str| plan.pointer(&format!("/0/{name}")).and_then(Value::as_f64).unwrap_or(0.0);
        part("Planning Time") + part("Execution Time")
    };
    let mut times: Vec<f64> = plans.iter().map(time).collect();
    let first = times.first().copied().context("no times")?;
    times.sort_by(f64::total_cmp);
    let last = plans.last().and_then(|plan| plan.pointer("/0/Plan")).context("no plan")?;
    let number = |name: &str| last[name].as_u64().unwrap_or(0);
    let mut scanned = Vec::new();
    find_scans(last, &mut scanned);
    let median = times.get(times.len() / 2).copied().context("no times")?;
    Ok((first, median, number("Shared Hit Blocks") + number("Shared Read Blocks"), scanned))
}

fn find_scans(plan: &Value, scanned: &mut Vec<String>) {
    if plan["Node Type"] == "Seq Scan"
        && let Some(table @ ("private_messages" | "conversations" | "conversation_members")) =
            plan["Relation Name"].as_str()
    {
        scanned.push(table.to_owned());
    }
    plan["Plans"].as_array().into_iter().flatten().for_each(|plan| find_scans(plan, scanned));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_are_found_in_the_depth() {
        let plan = serde_json::json!({"Node Type": "Limit", "Plans": [
            {"Node Type": "Index Scan", "Relation Name": "conversations"},
            {"Node Type": "Sort", "Plans": [{"Node Type": "Seq Scan", "Relation Name": "private_messages"}]},
            {"Node Type": "Seq Scan", "Relation Name": "users_auth"},
        ]});
        let mut scanned = Vec::new();
        find_scans(&plan, &mut scanned);
        assert_eq!(scanned, ["private_messages"]);
    }
}
