//! A restore, as docs/backup.md describes it. What people write must not be missing in the dump, so it is made with the
//! workers stopped; but of the conversation of two others, whom nobody else knows, it lacks all but the first message.
//! Cached messages of that conversation must not be shown.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use devstack::Server;
use e2e::{Deployment, User};
use serde_json::json;
use tokio::runtime::Handle;

use crate::shared::GONE_WITHIN;

const SHOWN_WITHIN: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(200);

/// Two who lose messages.
pub struct Losers {
    one: User,
    other: User,
}

/// Has messages written, read and so cached; then stops the workers and dumps the database.
pub fn begin(deployment: &mut Deployment) -> Result<Losers> {
    let losers = Losers { one: deployment.user("loser")?, other: deployment.user("loser")? };
    Handle::current().block_on(async {
        let mut client = deployment.login(0, &losers.one).await?;
        for number in 1..4 {
            let content = format!("number {number}");
            client
                .request_ok(json!({"type": "send_message", "recipientId": losers.other.id, "content": content}))
                .await?;
        }
        ensure!(count(deployment, &losers).await? == 3, "not all that was written is shown");
        client.close().await;
        anyhow::Ok(())
    })?;
    for worker in &mut deployment.fleet.workers {
        worker.terminate()?;
        worker.wait_gone(GONE_WITHIN)?;
    }
    let mut dumping = program(deployment, "pg_dump");
    dumping.args(["--format=custom", "--file"]).arg(dump(deployment)).arg(deployment.postgres.url("chat"));
    run(dumping)?;
    Ok(losers)
}

/// Replaces the database by the dump and starts the workers.
pub fn end(deployment: &mut Deployment, losers: &Losers) -> Result<()> {
    deployment.postgres.query("postgres", "DROP DATABASE chat WITH (FORCE)")?;
    let restored = deployment.postgres.create_database("chat")?;
    let mut restoring = program(deployment, "pg_restore");
    restoring.args(["--exit-on-error", "--no-owner", "--dbname", &restored]).arg(dump(deployment));
    run(restoring)?;
    deployment.chatctl(&["migrate"])?;
    let lost = client::conversation_id(losers.one.id, losers.other.id);
    deployment.sql(&format!(
        "DELETE FROM private_messages WHERE conversation_id = '{lost}' AND seq > 1;
         UPDATE conversations SET last_seq = 1, message_count = 1, version = 2 WHERE conversation_id = '{lost}';
         UPDATE conversation_members SET delivered_seq = least(delivered_seq, 1), read_seq = least(read_seq, 1)
         WHERE conversation_id = '{lost}'"
    ))?;
    deployment.fleet.workers.iter_mut().try_for_each(Server::start)?;
    let deadline = Instant::now() + SHOWN_WITHIN;
    let shown = loop {
        match Handle::current().block_on(count(deployment, losers)) {
            Ok(shown) => break shown,
            Err(error) => ensure!(Instant::now() < deadline, "nothing is shown after the restore: {error:#}"),
        }
        std::thread::sleep(LOOK);
    };
    ensure!(shown == 1, "{shown} messages are shown of a conversation in which one is stored");
    Ok(())
}

/// Returns how many of their messages are shown.
async fn count(deployment: &Deployment, losers: &Losers) -> Result<usize> {
    let mut client = deployment.login(0, &losers.one).await?;
    let page = client.request_ok(json!({"type": "get_private_messages", "recipientId": losers.other.id})).await?;
    client.close().await;
    page["messages"].as_array().map(Vec::len).context("no messages")
}

fn dump(deployment: &Deployment) -> PathBuf {
    deployment.logs().join("chat.dump")
}

fn program(deployment: &Deployment, name: &str) -> Command {
    Command::new(deployment.postgres.psql().with_file_name(name))
}

fn run(mut command: Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
