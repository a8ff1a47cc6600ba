//! `chatctl import`: from a database as the original left it, with every quirk, into ours.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use devstack::original;
use sqlx::{Connection as _, PgConnection};

struct Site {
    url: String,
    db: PgConnection,
    report: PathBuf,
}

impl Site {
    /// The original's tables and the main backend's in one database.
    async fn new(label: &str) -> Site {
        let name = label.to_owned();
        let url = tokio::task::spawn_blocking(move || devstack::testing::fresh_database(&name).unwrap()).await.unwrap();
        let mut db = PgConnection::connect(&url).await.unwrap();
        for script in [original::MAIN_BACKEND, original::TABLES, original::USERS, original::QUIRKS] {
            sqlx::raw_sql(script).execute(&mut db).await.unwrap();
        }
        let report = std::env::temp_dir().join(format!("{label}-{}.tsv", uuid::Uuid::new_v4()));
        Site { url, db, report }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_chatctl"))
            .args(arguments)
            .current_dir("/")
            .env_clear()
            .env("DATABASE_URL", &self.url)
            .env("CHAT_ENCRYPTION_KEY", "a key for tests only, long enough")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    fn import<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let report = self.report.to_str().unwrap();
        let fixed = [
            "import",
            "original",
            "--from",
            &self.url,
            "--schema",
            "original",
            "--decode-entities",
            "--report",
            report,
        ];
        fixed.into_iter().chain(more.iter().copied()).collect()
    }

    async fn sql(&mut self, statement: &str) {
        sqlx::raw_sql(statement).execute(&mut self.db).await.unwrap();
    }

    /// The rows of a query, each as the text of one column.
    async fn rows(&mut self, query: &str) -> Vec<String> {
        sqlx::query_scalar(query).fetch_all(&mut self.db).await.unwrap()
    }
}

const NUMBERS: &str = "SELECT seq || ' ' || left(message_id::text, 4) FROM private_messages
                       WHERE conversation_id = 'conv_9_10' ORDER BY seq";

#[tokio::test]
async fn the_originals_tables_move_away_and_back() {
    let mut site = Site::new("moving").await;
    assert!(site.fail(&["migrate"]).contains("chatctl import move-tables"));
    let own: String = site.rows("SELECT current_user::text").await.remove(0);
    assert!(site.fail(&["import", "move-tables", "--role", &own]).contains("another role"));
    assert_eq!(site.succeed(&["import", "move-tables"]).lines().count(), 13);
    site.succeed(&["migrate"]);
    let schema = "SELECT table_schema || '' FROM information_schema.columns
                  WHERE table_name = 'private_messages' AND column_name = 'id'";
    assert_eq!(site.rows(schema).await, ["original"]);
    assert_eq!(site.succeed(&["import", "move-tables"]), "nothing to move\n");
    site.succeed(&["import", "move-tables", "--back"]);
    assert_eq!(site.rows(schema).await, ["public"]);
    site.sql("INSERT INTO private_messages (message_id, content) VALUES ('x', 'the original goes on')").await;
    site.succeed(&["import", "move-tables"]);
    assert_eq!(site.rows(schema).await, ["original"]);
    assert_eq!(site.succeed(&["migrate"]), "nothing to apply\n");
}

