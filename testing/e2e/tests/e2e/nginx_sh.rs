//! What `deploy/nginx/nginx.sh` does beside following the list of gateways: new certificates, old processes, its own end.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::Connect;
use devstack::identity::Signal;
use devstack::{Process, wait};
use e2e::{Deployment, Front, Options, repository};
use serde_json::json;
use tokio::time::Instant;

use crate::front::{behind_nginx, by_script};

const DONE_WITHIN: Duration = Duration::from_secs(60);
/// `REFRESH_SECONDS`, and a reload on a slow machine.
const WITHIN_SECONDS: Duration = Duration::from_secs(10);

/// One gateway, and nginx started by the script.
fn start(label: &str, options: &[(&str, &str)]) -> Result<(Deployment, Front, Process)> {
    let one_of_each = Options { gateways: 1, workers: 1, ..behind_nginx() }.with("MAX_CONNECTIONS_PER_IP", "1000");
    let deployment = Deployment::start(label, one_of_each)?;
    let mut front = Front::start(&deployment)?;
    front.nginx.stop()?;
    let answer = deployment.logs().join("addresses");
    std::fs::write(&answer, "127.0.0.1 STREAM gateways\n")?;
    let process = by_script(&deployment, &front, &answer, options)?;
    Ok((deployment, front, process))
}

async fn wait_until_open(connect: impl Fn() -> Connect) -> Result<client::Client> {
    let deadline = Instant::now() + DONE_WITHIN;
    loop {
        match connect().open().await {
            Ok(client) => return Ok(client),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn make_secrets(folder: &Path) -> Result<()> {
    let made = Command::new("sh").arg(repository("deploy/secrets.sh")).arg(folder).output()?;
    ensure!(made.status.success(), "{made:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_certificate_is_served_within_seconds() -> Result<()> {
    let (deployment, front, mut process) = start("certificate", &[])?;
    let alice = deployment.user("alice")?;
    let mut open = wait_until_open(|| front.connect()).await.context("with the first certificate")?;
    open.authenticate(&alice.token).await?;

    // Like a renewal: the key and the certificate one after the other.
    let (secrets, renewed) = (deployment.logs().join("secrets/nginx"), deployment.logs().join("renewed"));
    std::fs::create_dir(&renewed)?;
    make_secrets(&renewed)?;
    for file in ["tls.key", "tls.crt"] {
        std::fs::rename(renewed.join("nginx").join(file), secrets.join(file))?;
    }
    let certificate = std::fs::read(secrets.join("tls.crt"))?;
    let replaced = Instant::now();
    let trusting = || Connect::new(&format!("{}/ws", front.nginx.url())).trusting(&certificate);
    wait_until_open(trusting).await.context("with the second certificate")?;
    ensure!(replaced.elapsed() < WITHIN_SECONDS, "served after {:?}", replaced.elapsed());
    open.request_ok(json!({"type": "ping"})).await.context("a connection from before")?;
    ensure!(process.stop(Signal::TERM, DONE_WITHIN)?, "the script did not end");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_ends_its_connections_one_process_at_a_time() -> Result<()> {
    const STEP: Duration = Duration::from_secs(1);
    let (_deployment, front, mut process) = start("drain-nginx", &[("DRAIN_STEP_SECONDS", "1")])?;
    wait_until_open(|| front.connect()).await?;
    // Enough for every process to have one.
    let mut open = Vec::new();
    for _ in 0..40 {
        open.push(front.connect().open().await?);
    }
    process.signal(Signal::TERM)?;
    let ended = open.into_iter().map(|mut client| async move {
        client.wait_closed(DONE_WITHIN).await?;
        Ok::<_, client::Error>(Instant::now())
    });
    let mut ended = futures_util::future::try_join_all(ended).await?;
    ended.sort();
    // Four processes: the last connections end at least two steps after the first ones, and those in between not all at
    // once.
    let groups = 1 + ended.windows(2).filter(|pair| pair[1] - pair[0] > STEP / 2).count();
    ensure!(groups >= 3, "{groups} groups of connections ended");
    process.wait_gone(DONE_WITHIN)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_process_of_nginx_ends_when_there_are_too_many() -> Result<()> {
    let (deployment, front, mut process) = start("old-nginx", &[("MAX_OLD_PROCESSES", "1")])?;
    let alice = deployment.user("alice")?;
    let mut oldest = wait_until_open(|| front.connect()).await?;
    oldest.authenticate(&alice.token).await?;
    let answer = deployment.logs().join("addresses");
    let list = deployment.logs().join("nginx/upstreams.conf");
    let mut others = Vec::new();
    for reload in 1..=2 {
        // Another address that nobody answers at: a reload, and a process that stays with its connection.
        let gone = format!("127.0.0.{}", 100 + reload);
        std::fs::write(&answer, format!("127.0.0.1 STREAM gateways\n{gone} STREAM gateways\n"))?;
        wait::until("the list is new", DONE_WITHIN, || {
            Ok(std::fs::read_to_string(&list).is_ok_and(|list| list.contains(&gone)).then_some(()))
        })?;
        let mut other = wait_until_open(|| front.connect()).await?;
        other.authenticate(&alice.token).await?;
        others.push(other);
    }
    oldest.wait_closed(DONE_WITHIN).await.context("the oldest connection")?;
    let newest = others.last_mut().context("the newest connection")?;
    ensure!(newest.close_info().is_none(), "the newest process ended, too");
    ensure!(process.stop(Signal::TERM, DONE_WITHIN)?, "the script did not end");
    Ok(())
}
