//! The binary against a real Postgres: migrations, users, tokens.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

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
