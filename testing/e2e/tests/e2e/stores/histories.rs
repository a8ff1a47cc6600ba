//! PostgreSQL goes back in time while Redis, the gateways and their connections stay: a restored dump, a standby that had not received
//! everything. The tests follow docs/backup.md.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::Client;
use devstack::fleet::READY_TIMEOUT;
use devstack::wait::SOON;
use devstack::{Scratch, testing, wait};
use e2e::{Deployment, Options, User};
use serde_json::{Value, json};
use tokio::time::Instant;

const BACK_WITHIN: Duration = Duration::from_secs(30);

/// Sends until it is stored; returns `message_sent`.
async fn stored(sender: &mut Client, to: &User, content: &str) -> Result<Value> {
    let end = Instant::now() + BACK_WITHIN;
    loop {
        let send = json!({"type": "send_message", "recipientId": to.id, "content": content});
        let answer = sender.request_within(send, BACK_WITHIN).await?;
        if answer["type"] == "message_sent" {
            return Ok(answer);
        }
        ensure!(answer["code"] == "SERVICE_UNAVAILABLE" && Instant::now() < end, "{content}: {answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn received(reader: &mut Client, sent: &Value) -> Result<Value> {
    Ok(reader.expect("new_message", |event| event["messageId"] == sent["messageId"], SOON).await?)
}

/// Returns the contents that the history shows.
async fn shown(reader: &mut Client, of: &User) -> Result<Vec<String>> {
    let page = reader.request_ok(json!({"type": "get_messages", "recipientId": of.id})).await?;
    let contents = page["messages"].as_array().context("messages")?.iter();
    Ok(contents.filter_map(|message| message["content"].as_str().map(str::to_owned)).collect())
}

/// Checks that messages after the restore reuse the lost numbers and reach both connected and new clients, and that no
/// lost message is shown.
async fn all_is_as_stored(
    (deployment, database): (&Deployment, &str),
    (alice, sender): (&User, &mut Client),
    (bob, reader): (&User, &mut Client),
    kept: &[&str],
) -> Result<()> {
    for content in ["new 1", "new 2"] {
        let sent = stored(sender, bob, content).await?;
        received(reader, &sent).await?;
    }
    let expected: Vec<&str> = kept.iter().copied().chain(["new 1", "new 2"]).collect();
    assert_eq!(shown(reader, alice).await?, expected);
    assert_eq!(shown(sender, bob).await?, expected);
    let numbers = "SELECT string_agg(seq::text, ' ' ORDER BY seq) FROM private_messages";
    let numbers = deployment.postgres.query(database, numbers)?;
    let expected_numbers: Vec<String> = (1..=expected.len()).map(|seq| seq.to_string()).collect();
    assert_eq!(numbers.trim(), expected_numbers.join(" "));
    let mut back = deployment.login(0, bob).await?;
    assert_eq!(shown(&mut back, alice).await?, expected);
    ensure!(reader.close_info().is_none() && sender.close_info().is_none(), "a connection was closed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_dump_shows_what_it_holds_and_what_comes_after() -> Result<()> {
    let mut deployment = Deployment::start("restored", Options { workers: 1, ..Options::default() })?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let (mut sender, mut reader) = (deployment.login(0, &alice).await?, deployment.login(1, &bob).await?);
    for content in ["kept 1", "kept 2"] {
        let sent = stored(&mut sender, &bob, content).await?;
        received(&mut reader, &sent).await?;
    }
    let program = |name: &str| Command::new(deployment.postgres.psql().with_file_name(name));
    let dump = deployment.logs().join("chat.dump");
    let run = |mut command: Command| -> Result<()> {
        let output = command.output()?;
        ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    let mut dumping = program("pg_dump");
    dumping.args(["--format=custom", "--file"]).arg(&dump).arg(deployment.postgres.url("chat"));
    run(dumping)?;
    // These are acknowledged, received and cached, but not in the dump.
    for content in ["lost 1", "lost 2", "lost 3"] {
        let sent = stored(&mut sender, &bob, content).await?;
        received(&mut reader, &sent).await?;
    }
    assert_eq!(shown(&mut reader, &alice).await?.len(), 5);
    let epoch_before = reader.session()["epoch"].clone();

    deployment.fleet.workers[0].stop()?;
    let restored = deployment.postgres.create_database("restored")?;
    let mut restoring = program("pg_restore");
    restoring.args(["--exit-on-error", "--no-owner", "--dbname", &restored]).arg(&dump);
    run(restoring)?;
    let mut migrating = Command::new(testing::bin_dir()?.join("chatctl"));
    migrating.arg("migrate").env("DATABASE_URL", &restored);
    run(migrating)?;
    let worker = &mut deployment.fleet.workers[0];
    let url = worker.spec().env.iter().find(|(name, _)| name == "DATABASE_URL").context("DATABASE_URL")?.1.clone();
    let url = url.into_string().ok().context("a URL")?;
    let (server, _) = url.rsplit_once('/').context("a database")?;
    worker.set("DATABASE_URL", &format!("{server}/restored"));
    worker.start()?;
    worker.wait_ready(READY_TIMEOUT)?;

    // Before anybody writes, so that clients load again what they hold.
    let told = reader.expect("epoch_changed", |_| true, BACK_WITHIN).await?;
    assert_ne!(told["epoch"], epoch_before);
    assert_eq!(deployment.login(0, &bob).await?.session()["epoch"], told["epoch"]);
    let before = shown(&mut reader, &alice).await?;
    assert_eq!(before, ["kept 1", "kept 2"]);
    all_is_as_stored((&deployment, "restored"), (&alice, &mut sender), (&bob, &mut reader), &["kept 1", "kept 2"]).await
}

/// Connections go to a standby, which accepts no writes, and is then promoted; it had not received the last messages.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_lacks_the_last_messages_serves_once_promoted() -> Result<()> {
    let mut deployment =
        Deployment::start("standby", Options { proxied: true, ..Options::default() }.with("COMMAND_TIMEOUT", "3s"))?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let (mut sender, mut reader) = (deployment.login(0, &alice).await?, deployment.login(1, &bob).await?);
    for content in ["kept 1", "kept 2"] {
        let sent = stored(&mut sender, &bob, content).await?;
        received(&mut reader, &sent).await?;
    }
    let scratch = Scratch::new("standby")?;
    let standby = deployment.postgres.replicate(scratch.dir())?;
    let has_all = || standby.query("chat", "SELECT count(*) FROM private_messages");
    wait::until("the standby is in step", SOON, || Ok((has_all()?.trim() == "2").then_some(())))?;
    // From here on it receives nothing.
    standby.query("postgres", "ALTER SYSTEM SET primary_conninfo = ''")?;
    standby.query("postgres", "SELECT pg_reload_conf()")?;
    let receivers = || standby.query("postgres", "SELECT count(*) FROM pg_stat_wal_receiver");
    wait::until("the standby is cut off", SOON, || Ok((receivers()?.trim() == "0").then_some(())))?;
    for content in ["lost 1", "lost 2", "lost 3"] {
        let sent = stored(&mut sender, &bob, content).await?;
        received(&mut reader, &sent).await?;
    }
    assert_eq!(shown(&mut reader, &alice).await?.len(), 5);
    // The address leads to the standby before its promotion: nothing can be stored meanwhile.
    let postgres = &deployment.network()?.worker_postgres;
    postgres.lead_to(standby.port());
    postgres.reset();
    let send = json!({"type": "send_message", "recipientId": bob.id, "content": "too early"});
    let answer = sender.request_within(send, BACK_WITHIN).await?;
    ensure!(answer["code"] == "SERVICE_UNAVAILABLE", "{answer}");
    standby.query("postgres", "SELECT pg_promote()")?;
    deployment.postgres = standby;
    all_is_as_stored((&deployment, "chat"), (&alice, &mut sender), (&bob, &mut reader), &["kept 1", "kept 2"]).await
}
