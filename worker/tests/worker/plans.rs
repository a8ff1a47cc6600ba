//! What the queries of a client's lists touch in a large database: buffers, not time, so that a bad plan shows on any machine.

use std::path::Path;

use serde_json::{Value, json};
use shared::crypto::Sealed;
use shared::ids::{GroupId, UserId};
use shared::redis::keys::Channel;
use sqlx::Row;
use uuid::Uuid;

use crate::groups::create;
use crate::harness::{Harness, Published};

/// Not configured, so that a worker which starts in the meantime does not mistake the rows for its own, sealed with
/// another key, and stop.
const KEY_OF_NOBODY: i16 = 99;

/// The statement in `.sqlx` that contains these words.
fn statement(words: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.sqlx");
    let queries = std::fs::read_dir(dir).unwrap().map(|entry| {
        let data: Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        data["query"].as_str().unwrap().to_owned()
    });
    let mut found: Vec<String> = queries.filter(|query| query.contains(words)).collect();
    assert_eq!(found.len(), 1, "statements with `{words}`");
    found.remove(0)
}

/// The plan of a statement that was executed with these arguments, and rolled back.
async fn explain(harness: &Harness, words: &str, arguments: &str, mode: &str) -> Value {
    let mut session = harness.db.acquire().await.unwrap();
    let script = format!(
        "BEGIN; SET LOCAL plan_cache_mode = {mode}; DEALLOCATE ALL; PREPARE plan AS {}; EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE plan({arguments})",
        statement(words)
    );
    let row = sqlx::raw_sql(&script).fetch_one(&mut *session).await.unwrap();
    let mut explained: Value = serde_json::from_str(&row.try_get_unchecked::<String, _>(0).unwrap()).unwrap();
    session.close().await.unwrap();
    explained[0]["Plan"].take()
}

/// The number of buffers that the statement touches with these arguments, for the worse of the two ways to plan a
/// prepared statement.
pub async fn buffers(harness: &Harness, words: &str, arguments: &str) -> u64 {
    let mut worst = 0;
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let plan = explain(harness, words, arguments, mode).await;
        let touched = plan["Shared Hit Blocks"].as_u64().unwrap() + plan["Shared Read Blocks"].as_u64().unwrap();
        println!("{words}: {touched} buffers, {mode}");
        worst = worst.max(touched);
    }
    worst
}

/// The number of rows that the statement reads of this table with these arguments, for the worse of the two ways to plan it.
pub async fn rows_read(harness: &Harness, words: &str, arguments: &str, table: &str) -> u64 {
    fn read(plan: &Value, table: &str) -> u64 {
        let of_table = plan["Relation Name"] == table;
        let per_loop = ["Actual Rows", "Rows Removed by Filter"].map(|rows| plan[rows].as_f64().unwrap_or(0.0));
        let own = if of_table { (per_loop[0] + per_loop[1]) * plan["Actual Loops"].as_f64().unwrap() } else { 0.0 };
        let parts = plan["Plans"].as_array().into_iter().flatten();
        own as u64 + parts.map(|part| read(part, table)).sum::<u64>()
    }
    let mut worst = 0;
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let plan = explain(harness, words, arguments, mode).await;
        let rows = read(&plan, table);
        println!("{words}: {rows} rows of {table}, {mode}");
        worst = worst.max(rows);
    }
    worst
}

