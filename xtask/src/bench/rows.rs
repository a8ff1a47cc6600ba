//! A database of many messages, as after years: what a message and a page cost in it, and what it takes on the disk.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::reading::{self, Reading};
use super::section::{Section, cell};
use super::setup::Setup;
use super::site::{Shape, Site};
use super::target::{Figure, at, number};
use crate::interrupt;

const EMPTY: &str = "rows_empty";
const DATABASE: &str = "rows";
const MAX_USERS: u64 = 100_000;
const MAX_CONVERSATIONS: u64 = 1_000_000;
/// Inserted by one statement.
const ROWS_PER_SLICE: u64 = 500_000;
/// Pairs that write to each other, from the busiest conversation to a quiet one.
const PAIRS: u64 = 50;
const RATES: [u32; 2] = [200, 2_000];
const PAGE: u32 = 50;
/// Not configured, so that workers do not mistake the contents for their own, which they could not open.
const KEY_OF_NOBODY: i16 = 99;

/// How many rows of what there are.
#[derive(Clone, Copy, Debug)]
struct Extent {
    messages: u64,
    users: u64,
    conversations: u64,
}

/// What a message cost at a rate, with this number of messages stored.
struct Cost {
    stored: u64,
    rate: u32,
    result: Value,
}

pub fn measure(setup: &Setup) -> Result<Section> {
    let messages = setup.sizes.rows;
    let users = (messages / 10).clamp(2 * PAIRS, MAX_USERS) / 2 * 2;
    let conversations = (messages / 20).clamp(users / 2, MAX_CONVERSATIONS);
    let extent = Extent { messages, users, conversations };
    let mut site = Site::start(setup, 2)?;
    let mut costs = Vec::new();
    create(&site, EMPTY, extent)?;
    message_costs(&mut site, EMPTY, extent, 0, &mut costs)?;
    create(&site, DATABASE, extent)?;
    let filled_in = fill(&site, extent)?;
    let stored = count(&site)?;
    let sizes = sizes(&site)?;
    // Before anything else warms the caches.
    let readings = readings(&site, &setup.workspace.root, extent)?;
    message_costs(&mut site, DATABASE, extent, stored, &mut costs)?;
    let mut section = Section::new("Growth of the database");
    for cost in &costs {
        section.check(&format!("{} per second, {} stored", cost.rate, cost.stored), &cost.result);
    }
    let page = reading::slowest(&readings, "page of");
    section.figures = vec![Figure::at_most("history page in the grown database, database time", page, 5.0, "ms")];
    section.text(about(extent, stored, filled_in));
    tables(&mut section, stored, &sizes, &readings, &costs);
    Ok(section)
}

fn create(site: &Site, database: &str, extent: Extent) -> Result<()> {
    site.create_database(database)?;
    site.add_users(database, extent.users)
}

/// The participants of the conversation of this rank, the busiest being 0: one of each half of the users.
fn participants(extent: Extent, rank: u64) -> (u64, u64) {
    let half = extent.users / 2;
    let (first, second) = (rank % half, (rank % half + rank / half) % half);
    (first + 1, half + second + 1)
}