#[tokio::test]
async fn everything_that_fits_is_imported_and_the_rest_reported() {
    let mut site = Site::new("importing").await;
    site.succeed(&["import", "move-tables"]);
    assert!(site.fail(&site.import(&[])).contains("chatctl migrate"));
    site.succeed(&["migrate"]);
    site.succeed(&site.import(&["--dry-run"]));
    assert_eq!(site.rows("SELECT count(*)::text FROM private_messages").await, ["0"]);
    let of_messages = |report: &str| {
        let lines: BTreeSet<String> =
            report.lines().filter(|line| line.starts_with("private_messages")).map(str::to_owned).collect();
        lines
    };
    let expected = of_messages(&std::fs::read_to_string(&site.report).unwrap());

    site.succeed(&site.import(&[]));
    let report = std::fs::read_to_string(&site.report).unwrap();
    assert_eq!(of_messages(&report), expected, "a dry run tells what will not fit");
    for line in [
        "private_messages\tthe sender id is not a number\t7",
        "private_messages\tto oneself\t8",
        "private_messages\twith an id that another row has\t9",
        "private_messages\tdeleted for everyone\t10",
        "private_messages\tof a group that is not there\t15",
        "group_chats\twithout a creator that is a number, and without members\t5",
        "group_members\tcould not send messages, and can now\t3",
        "group_members\twith another role, a member now\t3",
        "group_members\tthe user id is not a number\t6",
        "message_reactions\tto a message that is not here\t3",
        "message_reactions\tempty or of more than 10 characters\t5",
        "message_deletions\tof a message that is not here\t2",
        "conversation_deletions\tof a conversation without messages, or somebody else's\t2",
        "conversations\ta participant id is not a number\t2",
        "communities\tits external_ref is not kept\t1",
        "event_queue\tof a message, which is replayed by itself\t2",
    ] {
        assert!(report.lines().any(|found| found == line), "{line}\n{report}");
    }
    assert_eq!(
        site.rows(NUMBERS).await,
        ["1 3333", "2 1111", &format!("3 {}", held("msg_1762000000000_k3j9x2")), "4 2222"]
    );
    let one = |query: &str| query.to_owned();
    for (query, expected) in [
        // The replies by held ids; those to nothing and to elsewhere.
        (one("SELECT count(*)::text FROM private_messages WHERE reply_to_message_id IS NOT NULL"), "2"),
        (
            one("SELECT string_agg(held_id, ', ' ORDER BY held_id COLLATE \"C\") FROM held_message_ids"),
            "18, draft #17 (ü), msg_1762000000000_k3j9x2",
        ),
        (
            one(
                "SELECT string_agg(held_id || '=' || left(conversation_id, 10), ' ' ORDER BY held_id) FROM held_conversation_ids",
            ),
            "conv_user-9_user-10=conv_9_10 dm-1-3=conv_1_3 dm-3-4=conv_3_4 general=group_",
        ),
        (one("SELECT reaction FROM message_reactions"), "❤️"),
        (
            one(
                "SELECT string_agg(user_id || ' ' || role, ', ' ORDER BY user_id) FROM group_members WHERE group_id LIKE 'group\\_91%'",
            ),
            "1 owner, 2 admin, 3 member",
        ),
        (
            one(
                "SELECT string_agg(m.user_id || ' ' || role, ', ' ORDER BY m.user_id) FROM group_members m JOIN group_chats g USING (group_id) WHERE name = 'General' AND g.community_id = 'c-1'",
            ),
            "2 owner, 3 member",
        ),
        (one("SELECT user_id::text FROM group_members WHERE group_id LIKE 'group\\_2222%' AND role = 'owner'"), "4"),
        (one("SELECT count(*)::text FROM group_chats WHERE deleted_at IS NOT NULL"), "1"),
        (
            one(
                "SELECT string_agg(kind::text, '' ORDER BY created_at) FROM private_messages WHERE recipient_id IS NULL",
            ),
            "121",
        ),
        (one("SELECT pinned_by::text FROM private_messages WHERE pinned_at IS NOT NULL"), "2"),
        (one("SELECT to_char(edited_at, 'HH24:MI') FROM private_messages WHERE edited_at IS NOT NULL"), "10:05"),
        // 10 has read up to the second, 9 up to the third, and these were delivered; 10 has one still to come.
        (
            one(
                "SELECT string_agg(user_id || ':' || read_seq || ':' || delivered_seq, ' ' ORDER BY user_id) FROM conversation_members WHERE conversation_id = 'conv_9_10'",
            ),
            "9:3:4 10:2:3",
        ),
        (
            one(
                "SELECT string_agg(user_id || ':' || cleared_seq, ' ' ORDER BY user_id) FROM conversation_members WHERE conversation_id = 'conv_1_2'",
            ),
            "1:0 2:1",
        ),
        (
            one(
                "SELECT bool_and(read_seq = 2 AND delivered_seq = 2)::text FROM conversation_members WHERE conversation_id LIKE 'group\\_91%'",
            ),
            "true",
        ),
        (
            one(
                "SELECT count(*)::text FROM message_deletions d JOIN private_messages p USING (message_id, conversation_id, seq)",
            ),
            "1",
        ),
        (one("SELECT count(*)::text FROM event_queue WHERE user_id = 9 AND delivered_at IS NULL"), "1"),
        (one("SELECT role || is_muted FROM community_members WHERE user_id = 3"), "membertrue"),
        (one("SELECT total_xp::text FROM user_community_progress"), "120"),
        (one("SELECT count(*)::text FROM community_challenge_events"), "1"),
        (one("SELECT last_seen_at::text FROM user_status WHERE user_id = 9"), "2025-11-05 08:00:00+00"),
    ] {
        assert_eq!(
            site.rows(&query)
                .await
                .first()
                .map(|found| found.split("group_").next().unwrap().to_owned()
                    + if found.contains("=group_") { "group_" } else { "" })
                .as_deref(),
            Some(expected),
            "{query}"
        );
    }
    site.succeed(&site.import(&["--verify"]));

    // Finds what is wrong, and where.
    site.sql("UPDATE private_messages SET content = content || content WHERE message_id::text LIKE '1111%'").await;
    assert!(site.fail(&site.import(&["--verify"])).contains("1 differences"));
    assert!(std::fs::read_to_string(&site.report).unwrap().contains("verify\twith another text\t1"));
}