pub async fn run(harness: &Harness, statements: &[&str]) {
    for statement in statements {
        sqlx::raw_sql(statement).execute(&harness.db).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// What the worker's statements have cost the database since it was made.
pub struct Cost {
    /// Touched, of tables and indexes.
    pub blocks: i64,
    /// Of changes, whether by an index or not.
    pub changes: i64,
    /// In statements, those of background jobs among them.
    pub active_ms: f64,
}

/// What a session of a worker did is counted at its end at the latest.
async fn end_sessions(harness: &Harness) {
    let end = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'chat-worker'";
    run(harness, &[end]).await;
}

pub async fn cost(harness: &Harness) -> Cost {
    end_sessions(harness).await;
    let (blocks, changes, active_ms) = sqlx::query_as(
        "SELECT (SELECT sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read) FROM pg_statio_user_tables)::bigint,
             (SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_user_tables WHERE relname = 'conversation_changes')::bigint,
             (SELECT active_time FROM pg_stat_database WHERE datname = current_database())",
    )
    .fetch_one(&harness.db)
    .await
    .unwrap();
    Cost { blocks, changes, active_ms }
}

/// Users with ids from 1000 on, named `u01000`, `u01001`…
pub async fn add_users(harness: &Harness, count: u32) {
    let last = 999 + count;
    let insert = format!(
        "INSERT INTO users_auth (user_id, username, email)
         SELECT n, 'u' || lpad(n::text, 5, '0'), n || '@example.org' FROM generate_series(1000, {last}) n"
    );
    run(harness, &[&insert]).await;
}

/// Adds one message from each of the first `count` of them to this user, a minute apart, newest first; every second one
/// is read.
pub async fn add_conversations(harness: &Harness, user: UserId, count: u32) {
    let last = 999 + count;
    let each = format!("generate_series(1000, {last}) n CROSS JOIN LATERAL (SELECT 'conv_{user}_' || n AS id) c");
    let at = "now() - n * interval '1 minute'";
    run(
        harness,
        &[
            &format!("INSERT INTO conversations (conversation_id, last_seq, message_count, version, last_message_at) SELECT id, 1, 1, 2, {at} FROM {each}"),
            &format!("INSERT INTO conversation_members (user_id, conversation_id, read_seq) SELECT {user}, id, n % 2 FROM {each}"),
            &format!("INSERT INTO conversation_members (user_id, conversation_id) SELECT n, id FROM {each}"),
            &format!(
                "INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, mac, key_id, created_at, version)
                 SELECT gen_random_uuid(), id, 1, n, {user}, '', '', '', {KEY_OF_NOBODY}, {at}, 2 FROM {each}"
            ),
            "VACUUM ANALYZE",
        ],
    )
    .await;
}

#[tokio::test]
async fn the_inbox_touches_what_its_page_shows() {
    let harness = Harness::start("plan_inbox").await;
    let alice = harness.user("alice").await;
    add_users(&harness, 3_000).await;
    add_conversations(&harness, alice, 3_000).await;
    // The contents are not sealed, so the page is empty, but its conversations are marked as quiet.
    harness.expect(alice, json!({"type": "get_inbox"}), "inbox").await;
    run(&harness, &["VACUUM ANALYZE"]).await;
    let inbox = |after: &str| format!("{alice}, {after}, 51, 1000");
    let first = buffers(&harness, "\"total_unread!\"", &inbox("NULL, NULL")).await;
    let deep = buffers(&harness, "\"total_unread!\"", &inbox("now() - interval '2000 minutes', 'conv_'")).await;
    // Looking all of them up takes five buffers per conversation.
    assert!(first.max(deep) < 4_500, "{first} and {deep}");
}

#[tokio::test]
async fn mentions_of_everyone_are_counted_without_a_look_at_each_block() {
    const MESSAGES: u64 = 20_000;
    let harness = Harness::start("plan_mentions").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let group = create(&harness, bob, &[alice]).await;
    add_users(&harness, 5_000).await;
    run(
        &harness,
        &[
            &format!(
                "INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, content, iv, mac, key_id, mentions, created_at, version)
                 SELECT gen_random_uuid(), '{group}', n, {bob}, '', '', '', {KEY_OF_NOBODY}, '{{0}}', now(), n + 1
                 FROM generate_series(1, {MESSAGES}) n"
            ),
            &format!("UPDATE conversations SET last_seq = {MESSAGES}, message_count = {MESSAGES}, version = {MESSAGES} + 1"),
            "INSERT INTO blocked_relationships (blocker_id, blocked_id)
             SELECT 1000 + n % 5000, 1000 + n / 5000 FROM generate_series(0, 24999) n WHERE n % 5000 <> n / 5000",
            "VACUUM ANALYZE",
        ],
    )
    .await;
    let count = async || buffers(&harness, "\"total_unread!\"", &format!("{alice}, NULL, NULL, 51, 1000")).await;
    let counted = count().await;
    harness.block(alice, bob).await;
    run(&harness, &["VACUUM ANALYZE"]).await;
    let blocked = count().await;
    // Two or more for each message when the blocks are looked up for each.
    assert!(counted.max(blocked) < 1_500, "{counted} and {blocked}");
}

#[tokio::test]
async fn finding_contacts_touches_few_of_many() {
    let harness = Harness::start("plan_finding").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    add_users(&harness, 20_000).await;
    add_conversations(&harness, alice, 3_000).await;
    let group = create(&harness, bob, &[]).await;
    let join = format!(
        "UPDATE group_chats SET max_members = 50000;
         INSERT INTO group_members (group_id, user_id, role) SELECT '{group}', n, 'member' FROM generate_series(1000, 18999) n
         UNION ALL SELECT '{group}', 10, 'member'"
    );
    run(
        &harness,
        &[&format!("INSERT INTO users_auth (user_id, username, email) VALUES (10, 'dave', 'd@example.org'); {join}")],
    )
    .await;
    run(&harness, &["VACUUM ANALYZE"]).await;
    // Some of the first, the last, and one who has no contacts.
    let many = buffers(&harness, "contact AS MATERIALIZED", &format!("{alice}, 'u', 20, 5000, 2000")).await;
    let crowd = buffers(&harness, "contact AS MATERIALIZED", "10, 'u', 20, 5000, 2000").await;
    assert!(many < 3_000, "{many}: of 3,000 conversations");
    assert!(crowd < 1_000, "{crowd}: of a group of 18,000");

    let find = async |user, query: &str| {
        let answer = harness.expect(user, json!({"type": "find_users", "query": query}), "users_found").await;
        let names =
            answer["users"].as_array().unwrap().iter().map(|found| found["username"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let dave = UserId(10);
    let expected: Vec<String> = (1000..1020).map(|n| format!("u{n:05}")).collect();
    assert_eq!((find(alice, "u").await, find(dave, "U").await), (expected.clone(), expected));
    assert_eq!(
        find(alice, "u0399").await,
        ["u03990", "u03991", "u03992", "u03993", "u03994", "u03995", "u03996", "u03997", "u03998", "u03999"]
    );
    assert_eq!(find(alice, "u04").await, [""; 0], "no contacts");
    assert_eq!(find(dave, "u1899").await.len(), 10);
    assert_eq!((find(dave, "u19").await, find(dave, "bo").await), (vec![], vec!["bob".to_owned()]));
    harness.block(UserId(1001), dave).await;
    harness.block(dave, UserId(1003)).await;
    assert_eq!(find(dave, "u0100").await[..3], ["u01000", "u01002", "u01004"]);
}

#[tokio::test]
async fn a_replay_reads_a_few_times_what_it_shows() {
    const LIMIT: u64 = 101;
    let harness = Harness::start("plan_replay").await;
    let alice = harness.user("alice").await;
    add_users(&harness, 2_000).await;
    add_conversations(&harness, alice, 2_000).await;
    run(
        &harness,
        &[
            "INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, mac, key_id, created_at, version)
             SELECT gen_random_uuid(), conversation_id, n, sender_id, recipient_id, '', '', '', key_id, now(), n + 1
             FROM private_messages, generate_series(2, 20) n",
            "UPDATE conversations SET last_seq = 20, message_count = 20, version = 21",
            "VACUUM ANALYZE",
        ],
    )
    .await;
    let missed = buffers(
        &harness,
        "OVER (\n                       PARTITION BY m.user_id",
        &format!("ARRAY[{alice}]::bigint[], {LIMIT}"),
    )
    .await;
    // 40,000 messages were missed, which take 48,000.
    assert!(missed < 3_000, "{missed}");
    let shown: Vec<Uuid> =
        sqlx::query_scalar("SELECT message_id FROM private_messages LIMIT 100").fetch_all(&harness.db).await.unwrap();
    let shown: Vec<String> = shown.iter().map(Uuid::to_string).collect();
    let readers = vec![alice.to_string(); shown.len()];
    let arguments = format!("'{{{}}}', '{{{}}}'", readers.join(","), shown.join(","));
    let visible = buffers(
        &harness,
        "SELECT p.conversation_id, p.seq FROM private_messages p WHERE p.message_id = r.message_id",
        &arguments,
    )
    .await;
    assert!(visible < 1_500, "{visible}");
}

/// Gives every stored message a content that the worker can open.
async fn seal_all(harness: &Harness) {
    let ids: Vec<Uuid> =
        sqlx::query_scalar("SELECT message_id FROM private_messages").fetch_all(&harness.db).await.unwrap();
    let sealed: Vec<Sealed> = ids.iter().map(|id| harness.keyring.seal(*id, &[b'x'; 100])).collect();
    let update = "UPDATE private_messages p SET content = s.content, iv = s.iv, mac = s.mac, key_id = s.key_id
                  FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[], $5::smallint[]) AS s (id, content, iv, mac, key_id)
                  WHERE p.message_id = s.id";
    sqlx::query(update)
        .bind(&ids)
        .bind(sealed.iter().map(|sealed| sealed.ciphertext.clone()).collect::<Vec<_>>())
        .bind(sealed.iter().map(|sealed| sealed.iv.to_vec()).collect::<Vec<_>>())
        .bind(sealed.iter().map(|sealed| sealed.mac.to_vec()).collect::<Vec<_>>())
        .bind(sealed.iter().map(|sealed| sealed.key_id).collect::<Vec<_>>())
        .execute(&harness.db)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_sync_reads_each_change_about_once() {
    const CONVERSATIONS: u32 = 300;
    let harness = Harness::start("plan_sync").await;
    let alice = harness.user("alice").await;
    add_users(&harness, CONVERSATIONS).await;
    add_conversations(&harness, alice, CONVERSATIONS).await;
    run(
        &harness,
        &[
            "INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, mac, key_id, created_at, version)
             SELECT gen_random_uuid(), conversation_id, n, sender_id, recipient_id, '', '', '', key_id, now(), n + 1
             FROM private_messages, generate_series(2, 10) n",
            "INSERT INTO conversation_changes (conversation_id, version, kind, seq, message_id)
             SELECT conversation_id, 11 + seq, 1, seq, message_id FROM private_messages",
            "UPDATE conversations SET last_seq = 10, message_count = 10, version = 21",
            "UPDATE conversations SET changes_lost = 0",
        ],
    )
    .await;
    seal_all(&harness).await;
    run(&harness, &["VACUUM ANALYZE"]).await;
    let positions: serde_json::Map<String, Value> = (1000..1000 + CONVERSATIONS)
        .map(|n| (format!("conv_{alice}_{n}"), json!({"seq": 10, "version": 11})))
        .collect();
    let before = cost(&harness).await;
    let (_, rounds) = harness.sync(alice, Value::Object(positions)).await;
    let after = cost(&harness).await;
    let read = after.changes - before.changes;
    println!("{rounds} rounds, {} blocks, {} ms", after.blocks - before.blocks, after.active_ms - before.active_ms);
    let changes = i64::from(CONVERSATIONS) * 10;
    assert!((changes..changes * 5 / 4).contains(&read), "{read} of {changes} changes");
    let asked = (1000..1000 + CONVERSATIONS).flat_map(|n| (1..=10).map(move |seq| (n, seq)));
    let (ids, seqs): (Vec<_>, Vec<_>) = asked.map(|(n, seq)| (format!("conv_{alice}_{n}"), format!("{seq}"))).unzip();
    let arguments = format!("{alice}, '{{{}}}', '{{{}}}'", ids.join(","), seqs.join(","));
    let hidden = buffers(&harness, "array_agg(i.seq) AS seqs", &arguments).await;
    assert!(hidden < u64::from(CONVERSATIONS) * 12, "{hidden}: looked up for each conversation, not for each message");
}

#[tokio::test]
async fn conversations_are_listed_by_what_the_page_shows() {
    let harness = Harness::start("plan_conversations").await;
    let alice = harness.user("alice").await;
    add_users(&harness, 3_000).await;
    add_conversations(&harness, alice, 3_000).await;
    // Listing them marks them as quiet.
    harness.expect(alice, json!({"type": "get_conversations"}), "conversations").await;
    run(&harness, &["VACUUM ANALYZE"]).await;
    let list = |offset: u32| format!("{alice}, 51, {offset}, 1000");
    let first = buffers(&harness, "count(*) FROM live) AS", &list(0)).await;
    let deep = buffers(&harness, "count(*) FROM live) AS", &list(200)).await;
    // Each of the conversations takes four, where all are looked up.
    assert!(first < 2_000 && deep < 4_000, "{first} and {deep}");
}

/// A small group of alice and bob, and a large one.
async fn small_and_large(harness: &Harness, alice: UserId, bob: UserId) -> Vec<GroupId> {
    add_users(harness, 10_000).await;
    let mut groups = Vec::new();
    for members in [10, 10_000] {
        let group = create(harness, alice, &[bob]).await;
        let join = format!(
            "UPDATE group_chats SET max_members = 50000 WHERE group_id = '{group}';
             INSERT INTO group_members (group_id, user_id, role)
             SELECT '{group}', n, 'member' FROM generate_series(1000, {}) n",
            1000 + members - 3
        );
        run(harness, &[&join]).await;
        groups.push(group);
    }
    run(harness, &["VACUUM ANALYZE"]).await;
    groups
}

#[tokio::test]
async fn a_new_member_is_shown_the_first_members_of_a_large_group() {
    let harness = Harness::start("plan_adding").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let mut costs = Vec::new();
    for (group, members) in small_and_large(&harness, alice, bob).await.into_iter().zip([10, 10_000]) {
        let before = cost(&harness).await;
        let add = json!({"type": "add_group_member", "groupId": group, "userId": carol});
        harness.expect(alice, add, "member_added").await;
        costs.push(cost(&harness).await.blocks - before.blocks);
        let is_told = |published: &Published| {
            let event = published.json();
            published.channel == Channel::User(carol)
                && event["type"] == "group_created"
                && event["groupId"] == json!(group)
        };
        let created = harness.wait_for("the new member is told of the group", is_told).await.json();
        let shown = created["members"].as_array().unwrap();
        assert_eq!((shown.len(), &created["memberCount"]), ((members + 1).min(200), &json!(members + 1)), "{created}");
        assert_eq!(shown[0]["role"], "owner");
    }
    println!("{costs:?}");
    // All members are counted, by an index. Looking at each would take 30,000 blocks.
    assert!(costs[1] < costs[0] + 2_000, "{costs:?}");
}

#[tokio::test]
async fn a_reaction_costs_the_same_in_a_large_group() {
    const REACTIONS: usize = 20;
    let harness = Harness::start("plan_reaction").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let mut costs = Vec::new();
    for group in small_and_large(&harness, alice, bob).await {
        let send = json!({"type": "send_group_message", "groupId": group, "content": "x"});
        let message = harness.expect(alice, send, "group_message_sent").await["messageId"].clone();
        let before = cost(&harness).await;
        for number in 0..REACTIONS {
            let reaction = if number % 2 == 0 { "x" } else { "y" };
            let add = json!({"type": "add_group_reaction", "messageId": message, "reaction": reaction});
            harness.expect(bob, add, "group_reaction_added").await;
        }
        let after = cost(&harness).await;
        costs.push(after.blocks - before.blocks);
        println!("{} blocks, {} ms", after.blocks - before.blocks, after.active_ms - before.active_ms);
    }
    // Nothing is read or written for each of the members.
    assert!(costs[1] < costs[0] * 5 / 4, "{costs:?}");
}

/// The conversations are locked meanwhile.
#[tokio::test]
async fn what_marks_conversations_as_quiet_looks_at_few_messages() {
    const MESSAGES: u32 = 2_000;
    const MARKED: &str = "SELECT count(*) FROM conversation_members WHERE quiet_since IS NOT NULL";
    let harness = Harness::start("plan_marking").await;
    let alice = harness.user("alice").await;
    add_users(&harness, 100).await;
    add_conversations(&harness, alice, 100).await;
    let add = format!(
        "INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, mac, key_id, created_at, version)
         SELECT gen_random_uuid(), conversation_id, n, sender_id, recipient_id, '', '', '', key_id, created_at, n + 1
         FROM private_messages, generate_series(2, {MESSAGES}) n"
    );
    let hide = format!(
        "INSERT INTO message_deletions (user_id, conversation_id, seq, message_id)
         SELECT {alice}, conversation_id, seq, message_id FROM private_messages"
    );
    let count =
        format!("UPDATE conversations SET last_seq = {MESSAGES}, message_count = {MESSAGES}, version = {MESSAGES} + 1");
    run(&harness, &[&add, &hide, &count, "VACUUM ANALYZE"]).await;
    let arguments = format!("{alice}, 100, 100");
    let read = async || rows_read(&harness, "AS has_unread", &arguments, "private_messages").await;
    let marked = async || {
        let mark =
            format!("PREPARE mark AS {}; EXECUTE mark({arguments}); DEALLOCATE mark", statement("AS has_unread"));
        run(&harness, &[&mark]).await;
        sqlx::query_scalar::<_, i64>(MARKED).fetch_one(&harness.db).await.unwrap()
    };
    let hidden = read().await;
    assert!(hidden < 50_000, "{hidden} of 200,000");
    assert_eq!(marked().await, 0, "whether there is a visible one is not known");
    run(&harness, &["DELETE FROM message_deletions WHERE seq > 1990", "VACUUM ANALYZE"]).await;
    let visible = read().await;
    assert!(visible < 15_000, "{visible}");
    assert_eq!(marked().await, 100);
}

#[tokio::test]
async fn a_communitys_first_members_are_found_without_the_others() {
    let harness = Harness::start("plan_community").await;
    add_users(&harness, 30_000).await;
    let join = "INSERT INTO community_members (community_id, user_id, role)
                SELECT 'c1', n, CASE n WHEN 20000 THEN 'owner' ELSE 'member' END FROM generate_series(1000, 30999) n";
    run(&harness, &[join, "VACUUM ANALYZE"]).await;
    let words = "AS \"last_seen_at?\", m.is_muted";
    let rows = rows_read(&harness, words, "'c1', 5000", "community_members").await;
    assert!(rows < 6_000, "{rows} of 30,000 are read and sorted");
}

#[tokio::test]
async fn too_many_members_are_rejected_without_counting_the_groups_of_all() {
    let harness = Harness::start("plan_too_many").await;
    let alice = harness.user("alice").await;
    add_users(&harness, 1_000).await;
    let join = [
        "INSERT INTO group_chats (group_id, name, description, created_by, max_members)
         SELECT 'group_' || gen_random_uuid(), 'g', '', 1000, 5000 FROM generate_series(1, 200)",
        "INSERT INTO group_members (group_id, user_id, role)
         SELECT group_id, n, 'member' FROM generate_series(1000, 1999) n, group_chats",
        "VACUUM ANALYZE",
    ];
    run(&harness, &join).await;
    let named: Vec<String> = (1000..2000).map(|n| n.to_string()).collect();
    let memberships = async || -> i64 {
        end_sessions(&harness).await;
        let read =
            "SELECT (idx_tup_fetch + seq_tup_read)::bigint FROM pg_stat_user_tables WHERE relname = 'group_members'";
        sqlx::query_scalar(read).fetch_one(&harness.db).await.unwrap()
    };
    let before = memberships().await;
    let create = json!({"type": "create_group", "groupName": "x", "initialMembers": named});
    let refused = harness.refused(alice, create, "TOO_MANY_MEMBERS").await;
    let read = memberships().await - before;
    println!("{read} rows were visible");
    assert_eq!(refused["details"], "`initialMembers` and you are 1001 members, and the group may have 50");
    assert!(read < 20_000, "{read} of 200,000 memberships");
}
