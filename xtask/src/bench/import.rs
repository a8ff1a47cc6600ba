//! The time of `chatctl import original` for a database of the original server with a million messages.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use devstack::{Durability, Postgres, Scratch, original, ports, secrets};

use super::section::Section;
use super::setup::Setup;
use super::target::number;

const DATABASE: &str = "import";
const USERS: u32 = 5_000;
const GROUPS: u32 = 200;
const MEMBERS: u32 = 30;

pub fn measure(setup: &Setup) -> Result<Section> {
    let messages = setup.sizes.imported;
    let scratch = Scratch::new("bench-import")?;
    let dir = scratch.dir();
    let password = secrets::password()?;
    let mut postgres =
        Postgres::open(&setup.programs.postgres, dir, ports::free_one()?, &password, Durability::Durable)?;
    postgres.start()?;
    let url = postgres.create_database(DATABASE)?;
    let file = dir.join("fill.sql");
    std::fs::write(&file, [original::MAIN_BACKEND, original::TABLES, &fill(messages)].join("\n"))?;
    println!("==> a database of the original with {messages} messages");
    postgres.run_file(DATABASE, &file)?;

    let report = dir.join("report.tsv");
    let import: [&str; 8] = [
        "import",
        "original",
        "--from",
        &url,
        "--schema",
        "original",
        "--report",
        report.to_str().context("a folder whose name is not UTF-8")?,
    ];
    let steps: [(&str, Vec<&str>); 5] = [
        ("move-tables", vec!["import", "move-tables"]),
        ("migrate", vec!["migrate"]),
        ("import", import.to_vec()),
        ("import, a second time", import.to_vec()),
        ("verify", [&import[..], &["--verify"]].concat()),
    ];
    let mut rows = Vec::new();
    for (name, arguments) in steps {
        let start = Instant::now();
        let mut chatctl = Command::new(setup.bin_dir.join("chatctl"));
        chatctl.args(arguments).env("DATABASE_URL", &url).env("CHAT_ENCRYPTION_KEY", &password);
        let status = chatctl.status().with_context(|| format!("running chatctl for {name}"))?;
        if !status.success() {
            bail!("{name} failed ({status})");
        }
        rows.push(vec![name.to_owned(), number(start.elapsed().as_secs_f64())]);
    }
    let mut section = Section::new("Import of the original");
    section.text(format!(
        "`chatctl import original` of {} messages, from a schema of the same PostgreSQL.",
        number(f64::from(messages))
    ));
    section.table(&["step", "s"], rows);
    Ok(section)
}

/// Four of five messages are direct ones; the others are written by members of their group. A tenth refer to the
/// message before, which is in another conversation, so that the import drops the reference. A twentieth have a reaction, and one
/// in fifty is deleted for one user.
fn fill(messages: u32) -> String {
    let id = |n: &str| format!("md5(({n})::text)::uuid::text");
    let (message, group) = (id("n"), id(&format!("-1 - n % {GROUPS}")));
    format!(
        "INSERT INTO users_auth (user_id, username, email)
             SELECT n, 'user' || n, 'user' || n || '@example.org' FROM generate_series(1, {USERS}) n;
         INSERT INTO group_chats (group_id, group_name, created_by_user_id, max_members, created_at)
             SELECT {group}, 'Group ' || n, n * 7 % {USERS} + 1, 100, now() - interval '2 years'
             FROM generate_series(0, {GROUPS} - 1) n;
         INSERT INTO group_members (group_id, user_id, role, joined_at)
             SELECT {group}, (n * 7 + m * 11) % {USERS} + 1, CASE WHEN m = 0 THEN 'admin' ELSE 'member' END, now() - interval '2 years'
             FROM generate_series(0, {GROUPS} - 1) n, generate_series(0, {MEMBERS} - 1) m;
         INSERT INTO private_messages
                 (message_id, conversation_id, sender_id, recipient_id, content, encrypted_content, encryption_iv,
                  is_encrypted, is_read, reply_to, is_edited, created_at, is_group_message)
             SELECT {message}, CASE WHEN grouped THEN {group} ELSE 'conv_' || sender || '_' || other END, sender,
                 CASE WHEN grouped THEN {group} ELSE other::text END,
                 'Message ' || n || ': ' || repeat(md5(n::text) || ' ', (n % 6)::int + 1),
                 repeat(md5(n::text), 7), md5(n::text), true, n % 10 > 0,
                 CASE WHEN n % 10 = 3 THEN {before} END, n % 40 = 0,
                 now() - interval '1 year' + n * interval '20 seconds', grouped
             FROM (
                 SELECT n, n % 5 = 0 AS grouped,
                     CASE WHEN n % 5 = 0 THEN (n % {GROUPS} * 7 + n / 7 % {MEMBERS} * 11) % {USERS} + 1 ELSE n / 9 % {USERS} + 1 END AS sender,
                     (n / 9 + 1 + n % 3) % {USERS} + 1 AS other
                 FROM generate_series(1, {messages}::bigint) n
             ) numbered;
         INSERT INTO message_reactions (message_id, user_id, reaction)
             SELECT message_id, sender_id, '👍' FROM private_messages WHERE id % 20 = 0;
         INSERT INTO message_deletions (message_id, user_id)
             SELECT message_id, sender_id FROM private_messages WHERE id % 50 = 0;
         VACUUM ANALYZE;",
        before = id("n - 1"),
    )
}
