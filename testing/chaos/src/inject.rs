//! Begins and ends faults on a deployment.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use devstack::fleet::READY_TIMEOUT;
use devstack::{Direction, Proxy, Redis, Server, Weather};
use e2e::Deployment;

use crate::faults::{Fault, Link};
use crate::restore::Losers;
use crate::shared::GONE_WITHIN;
use crate::{restore, stalled_log};

const SLOW: Duration = Duration::from_millis(500);
const SYNCED_WITHIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// What the end of a fault needs from its beginning.
#[derive(Default)]
pub struct Begun {
    losers: Option<Losers>,
}

/// Begins a fault. Blocks.
pub fn begin(deployment: &mut Deployment, fault: Fault) -> Result<Begun> {
    let mut begun = Begun::default();
    let fleet = &mut deployment.fleet;
    match fault {
        Fault::KillGateway(index) | Fault::GatewayClock(index, _) => fleet.gateways[index].kill()?,
        Fault::KillWorker(index) | Fault::WorkerClock(index, _) => fleet.workers[index].kill()?,
        Fault::StopGateway(index) => fleet.gateways[index].pause()?,
        Fault::StopWorker(index) => fleet.workers[index].pause()?,
        // It takes its own time.
        Fault::RollingDeploy => {}
        Fault::RedisEmpty | Fault::RedisCrash => deployment.redis.kill()?,
        Fault::PostgresCrash => deployment.postgres.kill()?,
        Fault::RedisFailover => fail_over(deployment)?,
        Fault::PostgresReadOnly => {
            read_only(deployment, "SET default_transaction_read_only = on")?;
            // Their successors are read-only for as long as they last.
            let others =
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'chat-worker'";
            drop(deployment.sql(others)?);
        }
        Fault::ColumnAltered => alter_column(deployment, "varchar(200)")?,
        Fault::StalledLog(index) => stalled_log::begin(&mut fleet.gateways[index])?,
        Fault::Restore => begun.losers = Some(restore::begin(deployment)?),
        Fault::Cut(link) => proxy(deployment, link)?.set(Weather::Cut),
        Fault::CutUp(link) => proxy(deployment, link)?.set(Weather::OneWayCut(Direction::Up)),
        Fault::CutDown(link) => proxy(deployment, link)?.set(Weather::OneWayCut(Direction::Down)),
        Fault::Slow(link) => proxy(deployment, link)?.set(Weather::Delay(SLOW)),
        Fault::Reset(link) => proxy(deployment, link)?.reset(),
        Fault::Tear(link) => {
            let proxy = proxy(deployment, link)?;
            proxy.tear_next(Direction::Up);
            proxy.tear_next(Direction::Down);
        }
    }
    Ok(begun)
}

/// Ends it: what was killed runs again, though it need not be ready yet. Blocks.
pub fn end(deployment: &mut Deployment, fault: Fault, begun: &Begun) -> Result<()> {
    let fleet = &mut deployment.fleet;
    match fault {
        Fault::KillGateway(index) => fleet.gateways[index].start()?,
        Fault::KillWorker(index) => fleet.workers[index].start()?,
        Fault::StopGateway(index) => fleet.gateways[index].resume()?,
        Fault::StopWorker(index) => fleet.workers[index].resume()?,
        Fault::RollingDeploy => {
            for server in fleet.servers() {
                replace(server)?;
            }
        }
        Fault::RedisEmpty => deployment.redis.restart_empty()?,
        Fault::RedisCrash => deployment.redis.start()?,
        Fault::GatewayClock(index, seconds) => start_with_clock(&mut fleet.gateways[index], seconds)?,
        Fault::WorkerClock(index, seconds) => start_with_clock(&mut fleet.workers[index], seconds)?,
        // Only the next failover undoes it.
        Fault::RedisFailover => {}
        Fault::PostgresReadOnly => read_only(deployment, "RESET default_transaction_read_only")?,
        Fault::ColumnAltered => alter_column(deployment, "text")?,
        Fault::PostgresCrash => deployment.postgres.start()?,
        Fault::StalledLog(index) => stalled_log::end(&mut fleet.gateways[index])?,
        Fault::Restore => {
            if let Some(losers) = &begun.losers {
                restore::end(deployment, losers)?;
            }
        }
        Fault::Cut(link) | Fault::CutUp(link) | Fault::CutDown(link) | Fault::Slow(link) => {
            proxy(deployment, link)?.set(Weather::Fair);
        }
        Fault::Reset(_) | Fault::Tear(_) => {}
    }
    Ok(())
}

/// Starts the server with a different clock.
fn start_with_clock(server: &mut Server, seconds: i64) -> Result<()> {
    server.set("CLOCK_OFFSET_MS", &(seconds * 1000).to_string());
    server.start()
}

/// Changes a setting that sessions read when they begin.
fn read_only(deployment: &Deployment, setting: &str) -> Result<()> {
    // In a transaction that would itself be read-only.
    deployment.sql(&format!("SET transaction_read_only = off; ALTER DATABASE chat {setting}")).map(drop)
}

/// Another Redis takes over, behind the same address. The connections to the former primary stay, and it is a replica from now on.
fn fail_over(deployment: &mut Deployment) -> Result<()> {
    let mut successor = match deployment.redis_replica.take() {
        Some(replica) => replica,
        None => deployment.start_spare_redis()?,
    };
    let port = |redis: &Redis| redis.port().to_string();
    successor.command(&["REPLICAOF", "127.0.0.1", &port(&deployment.redis)])?;
    let deadline = Instant::now() + SYNCED_WITHIN;
    while !successor.command(&["INFO", "replication"])?.contains("master_link_status:up") {
        ensure!(Instant::now() < deadline, "the replica of Redis does not follow");
        sleep(LOOK);
    }
    successor.command(&["REPLICAOF", "NO", "ONE"])?;
    let network = deployment.network()?;
    network.gateway_redis.lead_to(successor.port());
    network.worker_redis.lead_to(successor.port());
    deployment.redis.command(&["REPLICAOF", "127.0.0.1", &port(&successor)])?;
    std::mem::swap(&mut deployment.redis, &mut successor);
    deployment.redis_replica = Some(successor);
    Ok(())
}

fn alter_column(deployment: &Deployment, kind: &str) -> Result<()> {
    deployment.sql(&format!("ALTER TABLE users_auth ALTER COLUMN username TYPE {kind}")).map(drop)
}

/// SIGTERM, and the next version on the same port.
fn replace(server: &mut Server) -> Result<()> {
    server.terminate()?;
    server.wait_gone(GONE_WITHIN)?;
    server.start()?;
    // If a store is unavailable at the same time, the server becomes ready later.
    let _ = server.wait_ready(READY_TIMEOUT / 6);
    Ok(())
}

/// Fails if a server that should run has ended by itself.
pub fn check_alive(deployment: &mut Deployment) -> Result<()> {
    deployment.fleet.servers().try_for_each(Server::check_alive)
}

fn proxy(deployment: &Deployment, link: Link) -> Result<&Proxy> {
    let network = deployment.network()?;
    Ok(match link {
        Link::GatewayRedis => &network.gateway_redis,
        Link::WorkerRedis => &network.worker_redis,
        Link::WorkerPostgres => &network.worker_postgres,
        Link::Clients(gateway) => match network.clients.get(gateway) {
            Some(proxy) => proxy,
            None => bail!("no gateway {gateway}"),
        },
    })
}
