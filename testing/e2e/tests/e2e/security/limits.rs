//! Limits per address when a gateway dies, and per user over all gateways.

use std::time::Duration;

use anyhow::Result;
use client::Connect;
use e2e::{Deployment, Options};
use serde_json::json;
use tokio::time::Instant;

/// A dead gateway's connections stop counting as soon as the fleet knows that it is dead.
#[tokio::test(flavor = "multi_thread")]
async fn the_connections_of_a_dead_gateway_do_not_count() -> Result<()> {
    let options = Options::default().with("MAX_CONNECTIONS_PER_IP", "2").with("TRUSTED_PROXIES", "127.0.0.1");
    let mut deployment = Deployment::start("dead-address", Options { workers: 1, ..options })?;
    let urls = [deployment.gateway_url(0), deployment.gateway_url(1)];
    let connect = |gateway: usize| Connect::new(&urls[gateway]).forwarded_for("9.9.9.9, 2001:db8::1").open();
    let _held = [connect(0).await?, connect(0).await?];
    // As soon as the second gateway knows of the first.
    let both_taken = async {
        while connect(1).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), both_taken).await?;
    deployment.fleet.gateways[0].kill()?;
    let both = async {
        loop {
            if let (Ok(one), Ok(other)) = (connect(1).await, connect(1).await) {
                break (one, other);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let _both = tokio::time::timeout(Duration::from_secs(60), both).await?;
    assert!(connect(1).await.is_err(), "and not more than these");
    Ok(())
}

/// A user's messages count together on all gateways, and the rejection says when there is room again.
#[tokio::test(flavor = "multi_thread")]
async fn a_users_rate_limit_spans_gateways_and_tells_the_exact_wait() -> Result<()> {
    const WINDOW_SECONDS: u64 = 60;
    let options = Options { workers: 1, ..Options::default() }.with("MESSAGE_RATE_LIMIT", "3");
    let deployment = Deployment::start("flood", options)?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let (mut one, mut other) = (deployment.login(0, &alice).await?, deployment.login(1, &alice).await?);
    let send = json!({"type": "send_message", "recipientId": bob.id, "content": "x"});
    let began = Instant::now();
    one.request_ok(send.clone()).await?;
    other.request_ok(send.clone()).await?;
    one.request_ok(send.clone()).await?;
    let took = began.elapsed().as_secs() + 1;
    let (mut tells_at, mut retry_after) = (Instant::now(), 0);
    for client in [&mut one, &mut other] {
        tells_at = Instant::now();
        let refused = client.request(send.clone()).await?;
        assert_eq!(refused["code"], "RATE_LIMIT_EXCEEDED", "{refused}");
        retry_after = refused["retryAfter"].as_u64().unwrap_or_default();
        let passed = began.elapsed().as_secs() + 1;
        assert!((WINDOW_SECONDS - passed.min(59)..=WINDOW_SECONDS).contains(&retry_after), "{retry_after}");
    }
    // Others are not affected.
    let back = json!({"type": "send_message", "recipientId": alice.id, "content": "x"});
    deployment.login(0, &bob).await?.request_ok(back).await?;
    let free = async {
        while other.request(send.clone()).await?["type"] == "error" {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(WINDOW_SECONDS + 30), free).await??;
    // The answer and the clock both count whole seconds.
    let waited = tells_at.elapsed().as_secs();
    assert!((retry_after.saturating_sub(1)..=retry_after + took + 2).contains(&waited), "{waited} for {retry_after}");
    Ok(())
}
