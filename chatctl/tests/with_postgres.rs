//! The binary against a real Postgres: migrations, users, tokens.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use sqlx::{Connection as _, PgConnection};

fn chatctl(database_url: &str, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_chatctl"))
        .args(arguments)
        .current_dir("/")
        .env_clear()
        .env("DATABASE_URL", database_url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn run(database_url: &str, arguments: &[&str]) -> Output {
    chatctl(database_url, arguments).wait_with_output().unwrap()
}

fn succeed(database_url: &str, arguments: &[&str]) -> String {
    let output = run(database_url, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fail(database_url: &str, arguments: &[&str]) -> String {
    let output = run(database_url, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Runs a statement, and returns the text of the first row if there is one.
fn query(database_url: &str, sql: &'static str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = runtime.block_on(async {
        let mut connection = PgConnection::connect(database_url).await.unwrap();
        sqlx::query_scalar(sql).fetch_optional(&mut connection).await.unwrap()
    });
    found.unwrap_or_default()
}

#[test]
fn several_migrations_at_once_apply_each_migration_once() {
    let database = devstack::testing::fresh_database("migrate").unwrap();
    let at_once: Vec<Child> = (0..4).map(|_| chatctl(&database, &["migrate"])).collect();
    let mut applied = Vec::new();
    for child in at_once {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let stdout = String::from_utf8(output.stdout).unwrap();
        applied.extend(stdout.lines().filter(|line| line.starts_with('0')).map(str::to_owned));
    }
    let folder = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations")).unwrap();
    let files = folder.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "sql")).count();
    assert!(files > 0);
    assert_eq!(applied.len(), files, "{applied:?}");
    assert_eq!(succeed(&database, &["migrate"]), "nothing to apply\n");
}

#[test]
fn users_are_made_once_and_found_by_name() {
    let database = devstack::testing::fresh_database("users").unwrap();
    succeed(&database, &["migrate"]);
    let alice = succeed(&database, &["user", "add", "alice"]);
    let bob = succeed(&database, &["user", "add", "bob", "--display-name", "Bob B."]);
    assert_eq!(succeed(&database, &["user", "add", "alice"]), alice);
    assert_eq!(succeed(&database, &["user", "add", "bob"]), bob);
    let (alice, bob) = (alice.trim(), bob.trim());
    assert_eq!(succeed(&database, &["user", "list"]), format!("{alice}\talice\talice\n{bob}\tbob\tBob B.\n"));

    assert_eq!(succeed(&database, &["user", "follow", "alice", bob]), "done\n");
    assert_eq!(succeed(&database, &["user", "follow", alice, "bob"]), "was so already\n");
    assert_eq!(succeed(&database, &["user", "block", "bob", "alice"]), "done\n");
    assert_eq!(succeed(&database, &["user", "unblock", "bob", "alice"]), "done\n");
    assert_eq!(succeed(&database, &["user", "unblock", "bob", "alice"]), "was so already\n");

    let secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldCE=";
    let token = succeed(&database, &["token", "bob", "--jwt-secret", secret]);
    assert_eq!(token.trim().split('.').count(), 3);

    assert!(fail(&database, &["user", "follow", "alice", "nobody"]).contains("no user nobody"));
    assert!(fail(&database, &["user", "add", "12"]).contains("user id"));
    assert!(fail(&database, &["token", "bob"]).contains("JWT_SECRET"));
    let password = "geheim";
    let wrong = format!("postgres://u:{password}@127.0.0.1:1/x");
    assert!(!fail(&wrong, &["user", "list"]).contains(password));
}

/// The main backend's tables as they are, and as they must not be.
#[test]
fn the_main_backends_real_tables_fit_and_what_does_not_is_named() {
    use devstack::original;
    let database = devstack::testing::fresh_database("main_backend").unwrap();
    let sql = |statement: &str| {
        let url = database.clone();
        let statement = statement.to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            use sqlx::Connection as _;
            let mut db = sqlx::PgConnection::connect(&url).await.unwrap();
            sqlx::raw_sql(&statement).execute(&mut db).await.unwrap();
        });
    };
    sql(original::MAIN_BACKEND);
    sql(original::USERS);
    succeed(&database, &["migrate"]);
    let users = succeed(&database, &["user", "list"]);
    assert!(users.contains("9\tuser9\tNina Nine\n10\tuser10\tTom\n"), "{users}");
    let added = succeed(&database, &["user", "add", "carol", "--display-name", "Carol"]);
    assert!(succeed(&database, &["user", "list"]).contains(&format!("{}\tcarol\tCarol\n", added.trim())));

    let check = |columns: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_chatctl"))
            .args(["config", "check", "worker"])
            .current_dir("/")
            .env_clear()
            .env("DATABASE_URL", &database)
            .env("CHAT_ENCRYPTION_KEY", "a key for tests only, long enough")
            .env("PROFILE_COLUMNS", columns)
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(check(""), (true, String::new()));
    sql(
        "ALTER TABLE user_profile_info RENAME user_id_serial TO member_id; ALTER TABLE users_auth RENAME email TO mail",
    );
    let missing = "column user_profile_info.user_id or user_profile_info.user_id_serial is missing; column users_auth.email is missing";
    assert!(fail(&database, &["migrate"]).contains(missing));
    let (usable, problems) = check("");
    assert!(!usable && problems.contains(missing), "{problems}");
    assert!(check("nickname=x").1.contains("PROFILE_COLUMNS"));

    // Changed by hand.
    sql("ALTER TABLE users_auth RENAME mail TO email");
    let migrate = |columns: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chatctl"));
        command.arg("migrate").current_dir("/").env_clear().env("DATABASE_URL", &database);
        let output = command.env("PROFILE_COLUMNS", columns).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(migrate("user_id=member_id, display_name=last_name"), (true, String::new()));
    assert!(succeed(&database, &["user", "list"]).contains("9\tuser9\tNine\n"));
    let (done, problem) = migrate("user_id=member_id, display_name=nickname");
    assert!(!done && problem.contains("nickname"), "{problem}");
}

