//! Servers and stores die and come back while messages flow: nothing acknowledged is lost, doubled or out of order.

use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::{Deployment, Options, Talk};

const NOTICED_WITHIN: Duration = Duration::from_secs(60);

async fn talking(label: &str) -> Result<(Deployment, Talk)> {
    talking_with(label, Options::default().with("LEASE_TTL", "2s").with("COMMAND_TIMEOUT", "5s")).await
}

pub async fn talking_with(label: &str, options: Options) -> Result<(Deployment, Talk)> {
    let deployment = Deployment::start(label, options)?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let talk = Talk::start(alice, bob, vec![deployment.gateway_url(0)], vec![deployment.gateway_url(1)]);
    talk.progress(50).await.context("before any fault")?;
    Ok((deployment, talk))
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_either_worker_loses_nothing() -> Result<()> {
    let (mut deployment, talk) = talking("killworkers").await?;
    for worker in 0..2 {
        deployment.fleet.workers[worker].kill()?;
        talk.progress(100).await.with_context(|| format!("after the death of worker {worker}"))?;
        deployment.fleet.workers[worker].restart()?;
        talk.progress(100).await.with_context(|| format!("after the return of worker {worker}"))?;
    }
    talk.finish(&deployment).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_either_gateway_loses_nothing() -> Result<()> {
    let (mut deployment, talk) = talking("killgateways").await?;
    for gateway in 0..2 {
        deployment.fleet.gateways[gateway].kill()?;
        deployment.fleet.gateways[gateway].restart()?;
        talk.progress(100).await.with_context(|| format!("after the return of gateway {gateway}"))?;
    }
    talk.finish(&deployment).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_empty_loses_nothing() -> Result<()> {
    let (mut deployment, talk) = talking("emptyredis").await?;
    for _ in 0..2 {
        deployment.redis.kill()?;
        deployment.redis.restart_empty()?;
        talk.progress(100).await.context("after Redis came back empty")?;
    }
    talk.finish(&deployment).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_postgres_loses_nothing() -> Result<()> {
    let (mut deployment, talk) = talking("postgres").await?;
    deployment.postgres.kill()?;
    deployment.postgres.restart()?;
    talk.progress(100).await.context("after Postgres came back")?;
    talk.finish(&deployment).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_paused_beyond_its_lease_commits_nothing() -> Result<()> {
    let (mut deployment, talk) = talking("paused").await?;
    for worker in 0..2 {
        deployment.fleet.workers[worker].pause()?;
        talk.progress(100).await.context("while a worker is stopped")?;
        deployment.fleet.workers[worker].resume()?;
        talk.progress(100).await.context("after it went on")?;
    }
    talk.finish(&deployment).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_started_before_their_stores_serve_once_they_are_up() -> Result<()> {
    let (mut deployment, talk) = talking("nostores").await?;
    deployment.redis.kill()?;
    deployment.postgres.kill()?;
    for server in deployment.fleet.servers() {
        server.kill()?;
        server.start()?;
    }
    // When they report that they are alive, they have already tried to reach the stores.
    for server in &deployment.fleet.gateways {
        devstack::wait::until("a gateway says that it is not ready", NOTICED_WITHIN, || {
            Ok(devstack::http::get(&format!("{}/ready", server.url())).ok().map(|ready| assert_eq!(ready.status, 503)))
        })?;
    }
    deployment.redis.start()?;
    deployment.postgres.start()?;
    talk.progress(50).await.context("once the stores are there")?;
    talk.finish(&deployment).await?;
    Ok(())
}
