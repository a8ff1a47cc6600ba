//! The path of a message through the whole fleet, and what a client sees of it.

use anyhow::Result;
use client::{Client, event_type};
use devstack::wait::SOON;
use e2e::{Deployment, Options};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_reaches_every_device_on_every_gateway() -> Result<()> {
    let deployment = Deployment::start("path", Options::default())?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut sender = deployment.login(0, &alice).await?;
    let mut other_device = deployment.login(1, &alice).await?;
    let mut bobs = [deployment.login(0, &bob).await?, deployment.login(1, &bob).await?];

    let message = json!({
        "type": "send_private_message", "recipientId": bob.id, "content": "marker-of-plaintext ✓", "clientMessageId": "c-1",
    });
    let sent = sender.request_ok(message.clone()).await?;
    assert_eq!(sent["type"], "message_sent");
    assert_eq!((&sent["seq"], &sent["warning"]), (&json!(1), &json!("NOT_FOLLOWING")));
    for client in bobs.iter_mut().chain([&mut other_device, &mut sender]) {
        let event = client.expect("new_message", |_| true, SOON).await?;
        assert_eq!(event["content"], "marker-of-plaintext ✓");
        assert_eq!(event["messageId"], sent["messageId"]);
        assert_eq!(event["senderUsername"], alice.name);
        assert_eq!(event["clientMessageId"], "c-1");
    }
    let again = sender.request_ok(message).await?;
    assert_eq!((&again["duplicate"], &again["messageId"]), (&json!(true), &sent["messageId"]));

    let page = bobs[1].request_ok(json!({"type": "get_private_messages", "recipientId": alice.id})).await?;
    assert_eq!((&page["total"], &page["messages"][0]["content"]), (&json!(1), &json!("marker-of-plaintext ✓")));
    let row = deployment.sql("SELECT encode(content, 'escape') || key_id FROM private_messages")?;
    assert!(!row.contains("marker"), "{row}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_tells_what_it_expects() -> Result<()> {
    let deployment = Deployment::start("errors", Options { gateways: 1, workers: 1, ..Options::default() })?;
    let alice = deployment.user("alice")?;
    let mut client = Client::connect(&deployment.gateway_url(0)).await?;
    assert_eq!(client.greeting()["requiresAuth"], true);
    for (message, code) in [
        ("nonsense", "INVALID_JSON"),
        ("[1]", "VALIDATION_ERROR"),
        (r#"{"type":"no_such"}"#, "UNKNOWN_TYPE"),
        (r#"{"type":"get_user_groups"}"#, "AUTH_REQUIRED"),
    ] {
        client.send_text(message).await?;
        let error = client.expect("error", |_| true, SOON).await?;
        assert_eq!(error["code"], code, "{message}");
    }
    let pong = client.request_ok(json!({"type": "ping"})).await?;
    assert!(event_type(&pong) == "pong" && pong["timestamp"].is_i64());
    client.send(json!({"type": "authenticate", "token": "x.y.z"})).await?;
    let refused = client.expect("auth_error", |_| true, SOON).await?;
    assert_eq!(refused["code"], "TOKEN_INVALID");
    let success = client.authenticate(&alice.token).await?;
    assert_eq!((&success["user"]["username"], &success["queuedEvents"]), (&json!(alice.name), &json!(0)));
    let error = client.request(json!({"type": "send_private_message", "recipientId": 999_999, "content": "x"})).await?;
    assert_eq!((&error["code"], &error["field"]), (&json!("RESOURCE_NOT_FOUND"), &json!("recipientId")));
    let error =
        client.request(json!({"type": "send_private_message", "recipientId": alice.id, "content": "x"})).await?;
    assert_eq!((&error["code"], &error["field"]), (&json!("VALIDATION_ERROR"), &json!("recipientId")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_offline_is_replayed_once() -> Result<()> {
    let deployment = Deployment::start("offline", Options { gateways: 2, workers: 1, ..Options::default() })?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut sender = deployment.login(0, &alice).await?;
    for i in 0..150 {
        sender.request_ok(json!({"type": "send_message", "recipientId": bob.id, "content": format!("{i}")})).await?;
    }
    let mut receiver = deployment.login(1, &bob).await?;
    assert_eq!(receiver.session()["queuedEvents"], 150);
    for i in 0..150 {
        let event = receiver.expect("new_message", |_| true, SOON).await?;
        assert_eq!((&event["content"], &event["seq"]), (&json!(i.to_string()), &json!(i + 1)));
    }
    receiver.close().await;
    deployment.until("SELECT max(delivered_seq) FROM conversation_members", "150").await?;
    let again = deployment.login(0, &bob).await?;
    assert_eq!(again.session()["queuedEvents"], 0);
    Ok(())
}