#[test]
fn the_retention_of_a_conversation_is_set_shown_and_recorded() {
    let database = devstack::testing::fresh_database("retention").unwrap();
    succeed(&database, &["migrate"]);
    let retention = |more: &[&'static str]| [&["conversation", "retention", "conv_1_2"], more].concat();
    assert!(fail(&database, &retention(&[])).contains("no conversation conv_1_2"));
    query(&database, "INSERT INTO conversations (conversation_id) VALUES ('conv_1_2')");
    assert_eq!(succeed(&database, &retention(&[])), "default\n");
    for keep in ["30d", "forever", "default"] {
        assert_eq!(succeed(&database, &retention(&[keep])), format!("{keep}\n"));
        assert_eq!(succeed(&database, &retention(&[])), format!("{keep}\n"));
    }
    let recorded = "SELECT count(*)::text FROM audit_log WHERE action = 'conversation.retention'";
    assert_eq!(query(&database, recorded), "3");
}

#[test]
fn status_shows_tables_and_how_they_grow() {
    let database = devstack::testing::fresh_database("sizes").unwrap();
    succeed(&database, &["migrate"]);
    query(
        &database,
        "INSERT INTO table_sizes SELECT current_date - days, 'private_messages', 1, 0 FROM unnest(ARRAY[2, 9, 11]) AS days",
    );
    // There is no Redis, so that the command fails after showing the rest.
    let output = run(&database, &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let tables = status["tables"].as_array().unwrap();
    let messages = tables.iter().find(|table| table["name"] == "private_messages").unwrap();
    let bytes = messages["heapBytes"].as_f64().unwrap() + messages["indexBytes"].as_f64().unwrap();
    // The newest of at least a week ago, which was the end of that day.
    let per_day = messages["bytesPerDay"].as_f64().unwrap();
    assert!(bytes / 9.1 <= per_day && per_day <= bytes / 7.9, "{messages}");
    assert!(tables.iter().any(|table| table["name"] == "conversations" && table["bytesPerDay"].is_null()));
    let text = String::from_utf8(run(&database, &["status"]).stdout).unwrap();
    assert!(text.contains("table    private_messages: 0.0 MB and ") && text.contains(" more a day"), "{text}");
}
