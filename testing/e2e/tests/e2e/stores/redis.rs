//! Redis failing over under Sentinel, out of memory, and cutting subscribers off.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::Client;
use devstack::{http, wait};
use e2e::{Deployment, Options, Witness};
use serde_json::json;
use tokio::time::Instant;

use super::{RECOVERS_WITHIN, unavailable, until_served};
use crate::faults::talking_with;

/// From a fault's end to the first command that is served; and what a slow machine may add.
const BACK_WITHIN: Duration = Duration::from_secs(5);
const SLOW_MACHINE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_under_sentinel_loses_nothing() -> Result<()> {
    let options = Options { sentinels: true, ..Options::default() };
    let (mut deployment, talk) =
        talking_with("sentinel", options.with("LEASE_TTL", "2s").with("COMMAND_TIMEOUT", "5s")).await?;
    // Two failovers: the old primary returns as a replica of the new one.
    for round in ["the first failover", "the second failover"] {
        deployment.redis.kill()?;
        let killed = Instant::now();
        talk.progress(1).await.context(round)?;
        println!("{round}: back {:?} after the kill", killed.elapsed());
        talk.progress(100).await.context(round)?;
        let old = &mut deployment.redis;
        old.start()?;
        wait::until("the old primary is a replica in step", RECOVERS_WITHIN, || {
            // It resets connections while it becomes a replica.
            let answer = old.command(&["INFO", "replication"]);
            Ok(answer.is_ok_and(|answer| answer.contains("master_link_status:up")).then_some(()))
        })?;
        let sentinels = deployment.sentinels.as_mut().context("sentinels")?;
        std::mem::swap(&mut deployment.redis, &mut sentinels.replica);
    }
    talk.finish(&deployment).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_out_of_memory_refuses_and_recovers() -> Result<()> {
    let options = Options::default().with("COMMAND_TIMEOUT", "3s").with("LEASE_TTL", "2s");
    let (deployment, talk) = talking_with("redismemory", options).await?;
    let [carol, dave] = deployment.users(["carol", "dave"])?;
    let mut client = deployment.login(0, &carol).await?;
    let send = json!({"type": "send_message", "recipientId": dave.id, "content": "x"});
    deployment.redis.command(&["CONFIG", "SET", "maxmemory", "1"])?;
    for _ in 0..5 {
        let took = unavailable(&mut client, &send).await?;
        println!("refused after {took:?}");
    }
    deployment.redis.command(&["CONFIG", "SET", "maxmemory", "0"])?;
    let returned = Instant::now();
    // On the same connection.
    let answer = until_served(&mut client, &send).await?;
    ensure!(answer["type"] == "message_sent", "{answer}");
    let took = returned.elapsed();
    println!("served {took:?} after the memory returned");
    ensure!(took < BACK_WITHIN + SLOW_MACHINE, "back after {took:?}");
    talk.progress(100).await?;
    talk.finish(&deployment).await?;
    Ok(())
}

/// With such a limit, a publication that does not fit into Redis' first buffer (16 KiB) always ends the subscription.
const TINY: &str = "pubsub 1024 0 0";
/// Redis' own.
const ORDINARY: &str = "pubsub 33554432 8388608 60";

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_cut_off_by_redis_is_caught_up() -> Result<()> {
    let options = Options { workers: 1, ..Options::default() }.with("COMMAND_TIMEOUT", "2s");
    let deployment = Deployment::start("slowsubscriber", options)?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut sender = deployment.login(0, &alice).await?;
    let mut recipient = deployment.login(1, &bob).await?;
    deployment.redis.command(&["CONFIG", "SET", "client-output-buffer-limit", TINY])?;
    let mut witness = Witness::default();
    let large = "\u{1f98b}".repeat(5_000);
    const COUNT: usize = 5;
    for number in 0..COUNT {
        let send = json!({"type": "send_message", "recipientId": bob.id, "content": large, "clientMessageId": format!("n-{number}")});
        // The answer may be lost with the subscription: then it is repeated.
        witness.acknowledged(&until_served(&mut sender, &send).await?);
    }
    // Replayed events come on the same subscription.
    deployment.redis.command(&["CONFIG", "SET", "client-output-buffer-limit", ORDINARY])?;
    let conversation = client::conversation_id(alice.id, bob.id);
    let deadline = Instant::now() + RECOVERS_WITHIN;
    while witness.seen_count(&bob.name, &conversation) < COUNT {
        ensure!(Instant::now() < deadline, "{} of {COUNT} arrived", witness.seen_count(&bob.name, &conversation));
        if let Ok(event) = recipient.next_event(Duration::from_millis(500)).await {
            witness.saw(&bob.name, &event);
        }
    }
    witness.check(&deployment, true)?;
    let count = interruptions(&deployment, 1)?;
    ensure!(count >= 1.0, "the subscription was never cut");
    Ok(())
}

/// Catching up silently would leave a client that was never away with a gap that it does not know of.
#[tokio::test(flavor = "multi_thread")]
async fn missing_more_than_is_replayed_closes_with_a_reason() -> Result<()> {
    let options = Options { gateways: 1, workers: 1, ..Options::default() }.with("REPLAY_LIMIT", "3");
    let deployment = Deployment::start("truncated", options)?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut sender = deployment.login(0, &alice).await?;
    let mut recipient = Client::connect(&deployment.gateway_url(0)).await?;
    recipient.authenticate_with(json!({"token": bob.token, "acks": true})).await?;
    for number in 0..5 {
        let send = json!({"type": "send_message", "recipientId": bob.id, "content": format!("number {number}")});
        sender.request_ok(send).await?;
    }
    deployment.redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"])?;
    let close = recipient.wait_closed(RECOVERS_WITHIN).await?;
    ensure!(close.code == Some(1013), "{close}");
    recipient = Client::connect(&deployment.gateway_url(0)).await?;
    recipient.authenticate_with(json!({"token": bob.token, "acks": true})).await?;
    ensure!(recipient.session()["replayTruncated"] == true, "{}", recipient.session());
    Ok(())
}

fn interruptions(deployment: &Deployment, gateway: usize) -> Result<f64> {
    let metrics = http::get(&format!("{}/metrics", deployment.fleet.gateways[gateway].url()))?.body;
    let line = metrics.lines().find(|line| line.starts_with("gateway_subscription_interruptions_total"));
    Ok(line.and_then(|line| line.split(' ').next_back()?.parse().ok()).unwrap_or(0.0))
}

/// Answers pile up for a gateway that is slow to read them, and Redis closes their connection.
#[tokio::test(flavor = "multi_thread")]
async fn large_answers_that_redis_cuts_off_interrupt_no_events() -> Result<()> {
    let options = Options { gateways: 1, workers: 1, ..Options::default() }.with("COMMAND_TIMEOUT", "2s");
    let deployment = Deployment::start("slowanswers", options)?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut client = deployment.login(0, &alice).await?;
    let large = "\u{1f98b}".repeat(5_000);
    for _ in 0..5 {
        client.request_ok(json!({"type": "send_message", "recipientId": bob.id, "content": large})).await?;
    }
    let follows = || deployment.redis.command(&["ZCARD", "heartbeats:answers"]);
    wait::until("the gateway follows its answers", RECOVERS_WITHIN, || Ok((follows()?.trim() == "1").then_some(())))?;
    deployment.redis.command(&["CONFIG", "SET", "client-output-buffer-limit", TINY])?;
    let page = json!({"type": "get_messages", "recipientId": bob.id});
    unavailable(&mut client, &page).await?;
    deployment.redis.command(&["CONFIG", "SET", "client-output-buffer-limit", ORDINARY])?;
    let answer = until_served(&mut client, &page).await?;
    ensure!(answer["messages"].as_array().is_some_and(|messages| messages.len() == 5), "{answer}");
    ensure!(interruptions(&deployment, 0)? == 0.0, "events were lost with the answers");
    Ok(())
}