/// How older ids begin here.
fn held(id: &str) -> String {
    shared::held_ids::message_id(id).unwrap().0.to_string()[..4].to_owned()
}

#[tokio::test]
async fn an_import_is_repeated_resumed_and_brought_up_to_date() {
    let mut site = Site::new("repeating").await;
    site.succeed(&["import", "move-tables"]);
    site.succeed(&["migrate"]);
    // Interrupted in the middle: it continues where it stopped.
    site.succeed(&site.import(&["--dry-run"]));
    site.sql(include_str!("../src/commands/import/schema.sql")).await;
    site.sql(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken off'; END $$;
         CREATE TRIGGER fail BEFORE INSERT ON chat_import.staged FOR EACH ROW WHEN (NEW.source_id = 5) EXECUTE FUNCTION fail()",
    )
    .await;
    assert!(site.fail(&site.import(&["--batch", "2"])).contains("broken off"));
    site.sql("DROP TRIGGER fail ON chat_import.staged").await;
    let again = site.run(&site.import(&["--batch", "2"]));
    assert!(again.status.success(), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stderr).contains("broken off after 4"), "{again:?}");
    site.succeed(&site.import(&["--verify"]));

    let state = "SELECT string_agg(message_id || ' ' || conversation_id || ' ' || seq || coalesce(edited_at::text, ''), ',' ORDER BY conversation_id, seq)
                 FROM private_messages";
    let before = site.rows(state).await;
    site.succeed(&site.import(&[]));
    assert_eq!(site.rows(state).await, before, "a second run changes nothing");

    // What was added meanwhile: one more, one that belongs before others, an edit, one removed reaction.
    site.sql(
        "INSERT INTO original.private_messages (message_id, conversation_id, sender_id, recipient_id, content, created_at) VALUES
             ('ee000000-0000-4000-8000-000000000000', 'conv_10_9', '9', '10', 'new', '2025-11-20 10:00:00'),
             ('ff000000-0000-4000-8000-000000000000', 'conv_10_9', '9', '10', 'late', '2025-11-01 09:30:00');
         UPDATE original.private_messages SET content = 'changed', is_edited = TRUE, edited_at = '2025-11-20', updated_at = '2025-11-20'
             WHERE message_id LIKE '2222%';
         UPDATE original.private_messages SET is_deleted = TRUE, deleted_for_everyone = TRUE, deleted_at = '2025-11-20' WHERE message_id LIKE '5555%'",
    )
    .await;
    site.succeed(&site.import(&["--since", "2025-11-19T00:00:00Z"]));
    let expected =
        ["1 3333", "2 ff00", "3 1111", &format!("4 {}", held("msg_1762000000000_k3j9x2")), "5 2222", "6 ee00"];
    let found = site.rows(NUMBERS).await;
    // The late one was created now, so it is among the recent changes.
    assert_eq!(found, expected);
    site.succeed(&site.import(&["--verify"]));
    assert_eq!(
        site.rows("SELECT count(*)::text FROM private_messages WHERE message_id::text LIKE '5555%'").await,
        ["0"]
    );

    // Communities and reactions are updated, too, if only the import wrote them.
    site.sql(
        "UPDATE original.user_community_progress SET total_xp = 999;
         UPDATE original.community_members SET is_muted = FALSE;
         DELETE FROM original.community_members WHERE user_id = '2';
         UPDATE original.communities SET name = 'Renamed';
         DELETE FROM original.message_reactions",
    )
    .await;
    site.succeed(&site.import(&["--since", "2025-11-19T00:00:00Z"]));
    let about = "SELECT (SELECT total_xp FROM user_community_progress) || ' ' || (SELECT name FROM communities) || ' '
                     || (SELECT count(*) FROM community_members WHERE is_muted) || ' '
                     || (SELECT count(*) FROM community_members) || ' ' || (SELECT count(*) FROM message_reactions)";
    assert_eq!(site.rows(about).await, ["999 Renamed 0 1 0"]);
    site.sql("UPDATE user_community_progress SET total_xp = 1500; UPDATE original.user_community_progress SET total_xp = 1000").await;
    site.succeed(&site.import(&[]));
    assert_eq!(site.rows("SELECT total_xp::text FROM user_community_progress").await, ["1500"]);

    // All runs of one import have the same options.
    let mut raw = site.import(&[]);
    raw.retain(|argument| *argument != "--decode-entities");
    assert!(site.fail(&raw).contains("--decode-entities was given"));
    assert!(site.fail(&site.import(&["--verify", "--time-zone", "Europe/Berlin"])).contains("--time-zone was UTC"));

    // A message that the new server deleted is not imported again, and does not count as a difference.
    site.sql("DELETE FROM private_messages WHERE message_id::text LIKE 'ee00%'").await;
    assert!(site.fail(&site.import(&["--verify"])).contains("difference"), "lost, and not deleted");
    site.sql(
        "UPDATE conversations SET version = version + 1 WHERE conversation_id = 'conv_9_10';
         DELETE FROM community_members",
    )
    .await;
    site.succeed(&site.import(&[]));
    assert_eq!(site.rows("SELECT count(*)::text FROM community_members").await, ["0"]);
    let expected = &expected[..5];
    assert_eq!(site.rows(NUMBERS).await, expected);
    site.succeed(&site.import(&["--verify"]));
    let report = std::fs::read_to_string(&site.report).unwrap();
    assert!(report.contains("imported, and deleted here since"), "{report}");
    site.sql("DELETE FROM original.private_messages WHERE message_id LIKE 'ff00%'").await;
    site.succeed(&site.import(&["--verify"]));
    let report = std::fs::read_to_string(&site.report).unwrap();
    assert!(report.contains("imported, and gone from the source since"), "{report}");

    // Once the new server has written in a conversation, nothing in it is changed any more.
    site.sql(
        "UPDATE conversations SET version = version + 1 WHERE conversation_id = 'conv_9_10';
         UPDATE original.private_messages SET content = 'too late', edited_at = now() WHERE message_id LIKE '2222%'",
    )
    .await;
    site.succeed(&site.import(&[]));
    assert_eq!(
        site.rows("SELECT edited_at::date::text FROM private_messages WHERE message_id::text LIKE '2222%'").await,
        ["2025-11-20"]
    );
    assert_eq!(site.rows(NUMBERS).await, expected);
}

