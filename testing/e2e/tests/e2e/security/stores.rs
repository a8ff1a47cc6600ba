//! A fleet that uses its stores as `deploy/` sets them up, and what can be found in the stores and the logs afterwards.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use devstack::wait::SOON;
use e2e::{Deployment, Options, Request};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn least_rights_are_enough_and_nothing_is_found_in_the_clear() -> Result<()> {
    let options = Options { least_rights: true, ..Options::default() };
    // The most detailed log level, including the libraries' lines.
    let options = options.with("LOG_LEVEL", "trace");
    let deployment = Deployment::start("rights", options)?;
    let marker = format!("plain{}", uuid());
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let (mut a, mut b) = (deployment.login(0, &alice).await?, deployment.login(1, &bob).await?);

    // One of each command with content.
    let send = json!({"type": "send_message", "recipientId": bob.id, "content": marker, "clientMessageId": "1"});
    let sent = a.request_ok(send).await?;
    b.expect("new_message", |event| event["content"] == marker, SOON).await?;
    let edit = json!({"type": "edit_message", "messageId": sent["messageId"], "content": format!("{marker} edited")});
    a.request_ok(edit).await?;
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob.id]});
    let group = a.request_ok(create).await?["groupId"].clone();
    b.close().await;
    for content in [format!("{marker} @everyone"), format!("@{} {marker}", bob.name)] {
        a.request_ok(json!({"type": "send_group_message", "groupId": group, "content": content})).await?;
    }
    a.request_ok(json!({"type": "send_announcement", "groupId": group, "content": marker})).await?;
    let history = json!({"type": "get_private_messages", "conversationId": sent["conversationId"]});
    for _ in 0..3 {
        let page = a.request_ok(history.clone()).await?;
        ensure!(page.to_string().contains(&marker), "the page is cached now: {page}");
    }
    let mut b = deployment.login(0, &bob).await?;
    b.expect("group_announcement", |event| event["content"] == marker, SOON).await?;
    a.send(json!({"type": "send_message", "recipientId": bob.id, "content": {"not": marker}})).await?;
    a.send_text(format!("no json {marker}")).await?;
    a.expect("error", |error| error["code"] == "INVALID_JSON", SOON).await?;

    for gateway in 0..2 {
        let url = deployment.fleet.gateways[gateway].url();
        let asked = Request::get("/api/conversations").bearer(&alice.token).send(&url).await?;
        ensure!(asked.status == 200 && asked.text().contains(&marker), "the last message is in the list");
    }

    refuses(&deployment)?;

    let secrets = deployment.fleet.secrets();
    let hidden = [&marker, &alice.token, &bob.token, &secrets.jwt_secret, &secrets.encryption_key];
    let dump = Command::new(deployment.postgres.psql().with_file_name("pg_dump"))
        .args(["--inserts", &deployment.postgres.url("chat")])
        .output()?;
    ensure!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    ensure!(contains(&dump.stdout, &alice.name), "the dump has the data");
    deployment.redis.command(&["CONFIG", "SET", "rdbcompression", "no"])?;
    deployment.redis.command(&["SAVE"])?;
    let rdb = std::fs::read(deployment.logs().join("redis/dump.rdb"))?;
    ensure!(contains(&rdb, "chat:conversation:"), "a page is cached");
    for secret in hidden {
        let shown = &secret[..8];
        ensure!(!contains(&dump.stdout, secret), "{shown}… is in PostgreSQL");
        ensure!(!contains(&rdb, secret), "{shown}… is in Redis");
    }
    let mut logs = 0;
    for file in std::fs::read_dir(deployment.logs())? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            logs += 1;
            let log = std::fs::read(&path)?;
            for secret in hidden.into_iter().chain([&alice.name]) {
                ensure!(!contains(&log, secret), "{}… is in {}", &secret[..5], path.display());
            }
        }
    }
    ensure!(logs >= 4, "{logs} logs");
    let log = std::fs::read_to_string(deployment.fleet.gateways[1].log_path())?;
    ensure!(log.contains("\"TRACE\"") && log.contains("warp"), "the libraries' lines are there");
    Ok(())
}

/// The servers' database users may do only what the servers need.
fn refuses(deployment: &Deployment) -> Result<()> {
    for statement in [
        "INSERT INTO users_auth (username) VALUES ('mallory')",
        "UPDATE users_auth SET password_hash = 'x'",
        "DELETE FROM jwt_revocation",
        "INSERT INTO user_follows VALUES (1, 2)",
        "UPDATE audit_log SET actor = 'nobody'",
        "DROP TABLE private_messages",
        "CREATE TABLE mine ()",
    ] {
        let refused = deployment.sql(&format!("SET ROLE chat_worker; {statement}"));
        let error = refused.err().with_context(|| format!("{statement} is to be refused"))?;
        let text = format!("{error:#}");
        ensure!(text.contains("permission denied") || text.contains("must be owner"), "{statement}: {text}");
    }
    for words in [
        &["FLUSHALL"][..],
        &["CONFIG", "GET", "*"],
        &["KEYS", "*"],
        &["ACL", "LIST"],
        &["GET", "other:key"],
        &["PUBLISH", "other", "x"],
        &["SHUTDOWN"],
        &["DEBUG", "SLEEP", "1"],
    ] {
        let dry_run: Vec<&str> = ["ACL", "DRYRUN", "chat"].into_iter().chain(words.iter().copied()).collect();
        let answer = deployment.redis.command(&dry_run)?;
        ensure!(answer.contains("has no permissions"), "{words:?}: {answer}");
    }
    Ok(())
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn uuid() -> String {
    let text = std::fs::read_to_string(Path::new("/proc/sys/kernel/random/uuid")).unwrap_or_default();
    text.chars().filter(char::is_ascii_hexdigit).collect()
}
