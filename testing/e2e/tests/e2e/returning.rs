//! Clients that move from one gateway to another and back while messages for them arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use client::event_type;
use e2e::{Deployment, Options};
use serde_json::json;

/// The time on each gateway in turn; a message arrives every few milliseconds.
const STAY: Duration = Duration::from_millis(400);
const VISITS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_returning_client_gets_no_message_out_of_order() -> Result<()> {
    let deployment = Arc::new(Deployment::start("returning", Options::default())?);
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut writer = deployment.login(0, &alice).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (is_over, recipient) = (is_over.clone(), bob.id);
        async move {
            while !is_over.load(Ordering::Relaxed) {
                writer
                    .request_ok(json!({"type": "send_private_message", "recipientId": recipient, "content": "on"}))
                    .await?;
            }
            anyhow::Ok(())
        }
    });
    let mut newest = 0;
    for visit in 0..VISITS {
        let mut reader = deployment.login(visit % 2, &bob).await?;
        let end = tokio::time::Instant::now() + STAY;
        let mut events = Vec::new();
        while let Some(left) = end.checked_duration_since(tokio::time::Instant::now()) {
            let Ok(event) = reader.next_event(left).await else { break };
            events.push(event);
        }
        reader.close().await;
        // Messages that arrived while the connection was closing are delivered, too, and do not come again.
        events.extend(reader.drain());
        let messages = events.iter().filter(|event| event_type(event) == "new_message");
        let numbers: Vec<i64> = messages.filter_map(|event| event["seq"].as_i64()).collect();
        ensure!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "visit {visit}: {numbers:?}");
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { continue };
        // If a receipt is not stored yet, messages come again; none may be missing.
        ensure!(*first <= newest + 1, "visit {visit}: {first} after {newest}");
        newest = *last;
    }
    ensure!(newest > 0, "nothing came");
    is_over.store(true, Ordering::Relaxed);
    writing.await?
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_device_is_not_given_what_the_first_has_received() -> Result<()> {
    // Cursors are not flushed to the database while the test runs.
    let deployment = Deployment::start("receipts", Options::default().with("CURSOR_FLUSH_INTERVAL", "5m"))?;
    let [alice, bob, carol] = deployment.users(["alice", "bob", "carol"])?;
    let mut writer = deployment.login(0, &alice).await?;
    let mut phone = deployment.login(0, &bob).await?;
    let mut acking = client::Client::connect(&deployment.gateway_url(0)).await?;
    acking.authenticate_with(json!({"token": carol.token, "acks": true})).await?;
    for recipient in [bob.id, carol.id] {
        for _ in 0..5 {
            let send = json!({"type": "send_private_message", "recipientId": recipient, "content": "x"});
            writer.request_ok(send).await?;
        }
    }
    let is_fifth = |event: &serde_json::Value| event["seq"] == 5;
    phone.expect("new_message", is_fifth, Duration::from_secs(10)).await?;
    let pad = deployment.login(1, &bob).await?;
    ensure!(pad.session()["queuedEvents"] == 0, "{}", pad.session());

    let fifth = acking.expect("new_message", is_fifth, Duration::from_secs(10)).await?;
    // Messages written to a confirming client do not count as delivered until it confirms them.
    let mut unconfirmed = client::Client::connect(&deployment.gateway_url(1)).await?;
    let session = unconfirmed.authenticate_with(json!({"token": carol.token, "acks": true})).await?;
    ensure!(session["queuedEvents"] == 5, "{session}");
    let conversation = fifth["conversationId"].as_str().unwrap_or_default();
    acking.send(json!({"type": "ack", "conversations": {conversation: 5}})).await?;
    acking.request_ok(json!({"type": "ping"})).await?;
    let mut second = client::Client::connect(&deployment.gateway_url(1)).await?;
    let session = second.authenticate_with(json!({"token": carol.token, "acks": true})).await?;
    ensure!(session["queuedEvents"] == 0, "{session}");
    Ok(())
}
