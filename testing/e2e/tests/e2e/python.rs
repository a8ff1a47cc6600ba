//! `docs/client.py`, the example client of the protocol, on a real fleet: it chats, and its gateway dies.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use devstack::{Scratch, python};
use e2e::{Deployment, Options, repository};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};

/// Long enough for an interpreter to start and import its packages.
const PRINTED_WITHIN: Duration = Duration::from_secs(60);

/// Checks what the program prints, line by line, each once.
async fn prints(lines: &mut Lines<BufReader<ChildStdout>>, expected: &str) -> Result<()> {
    let line = tokio::time::timeout(PRINTED_WITHIN, lines.next_line()).await;
    let line = line.with_context(|| format!("waiting for `{expected}`"))??.context("the program ended")?;
    ensure!(line == expected, "`{expected}` is to be printed, not `{line}`");
    Ok(())
}

async fn types(stdin: &mut ChildStdin, line: &str) -> Result<()> {
    Ok(stdin.write_all(format!("{line}\n").as_bytes()).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_survives_a_gateway_crash() -> Result<()> {
    let python = python::find().context("python3 with the package websockets; `cargo xtask test` installs it")?;
    chats_and_survives(&python, None).await
}

/// The oldest and the newest version that `docs/client.py` names.
#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works_with_old_and_new_websockets() -> Result<()> {
    // The one on the PATH, which is more likely to have pip than the system's.
    let python = PathBuf::from("python3");
    let script = std::fs::read_to_string(repository("docs/client.py"))?;
    let named = script.lines().find_map(|line| line.strip_prefix("import websockets  # ")).context("the versions")?;
    let versions: Vec<&str> = named.split(' ').filter(|word| word.starts_with(|c: char| c.is_ascii_digit())).collect();
    ensure!(versions.len() == 2, "oldest and newest: {named}");
    for version in versions {
        let folder = Scratch::new("websockets")?;
        if python::install_websockets(&python, version, folder.dir()) {
            chats_and_survives(&python, Some(folder.dir())).await.with_context(|| format!("websockets {version}"))?;
        } else {
            println!("!!! docs/client.py was NOT CHECKED with websockets {version}: it cannot be installed. !!!");
        }
    }
    Ok(())
}

async fn chats_and_survives(python: &Path, packages: Option<&Path>) -> Result<()> {
    let mut deployment = Deployment::start("python", Options { workers: 1, ..Options::default() })?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut peer = deployment.login(1, &bob).await?;
    let group =
        peer.request_ok(json!({"type": "create_group", "groupName": "g", "initialMembers": [alice.id]})).await?;
    let group = group["groupId"].as_str().unwrap_or_default().to_owned();
    let conversation = client::conversation_id(alice.id, bob.id);

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/client.py");
    let mut program = Command::new(python)
        .args([script, &alice.token, &deployment.gateway_url(0), &deployment.gateway_url(1)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .envs(packages.map(|folder| ("PYTHONPATH", folder)))
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = program.stdin.take().context("its input")?;
    let mut stdout = BufReader::new(program.stdout.take().context("its output")?).lines();

    // It sends to both conversations and sees its own messages and the answers.
    for (to, kind, place) in
        [(bob.id.to_string(), "new_message", &conversation), (group.clone(), "new_group_message", &group)]
    {
        types(&mut stdin, &format!("{to} hello ✓")).await?;
        peer.expect(kind, |event| event["content"] == "hello ✓", PRINTED_WITHIN).await?;
        prints(&mut stdout, &format!("{place} {} hello ✓", alice.name)).await?;
    }
    peer.request_ok(json!({"type": "send_message", "recipientId": alice.id, "content": "one"})).await?;
    prints(&mut stdout, &format!("{conversation} {} one", bob.name)).await?;

    // Its gateway dies; messages sent meanwhile, by it or to it, arrive once, in order.
    deployment.fleet.gateways[0].kill()?;
    peer.request_ok(json!({"type": "send_message", "recipientId": alice.id, "content": "two"})).await?;
    peer.request_ok(json!({"type": "send_group_message", "groupId": group, "content": "three"})).await?;
    types(&mut stdin, &format!("{group} four")).await?;
    peer.expect("new_group_message", |event| event["content"] == "four", PRINTED_WITHIN).await?;
    let mut arrived = Vec::new();
    for _ in 0..3 {
        let line = tokio::time::timeout(PRINTED_WITHIN, stdout.next_line())
            .await
            .with_context(|| format!("after {arrived:?}"))??;
        arrived.push(line.context("the program ended")?);
    }
    arrived.sort();
    let mut expected = vec![
        format!("{conversation} {} two", bob.name),
        format!("{group} {} three", bob.name),
        format!("{group} {} four", alice.name),
    ];
    expected.sort();
    ensure!(arrived == expected, "{arrived:?}");
    // And nothing came twice.
    peer.request_ok(json!({"type": "send_message", "recipientId": alice.id, "content": "last"})).await?;
    prints(&mut stdout, &format!("{conversation} {} last", bob.name)).await?;
    let stored = deployment.sql("SELECT count(*) FROM private_messages")?;
    ensure!(stored == "7", "{stored} messages are stored");
    Ok(())
}