/// Inserts messages as they would have come, interleaved over two years. The conversation of rank `r` has a share of
/// `1 / (r + 1)`, as by Zipf's law. Returns the seconds that it took.
fn fill(site: &Site, extent: Extent) -> Result<f64> {
    println!("==> storing {} messages in {} conversations", extent.messages, extent.conversations);
    let begin = Instant::now();
    let run = |sql: &str| site.postgres.query(DATABASE, &format!("SET synchronous_commit = off; {sql}"));
    run(&plan(extent))?;
    run(WITHOUT_INDEXES)?;
    let slices = extent.messages.div_ceil(ROWS_PER_SLICE);
    for slice in 0..slices {
        interrupt::check()?;
        run(&messages_of(slice, slices))?;
        if (slice + 1) % 20 == 0 || slice + 1 == slices {
            println!("    {} of {slices} parts after {:.0} s", slice + 1, begin.elapsed().as_secs_f32());
        }
    }
    run(WITH_INDEXES)?;
    println!("    indexes after {:.0} s", begin.elapsed().as_secs_f32());
    site.postgres.query(DATABASE, "VACUUM (FREEZE, ANALYZE)")?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Conversations with their participants and number of messages.
fn plan(extent: Extent) -> String {
    let Extent { messages, users, conversations } = extent;
    let half = users / 2;
    let harmonic: f64 = (1..=conversations).map(|rank| 1.0 / rank as f64).sum();
    format!(
        "CREATE UNLOGGED TABLE bench_plan AS
             SELECT r AS rank, a, b, 'conv_' || a || '_' || b AS id,
                 greatest(1, round({messages} / ((r + 1) * {harmonic})))::bigint AS messages, random() AS phase
             FROM generate_series(0, {conversations} - 1) r
             CROSS JOIN LATERAL (SELECT r % {half} + 1 AS a, {half} + (r % {half} + r / {half}) % {half} + 1 AS b) pair;
         INSERT INTO conversations (conversation_id, last_seq, message_count, version, last_message_at)
             SELECT id, messages, messages, messages + 1, now() - phase / messages * interval '2 years' FROM bench_plan;
         INSERT INTO conversation_members (user_id, conversation_id, delivered_seq, read_seq)
             SELECT m, id, messages, greatest(0, messages - (rank % 7)) FROM bench_plan, unnest(ARRAY[a, b]) m;"
    )
}

/// Building indexes at the end takes a fraction of the time.
const WITHOUT_INDEXES: &str = "
    CREATE TABLE bench_indexes AS
        SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition, c.conname, i.indisprimary
        FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid
        WHERE i.indrelid = 'private_messages'::regclass;
    ALTER TABLE private_messages DISABLE TRIGGER USER;
    DO $$
    DECLARE i RECORD;
    BEGIN
        FOR i IN SELECT * FROM bench_indexes LOOP
            IF i.conname IS NULL THEN
                EXECUTE format('DROP INDEX %s', i.name);
            ELSE
                EXECUTE format('ALTER TABLE private_messages DROP CONSTRAINT %I', i.conname);
            END IF;
        END LOOP;
    END $$;";

/// Messages come in the order of their ids, but at random places of the other indexes, whose pages are then about 70 %
/// full.
const WITH_INDEXES: &str = "
    SET maintenance_work_mem = '1GB';
    DO $$
    DECLARE i RECORD; definition TEXT;
    BEGIN
        FOR i IN SELECT * FROM bench_indexes LOOP
            definition := i.definition;
            IF NOT i.indisprimary THEN
                definition := regexp_replace(definition, '( WHERE .*)?$', ' WITH (fillfactor = 70)\\1');
            END IF;
            EXECUTE definition;
            IF i.conname IS NOT NULL THEN
                EXECUTE format('ALTER TABLE private_messages ADD CONSTRAINT %I %s USING INDEX %I', i.conname,
                    CASE WHEN i.indisprimary THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, i.conname);
            END IF;
        END LOOP;
    END $$;
    ALTER TABLE private_messages ENABLE TRIGGER USER;
    DROP TABLE bench_plan, bench_indexes;";

/// The messages of one slice of time. Contents have 1 to 20 blocks of 16 bytes, 4.6 on average, and each message has a
/// `clientMessageId`, as the SDK sends it.
fn messages_of(slice: u64, slices: u64) -> String {
    format!(
        "INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, mac, key_id,
             client_message_id, created_at, version)
         SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(h, 1, 3) || '8'
                 || substr(h, 4, 15))::uuid,
             id, seq, CASE WHEN is_first THEN a ELSE b END, CASE WHEN is_first THEN b ELSE a END,
             decode(repeat(h, blocks), 'hex'), decode(h, 'hex'), decode(h || h, 'hex'), {KEY_OF_NOBODY}, h::uuid::text, at, seq + 1
         FROM (
             SELECT p.*, seq, h, now() - (1 - (seq - phase) / messages) * interval '2 years' AS at,
                 get_byte(decode(h, 'hex'), 0) % 2 = 0 AS is_first,
                 least(20, 1 + floor(-4 * ln((get_byte(decode(h, 'hex'), 1) + 1) / 257.0)))::int AS blocks
             FROM bench_plan p
             CROSS JOIN LATERAL generate_series(messages * {slice} / {slices} + 1, messages * ({slice} + 1) / {slices}) seq
             CROSS JOIN LATERAL (SELECT md5(rank || '.' || seq) AS h) hashed
             OFFSET 0
         ) m
         ORDER BY at"
    )
}

fn count(site: &Site) -> Result<u64> {
    let count = site.postgres.query(DATABASE, "SELECT count(*) FROM private_messages")?;
    count.trim().parse().context("the number of messages")
}

/// The bytes of the tables and the indexes of messages, by name.
fn sizes(site: &Site) -> Result<Vec<(String, u64)>> {
    let sql = "SELECT 'the table of messages', pg_table_size('private_messages')
         UNION ALL SELECT 'its index `' || indexrelid::regclass || '`', pg_relation_size(indexrelid)
             FROM pg_index WHERE indrelid = 'private_messages'::regclass
         UNION ALL SELECT 'conversations and their members, with indexes',
             pg_total_relation_size('conversations') + pg_total_relation_size('conversation_members')
         UNION ALL SELECT 'the whole database', pg_database_size(current_database())";
    let output = site.postgres.query(DATABASE, &format!("COPY ({sql}) TO STDOUT"))?;
    let parse = |line: &str| {
        let (name, bytes) = line.split_once('\t').context("a size")?;
        Ok((name.to_owned(), bytes.trim().parse()?))
    };
    output.lines().filter(|line| !line.is_empty()).map(parse).collect()
}

