//! A reconnect storm: all clients of a dead gateway come back at once, each having missed something, while others talk.
//! `STORM_CLIENTS=5000` makes it a large one.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::{Backoff, Client, Connect, event_type};
use devstack::fleet::READY_TIMEOUT;
use e2e::{Deployment, Options, User};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

const BACK_WITHIN: Duration = Duration::from_secs(120);
/// A thousand clients are back, each with what it missed, within this time; the time grows with the number of clients.
const OVER_WITHIN: Duration = Duration::from_secs(30);
/// The longest that other clients may wait meanwhile, on a slow machine.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// One address has enough ports for this number.
const CLIENTS_PER_SOURCE: usize = 1_000;

fn clients() -> usize {
    std::env::var("STORM_CLIENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000)
}

async fn login(url: &str, user: &User, place: usize) -> Result<Client, client::Error> {
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + (place / CLIENTS_PER_SOURCE) as u8));
    let mut client = Connect::new(url).source(source).queue_events(64).open().await?;
    client.authenticate(&user.token).await?;
    Ok(client)
}

/// The times of one client.
struct Return {
    authenticated: Duration,
    replayed: Duration,
    refused: u32,
}

/// Reconnects as the client library does, and waits for what was missed.
async fn come_back(url: String, user: User, place: usize, dropped: Instant) -> Result<Return> {
    let mut backoff = Backoff::default();
    let mut refused = 0;
    loop {
        ensure!(dropped.elapsed() < BACK_WITHIN, "{} did not come back after {refused} tries", user.name);
        let Ok(mut client) = login(&url, &user, place).await else {
            refused += 1;
            tokio::time::sleep(backoff.next_delay().min(Duration::from_secs(2))).await;
            continue;
        };
        let authenticated = dropped.elapsed();
        ensure!(client.session()["queuedEvents"] == 1, "{}", client.session());
        client.expect("new_message", |event| event["content"] == "missed", BACK_WITHIN).await?;
        return Ok(Return { authenticated, replayed: dropped.elapsed(), refused });
    }
}

/// Sends until told to stop; returns the time of each message from sending to arrival.
async fn talk(
    mut from: Client,
    mut to: Client,
    recipient: i64,
    mut stop: oneshot::Receiver<()>,
) -> Result<Vec<Duration>> {
    let mut waits = Vec::new();
    while stop.try_recv().is_err() {
        let started = Instant::now();
        let sent =
            from.request_within(json!({"type": "send_message", "recipientId": recipient, "content": "x"}), BACK_WITHIN);
        let sent = sent.await?;
        if event_type(&sent) == "message_sent" {
            to.expect("new_message", |event| event["messageId"] == sent["messageId"], BACK_WITHIN).await?;
        }
        waits.push(started.elapsed());
        from.drain();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(waits)
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_comes_back_at_once_and_nobody_else_waits() -> Result<()> {
    let count = clients();
    let options = Options::default().with("MAX_PENDING", "20000").with("OFFLINE_GRACE_PERIOD", "10m");
    // Announcing everybody to everybody would test something else.
    let mut deployment = Deployment::start("storm", options.with("PRESENCE_SCOPE", "contacts"))?;
    let [alice, bob, carol] = deployment.users(["alice", "bob", "carol"])?;
    let users = deployment.many_users("crowd", count)?;
    let url = deployment.gateway_url(0);

    let mut connecting = JoinSet::new();
    let mut connected = Vec::new();
    for (place, user) in users.iter().cloned().enumerate() {
        let url = url.clone();
        connecting.spawn(async move { login(&url, &user, place).await });
        if connecting.len() >= 100 {
            connected.push(connecting.join_next().await.context("a client")???);
        }
    }
    while let Some(client) = connecting.join_next().await {
        connected.push(client??);
    }

    let (stop, stopped) = oneshot::channel();
    let talking = talk(deployment.login(1, &alice).await?, deployment.login(1, &bob).await?, bob.id, stopped);
    let talking = tokio::spawn(talking);
    let mut sender = deployment.login(1, &carol).await?;

    deployment.fleet.gateways[0].kill()?;
    drop(connected);
    for users in users.chunks(200) {
        for user in users {
            sender.send(json!({"type": "send_message", "recipientId": user.id, "content": "missed"})).await?;
        }
        for _ in users {
            sender.expect("message_sent", |_| true, BACK_WITHIN).await?;
        }
        sender.drain();
    }
    tokio::task::block_in_place(|| {
        deployment.fleet.gateways[0].start()?;
        deployment.fleet.gateways[0].wait_ready(READY_TIMEOUT)
    })?;

    let dropped = Instant::now();
    let mut returning = JoinSet::new();
    for (place, user) in users.into_iter().enumerate() {
        returning.spawn(come_back(url.clone(), user, place, dropped));
    }
    let (mut authenticated, mut replayed, mut refused) = (Vec::new(), Vec::new(), 0);
    while let Some(client) = returning.join_next().await {
        let client = client??;
        authenticated.push(client.authenticated);
        replayed.push(client.replayed);
        refused += client.refused;
    }
    let _ = stop.send(());
    let mut waits = talking.await??;
    println!(
        "{count} clients: authenticated p50 {:?}, all {:?}; replayed p50 {:?}, all {:?}; refused {refused}; others p50 {:?}, p99 {:?}, longest {:?}",
        percentile(&mut authenticated, 50),
        percentile(&mut authenticated, 100),
        percentile(&mut replayed, 50),
        percentile(&mut replayed, 100),
        percentile(&mut waits, 50),
        percentile(&mut waits, 99),
        percentile(&mut waits, 100),
    );
    let bound = OVER_WITHIN * count.div_ceil(1_000) as u32;
    let over = percentile(&mut replayed, 100);
    ensure!(over <= bound, "the storm was over after {over:?}, and should be within {bound:?}");
    let longest = percentile(&mut waits, 100);
    ensure!(longest <= MAX_WAIT, "others waited for {longest:?}");
    Ok(())
}
