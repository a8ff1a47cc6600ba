//! A command that fails permanently is set aside, and an operator can requeue it.

use std::time::Duration;

use anyhow::{Result, ensure};
use client::event_type;
use devstack::wait::SOON;
use e2e::{Deployment, Options};
use serde_json::{Value, json};

/// Every attempt of a failing command, with the pauses in between.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_command_can_be_inspected_and_requeued() -> Result<()> {
    let deployment = Deployment::start("deadletters", Options { gateways: 1, workers: 1, ..Options::default() })?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut sender = deployment.login(0, &alice).await?;
    let mut recipient = deployment.login(0, &bob).await?;
    let send = json!({"type": "send_message", "recipientId": bob.id, "content": "x"});
    let sent = sender.request_ok(send.clone()).await?;
    let react = |reaction: &str| json!({"type": "add_reaction", "messageId": sent["messageId"], "reaction": reaction});

    deployment.sql(super::BREAK_REACTIONS)?;
    for reaction in ["zebra", "lion"] {
        let error = sender.request(react(reaction)).await?;
        ensure!(error["code"] == "INTERNAL_ERROR" && error["errorId"].is_string(), "{error}");
    }
    // The conversation continues.
    assert_eq!(sender.request_ok(send.clone()).await?["seq"], 2);

    let list = || deployment.chatctl(&["dlq", "list"]);
    let listed = list()?;
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 2, "{listed}");
    let (id, lion) = (rows[0][0].to_owned(), rows[1][0].to_owned());
    let subject = sent["messageId"].as_str().unwrap_or_default();
    assert_eq!(rows[0][2..6], ["add_reaction", &alice.id.to_string(), subject, "5"], "{listed}");
    assert!(rows[0][6].contains("broken"), "{listed}");

    // Content is shown on request only.
    let shown = deployment.chatctl(&["dlq", "show", &id])?;
    assert!(!listed.contains("zebra") && !shown.contains("zebra"), "{shown}");
    let parsed: Value = serde_json::from_str(&shown)?;
    assert_eq!((&parsed["envelope"]["name"], &parsed["attempts"]), (&json!("add_reaction"), &json!(5)));
    assert!(deployment.chatctl(&["dlq", "show", &id, "--reveal"])?.contains("zebra"));

    // Replayed too early it fails again and comes back.
    assert_eq!(deployment.chatctl(&["dlq", "drop", &lion])?, "1 dropped\n");
    assert_eq!(deployment.chatctl(&["dlq", "replay", &id])?, "1 replayed\n");
    let deadline = tokio::time::Instant::now() + GIVEN_UP_WITHIN;
    while list()?.is_empty() {
        ensure!(tokio::time::Instant::now() < deadline, "it does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!list()?.contains(&id));
    assert!(deployment.chatctl(&["dlq", "replay", &id]).is_err(), "it is gone");

    deployment.sql(super::MEND_REACTIONS)?;
    assert_eq!(deployment.chatctl(&["dlq", "replay", "--all"])?, "1 replayed\n");
    deployment.until("SELECT string_agg(reaction, ',') FROM message_reactions", "zebra").await?;
    let event = recipient.expect("reaction_added", |_| true, SOON).await?;
    assert_eq!(event["reaction"], "zebra");
    assert_eq!(list()?, "");
    assert_eq!(deployment.chatctl(&["dlq", "drop", "--all"])?, "0 dropped\n");
    let third = sender.request_ok(send).await?;
    ensure!(event_type(&third) == "message_sent" && third["seq"] == 3, "{third}");
    Ok(())
}
