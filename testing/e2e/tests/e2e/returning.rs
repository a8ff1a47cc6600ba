//! Clients that go from one gateway to another and back while they are written to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use client::event_type;
use e2e::{Deployment, Options};
use serde_json::json;

/// On each gateway in turn, so long: a message every few milliseconds comes meanwhile.
const STAY: Duration = Duration::from_millis(400);
const VISITS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_returns_to_a_gateway_gets_no_old_message_after_a_newer_one() -> Result<()> {
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
        // What came while the connection was closing has been delivered, too, and does not come again.
        events.extend(reader.drain());
        let messages = events.iter().filter(|event| event_type(event) == "new_message");
        let numbers: Vec<i64> = messages.filter_map(|event| event["seq"].as_i64()).collect();
        ensure!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "visit {visit}: {numbers:?}");
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { continue };
        // A receipt that is not noted yet makes messages come again, and none may be missing.
        ensure!(*first <= newest + 1, "visit {visit}: {first} after {newest}");
        newest = *last;
    }
    ensure!(newest > 0, "nothing came");
    is_over.store(true, Ordering::Relaxed);
    writing.await?
}