#[tokio::test]
async fn the_newest_reaction_left_is_the_one_that_stays() {
    let mut site = Site::new("reacting").await;
    site.succeed(&["import", "move-tables"]);
    site.succeed(&["migrate"]);
    site.succeed(&site.import(&[]));
    let reactions = "SELECT user_id || ' ' || reaction FROM message_reactions ORDER BY user_id";
    assert_eq!(site.rows(reactions).await, ["9 ❤️"], "of two");
    site.sql("DELETE FROM original.message_reactions WHERE reaction = '❤️'").await;
    site.succeed(&site.import(&[]));
    assert_eq!(site.rows(reactions).await, ["9 👍"], "the older one, after the newer one was taken back");
    // Whatever the batches: the newest may be read first.
    site.sql(
        "INSERT INTO original.message_reactions (message_id, user_id, reaction, created_at) VALUES
             ('msg_1762000000000_k3j9x2', '9', '🎉', '2025-11-03'), ('msg_1762000000000_k3j9x2', '9', '😀', '2025-11-02')",
    )
    .await;
    site.succeed(&site.import(&["--batch", "1"]));
    assert_eq!(site.rows(reactions).await, ["9 🎉"]);
    // Not where the new server wrote.
    site.sql(
        "UPDATE conversations SET version = version + 1 WHERE conversation_id = 'conv_9_10';
         DELETE FROM original.message_reactions",
    )
    .await;
    site.succeed(&site.import(&[]));
    assert_eq!(site.rows(reactions).await, ["9 🎉"]);
}

#[tokio::test]
async fn a_column_that_comes_later_changes_no_digest() {
    let mut site = Site::new("widening").await;
    site.succeed(&["import", "move-tables"]);
    site.succeed(&["migrate"]);
    site.succeed(&site.import(&[]));
    let mut widening = String::new();
    for table in ["communities", "community_members", "user_community_progress", "private_messages", "conversations"] {
        widening += &format!("ALTER TABLE {table} ADD COLUMN of_a_later_migration TEXT NOT NULL DEFAULT 'x';");
    }
    site.sql(&widening).await;
    // Nor does a session that prints times otherwise.
    let database: String = site.rows("SELECT current_database()::text").await.remove(0);
    site.sql(&format!("ALTER DATABASE \"{database}\" SET TimeZone = 'Asia/Tokyo'")).await;
    site.sql(
        "UPDATE original.user_community_progress SET total_xp = 999;
         UPDATE original.communities SET name = 'Renamed';
         UPDATE original.community_members SET is_muted = FALSE;
         DELETE FROM original.community_members WHERE user_id = '2'",
    )
    .await;
    site.succeed(&site.import(&[]));
    let about = "SELECT (SELECT total_xp FROM user_community_progress) || ' ' || (SELECT name FROM communities) || ' '
                     || (SELECT count(*) FROM community_members WHERE is_muted) || ' ' || (SELECT count(*) FROM community_members)";
    assert_eq!(site.rows(about).await, ["999 Renamed 0 1"]);
    site.succeed(&site.import(&["--verify"]));
}
