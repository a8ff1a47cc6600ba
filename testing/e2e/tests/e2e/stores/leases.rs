//! Who owns which partition: workers have even shares, which move when workers come, go or die; a new owner first
//! finishes what the old one left.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use devstack::fleet::{Kind, READY_TIMEOUT};
use e2e::{Deployment, Options};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::RECOVERS_WITHIN;

/// How many valid partitions each owner has, in ascending order.
const SHARES: &str = "SELECT string_agg(n::text, ',' ORDER BY n) FROM
    (SELECT count(*) AS n FROM partition_leases WHERE expires_at > now() GROUP BY owner) AS shares";

/// How long partitions may take to move when a worker comes or leaves; when it died (`LEASE_TTL`); what a slow machine may add.
const MOVED_WITHIN: Duration = Duration::from_secs(2);
const INHERITED_WITHIN: Duration = Duration::from_secs(10);
const SLOW_MACHINE: Duration = Duration::from_secs(5);

/// Waits until the partitions are spread like this; fails if it takes longer.
async fn spread(deployment: &Deployment, what: &str, expected: &str, within: Duration) -> Result<()> {
    let began = Instant::now();
    loop {
        let found = deployment.sql(SHARES)?;
        if found == expected {
            println!("{what}: spread as {expected} after {:?}", began.elapsed());
            return Ok(());
        }
        if began.elapsed() > within + SLOW_MACHINE {
            bail!("{what}: the shares are {found}, not {expected}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_stay_spread_evenly_as_workers_come_and_go() -> Result<()> {
    let mut deployment = Deployment::start("leases", Options { gateways: 1, workers: 2, ..Options::default() })?;
    spread(&deployment, "two workers", "32,32", RECOVERS_WITHIN).await?;
    deployment.fleet.add(Kind::Worker)?.wait_ready(READY_TIMEOUT)?;
    spread(&deployment, "a third came", "21,21,22", MOVED_WITHIN).await?;
    deployment.fleet.workers[0].terminate()?;
    spread(&deployment, "the first left", "32,32", MOVED_WITHIN).await?;
    deployment.fleet.workers[1].kill()?;
    spread(&deployment, "the second died", "64", INHERITED_WITHIN).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_owner_first_finishes_in_order_what_the_old_one_left() -> Result<()> {
    const COUNT: usize = 30;
    let options = Options { gateways: 1, workers: 1, ..Options::default() };
    let options = options.with("COMMAND_TIMEOUT", "2m").with("BACKLOG_MAX_AGE", "2m").with("LEASE_TTL", "2s");
    let mut deployment = Deployment::start("leftover", options)?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut client = deployment.login(0, &alice).await?;
    deployment.fleet.workers[0].pause()?;
    for number in 0..COUNT {
        let send =
            json!({"type": "send_message", "recipientId": bob.id, "content": format!("{number}"), "requestId": number});
        client.send(send).await?;
    }
    // The next owner sees only what has reached Redis.
    let deadline = Instant::now() + RECOVERS_WITHIN;
    while waiting(&deployment)? < COUNT as u64 {
        ensure!(Instant::now() < deadline, "the commands do not reach their stream");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    deployment.fleet.workers[0].kill()?;
    deployment.fleet.add(Kind::Worker)?;
    for number in 0..COUNT {
        let answer = client.expect("message_sent", |_| true, RECOVERS_WITHIN).await?;
        ensure!(answer["requestId"] == number && answer["seq"] == number + 1, "at {number}: {answer}");
    }
    Ok(())
}

/// Returns the number of commands in the ordered lane.
fn waiting(deployment: &Deployment) -> Result<u64> {
    let status: Value = serde_json::from_str(&deployment.chatctl(&["status", "--json"])?)?;
    status["fleet"]["waiting"]["ordered"]["commands"].as_u64().context("commands of the ordered lane")
}
