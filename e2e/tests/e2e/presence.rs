//! Presence, receipts and deploys across the fleet.

use std::time::Duration;

use anyhow::Result;
use e2e::{Deployment, Options};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);

fn about(user: i64) -> impl Fn(&Value) -> bool {
    let id = user.to_string();
    move |event| event["user"]["userId"] == id
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_who_comes_and_goes_wherever_they_are_connected() -> Result<()> {
    let mut deployment = Deployment::start("presence", Options::default().with("OFFLINE_GRACE_PERIOD", "2s"))?;
    let [alice, bob, carol] = deployment.users(["alice", "bob", "carol"])?;
    deployment.sql(&format!(
        "INSERT INTO blocked_relationships (blocker_id, blocked_id) VALUES ({}, {})",
        carol.id, alice.id
    ))?;
    let mut watching = deployment.login(0, &bob).await?;
    let mut blocking = deployment.login(0, &carol).await?;
    let first = deployment.login(1, &alice).await?;
    watching.expect("user_online", about(alice.id), SOON).await?;
    let online = watching.request_ok(json!({"type": "get_online_users"})).await?;
    let mut ids: Vec<&str> =
        online["users"].as_array().into_iter().flatten().filter_map(|u| u["userId"].as_str()).collect();
    ids.sort_unstable();
    let mut expected = [alice.id.to_string(), carol.id.to_string()];
    expected.sort();
    assert_eq!(ids, expected);

    // A second device, then the first goes: still online, and nobody hears of it.
    let second = deployment.login(0, &alice).await?;
    first.abort().await;
    // Reconnecting within the grace period, on another gateway, makes no event either.
    second.abort().await;
    let third = deployment.login(1, &alice).await?;
    let quiet = watching.expect_none("user_offline", about(alice.id), Duration::from_secs(3)).await;
    quiet?;
    drop(third);
    watching.expect("user_offline", about(alice.id), SOON).await?;
    blocking.expect_none("user_online", about(alice.id), Duration::from_millis(10)).await?;
    blocking.expect_none("user_offline", about(alice.id), Duration::from_millis(10)).await?;

    // The death of a gateway: those on it go offline after the grace period, the others stay.
    let _doomed = deployment.login(1, &alice).await?;
    watching.expect("user_online", about(alice.id), SOON).await?;
    deployment.fleet.gateways[1].kill()?;
    watching.expect("user_offline", about(alice.id), Duration::from_secs(17)).await?;
    watching.expect_none("user_offline", about(carol.id), Duration::from_millis(10)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_learns_what_arrived() -> Result<()> {
    let deployment = Deployment::start("delivered", Options { workers: 1, ..Options::default() })?;
    let [alice, bob, carol] = deployment.users(["alice", "bob", "carol"])?;
    let mut sender = deployment.login(0, &alice).await?;
    let sent = sender.request_ok(json!({"type": "send_message", "recipientId": bob.id, "content": "x"})).await?;
    sender.expect_none("message_delivered", |_| true, Duration::from_millis(300)).await?;
    let _receiver = deployment.login(1, &bob).await?;
    let delivered = sender.expect("message_delivered", |_| true, SOON).await?;
    assert_eq!((&delivered["messageId"], &delivered["seq"]), (&sent["messageId"], &json!(1)));
    assert_eq!(delivered["deliveredTo"], bob.id.to_string());

    // Who confirms has received nothing before.
    let mut confirming = client::Client::connect(&deployment.gateway_url(1)).await?;
    confirming.authenticate_with(json!({"token": carol.token, "acks": true})).await?;
    let sent = sender.request_ok(json!({"type": "send_message", "recipientId": carol.id, "content": "y"})).await?;
    confirming.expect("new_message", |_| true, SOON).await?;
    sender.expect_none("message_delivered", |_| true, Duration::from_millis(300)).await?;
    let conversation = sent["conversationId"].as_str().unwrap_or_default();
    confirming.send(json!({"type": "ack", "conversations": {conversation: 1}})).await?;
    let delivered = sender.expect("message_delivered", |_| true, SOON).await?;
    assert_eq!(delivered["messageId"], sent["messageId"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaving_gateway_sends_its_clients_away_and_they_stay_online() -> Result<()> {
    let options = Options::default().with("DRAIN_WINDOW", "1s").with("OFFLINE_GRACE_PERIOD", "5s");
    let mut deployment = Deployment::start("drain", options)?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut watching = deployment.login(0, &bob).await?;
    let mut leaving = deployment.login(1, &alice).await?;
    watching.expect("user_online", about(alice.id), SOON).await?;
    deployment.fleet.gateways[1].terminate()?;
    let close = leaving.wait_closed(SOON).await?;
    assert_eq!(close.code, Some(1012));
    let _moved = deployment.login(0, &alice).await?;
    watching.expect_none("user_offline", about(alice.id), Duration::from_secs(7)).await?;
    deployment.fleet.gateways[1].wait_gone(SOON)?;
    Ok(())
}