fn readings(site: &Site, root: &Path, extent: Extent) -> Result<Vec<Reading>> {
    let statements = reading::statements(root)?;
    let conversation = |rank: u64| {
        let (a, b) = participants(extent, rank);
        (a, format!("'conv_{a}_{b}', {a}, {b}"), format!("'conv_{a}_{b}', {a}"))
    };
    let (busiest, ordinary) = (conversation(0), conversation(extent.conversations / 2));
    let longest = site.postgres.query(DATABASE, "SELECT max(last_seq) FROM conversations")?;
    let middle = longest.trim().parse::<u64>().context("the longest conversation")? / 2;
    let scope = |of: &(u64, String, String)| ("visible_count!", of.1.clone());
    let limit = PAGE + 1;
    let page = |of: &(u64, String, String), before: String| {
        ("ORDER BY p.seq DESC OFFSET $5", format!("{}, 0, {before}, 0, {limit}", of.2))
    };
    let newest = i64::MAX.to_string();
    let user = busiest.0;
    let readings: [(&'static str, Vec<(&str, String)>); 6] = [
        ("newest page of the longest conversation", vec![scope(&busiest), page(&busiest, newest.clone())]),
        ("page in its middle, by `beforeSeq`", vec![scope(&busiest), page(&busiest, middle.to_string())]),
        ("newest page of an ordinary conversation", vec![scope(&ordinary), page(&ordinary, newest)]),
        ("inbox, first page", vec![("\"total_unread!\"", format!("{user}, NULL, NULL, {limit}, 1000"))]),
        (
            "list of conversations, first page",
            vec![("page.sender_id = $1 THEN page.recipient_id", format!("{user}, {PAGE}, 0, 200"))],
        ),
        (
            "search of users among contacts",
            vec![("contact AS MATERIALIZED", format!("{user}, 'load', 20, 5000, 2000"))],
        ),
    ];
    readings.into_iter().map(|(name, parts)| reading::read(site, DATABASE, &statements, name, &parts)).collect()
}

fn message_costs(site: &mut Site, database: &str, extent: Extent, stored: u64, costs: &mut Vec<Cost>) -> Result<()> {
    site.reshape(database, Shape::default())?;
    // No user is in two of the first conversations, as many as half of the users.
    let step = extent.users / 2 / PAIRS;
    let users: Vec<u64> = (0..PAIRS).map(|pair| participants(extent, pair * step)).flat_map(|(a, b)| [a, b]).collect();
    for rate in RATES {
        let rate_text = rate.to_string();
        let args = ["--rate", &rate_text, "--duration", "20s", "--warmup", "5s", "--client-ids"];
        let label = format!("{rate} messages per second, {stored} stored");
        let result = site.loadtest_by(&users, &label, "direct", &args)?;
        costs.push(Cost { stored, rate, result });
    }
    Ok(())
}

fn about(extent: Extent, stored: u64, filled_in: f64) -> String {
    format!(
        "{} messages in {} direct conversations of {} users, the longest with a share of {:.0} %, as by Zipf's law; filled in {:.0} s. The \
         messages that are measured go to {PAIRS} of these conversations, from the busiest on.",
        number(stored as f64),
        number(extent.conversations as f64),
        number(extent.users as f64),
        100.0 / (1..=extent.conversations).map(|rank| 1.0 / rank as f64).sum::<f64>(),
        filled_in,
    )
}

fn tables(section: &mut Section, stored: u64, sizes: &[(String, u64)], readings: &[Reading], costs: &[Cost]) {
    let row = |cost: &Cost| {
        let figure = |path: &str| cell(at(&cost.result, path));
        let busy = at(&cost.result, "/postgres/busy_ms").zip(at(&cost.result, "/counts/acknowledged"));
        vec![
            number(cost.stored as f64),
            format!("{}/s", number(f64::from(cost.rate))),
            figure("/latency_ms/deliver/p50"),
            figure("/latency_ms/deliver/p99"),
            cell(busy.map(|(ms, messages)| ms / messages)),
            figure("/groups/postgres/cpu_seconds_per_1000"),
        ]
    };
    let heads = [
        "messages stored",
        "rate",
        "delivered p50, ms",
        "p99",
        "statements, ms per message",
        "Postgres' CPU, ms per message",
    ];
    section.table(&heads, costs.iter().map(row));
    let row = |reading: &Reading| {
        vec![reading.name.to_owned(), number(reading.first_ms), number(reading.ms), reading.buffers.to_string()]
    };
    section.table(&["request, database time", "the first time, ms", "median, ms", "buffers"], readings.iter().map(row));
    let row = |(name, bytes): &(String, u64)| {
        vec![name.clone(), number(*bytes as f64 / 1e6), number(*bytes as f64 / stored.max(1) as f64)]
    };
    section.table(&["disk", "MB", "bytes per message"], sizes.iter().map(row));
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn conversations_have_different_pairs_of_users() {
        let extent = Extent { messages: 0, users: 100, conversations: 2_500 };
        let pairs: HashSet<(u64, u64)> = (0..extent.conversations).map(|rank| participants(extent, rank)).collect();
        assert_eq!(pairs.len() as u64, extent.conversations);
        assert!(pairs.iter().all(|(a, b)| 1 <= *a && a < b && *b <= extent.users));
    }
}
