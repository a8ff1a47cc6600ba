//! Carrying faults out on a deployment, and taking them back.

use std::time::Duration;

use anyhow::{Result, bail};
use devstack::fleet::READY_TIMEOUT;
use devstack::{Direction, Proxy, Server, Weather};
use e2e::Deployment;

use crate::faults::{Fault, Link};
use crate::shared::GONE_WITHIN;
use crate::{restore, stalled_log};

const SLOW: Duration = Duration::from_millis(500);

/// Begins a fault. Blocks.
pub fn begin(deployment: &mut Deployment, fault: Fault) -> Result<()> {
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
        // Of nothing, so that it keeps what it has.
        Fault::RedisReadOnly => drop(deployment.redis.command(&["REPLICAOF", "127.0.0.1", "1"])?),
        Fault::PostgresReadOnly => read_only(deployment, "SET default_transaction_read_only = on")?,
        Fault::ColumnAltered => alter_column(deployment, "varchar(200)")?,
        Fault::StalledLog(index) => stalled_log::begin(&mut fleet.gateways[index])?,
        Fault::Restore => restore::begin(deployment)?,
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
    Ok(())
}

/// Ends it: what was killed runs again, though it need not be ready yet. Blocks.
pub fn end(deployment: &mut Deployment, fault: Fault) -> Result<()> {
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
        Fault::RedisReadOnly => drop(deployment.redis.command(&["REPLICAOF", "NO", "ONE"])?),
        Fault::PostgresReadOnly => read_only(deployment, "RESET default_transaction_read_only")?,
        Fault::ColumnAltered => alter_column(deployment, "text")?,
        Fault::PostgresCrash => deployment.postgres.start()?,
        Fault::StalledLog(index) => stalled_log::end(&mut fleet.gateways[index])?,
        Fault::Restore => restore::end(deployment)?,
        Fault::Cut(link) | Fault::CutUp(link) | Fault::CutDown(link) | Fault::Slow(link) => {
            proxy(deployment, link)?.set(Weather::Fair);
        }
        Fault::Reset(_) | Fault::Tear(_) => {}
    }
    Ok(())
}

/// From then on it has this clock.
fn start_with_clock(server: &mut Server, seconds: i64) -> Result<()> {
    server.set("CLOCK_OFFSET_MS", &(seconds * 1000).to_string());
    server.start()
}

fn read_only(deployment: &Deployment, setting: &str) -> Result<()> {
    deployment.sql(&format!("ALTER SYSTEM {setting}"))?;
    deployment.sql("SELECT pg_reload_conf()").map(drop)
}

fn alter_column(deployment: &Deployment, kind: &str) -> Result<()> {
    deployment.sql(&format!("ALTER TABLE users_auth ALTER COLUMN username TYPE {kind}")).map(drop)
}

/// SIGTERM, and the next version on the same port.
fn replace(server: &mut Server) -> Result<()> {
    server.terminate()?;
    server.wait_gone(GONE_WITHIN)?;
    server.start()?;
    // A store may be away at the same time; then it becomes ready later.
    let _ = server.wait_ready(READY_TIMEOUT / 6);
    Ok(())
}

/// Fails when a server that should run has ended by itself.
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
