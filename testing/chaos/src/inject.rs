//! Carrying faults out on a deployment, and taking them back.

use std::time::Duration;

use anyhow::{Result, bail};
use devstack::fleet::READY_TIMEOUT;
use devstack::{Direction, Proxy, Server, Weather};
use e2e::Deployment;

use crate::faults::{Fault, Link};

const SLOW: Duration = Duration::from_millis(500);
const GONE_WITHIN: Duration = Duration::from_secs(40);

/// Begins a fault. Blocks.
pub fn begin(deployment: &mut Deployment, fault: Fault) -> Result<()> {
    let fleet = &mut deployment.fleet;
    match fault {
        Fault::KillGateway(index) => fleet.gateways[index].kill()?,
        Fault::KillWorker(index) => fleet.workers[index].kill()?,
        Fault::StopGateway(index) => fleet.gateways[index].pause()?,
        Fault::StopWorker(index) => fleet.workers[index].pause()?,
        // It takes its own time.
        Fault::RollingDeploy => {}
        Fault::RedisEmpty | Fault::RedisCrash => deployment.redis.kill()?,
        Fault::PostgresCrash => deployment.postgres.kill()?,
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
        Fault::PostgresCrash => deployment.postgres.start()?,
        Fault::Cut(link) | Fault::CutUp(link) | Fault::CutDown(link) | Fault::Slow(link) => {
            proxy(deployment, link)?.set(Weather::Fair);
        }
        Fault::Reset(_) | Fault::Tear(_) => {}
    }
    Ok(())
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
