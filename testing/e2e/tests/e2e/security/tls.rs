//! TLS to the stores: a fleet that uses it, and servers that do not trust the stores' certificates.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use devstack::wait::SOON;
use devstack::{Kind, Server, ServerSpec, ports, wait};
use e2e::{Authority, Deployment, LOOPBACK, Options};
use serde_json::json;

use super::talk;

/// A server like the fleet's first of its kind, with one setting changed.
fn stranger(deployment: &Deployment, kind: Kind, index: usize, (name, value): (&str, &str)) -> Result<Server> {
    let like = match kind {
        Kind::Gateway => deployment.fleet.gateways.first(),
        Kind::Worker => deployment.fleet.workers.first(),
    };
    let port = ports::free_one()?;
    let mut server = Server::new(ServerSpec { index, port, ..like.context("a server")?.spec().clone() });
    server.set("BIND_ADDR", &format!("127.0.0.1:{port}"));
    server.set(name, value);
    server.start()?;
    Ok(server)
}

/// The server stays up, says why in its log, and is never ready.
fn assert_refuses(mut server: Server, reason: &str) -> Result<()> {
    let what = format!("{} says {reason}", server.name());
    wait::until(&what, SOON, || {
        server.check_alive()?;
        Ok(std::fs::read_to_string(server.log_path())?.contains(reason).then_some(()))
    })?;
    ensure!(!server.is_ready(), "{} serves over a connection that nobody vouches for", server.name());
    server.kill()
}

fn setting(deployment: &Deployment, kind: Kind, name: &str) -> Result<String> {
    let servers = if kind == Kind::Gateway { &deployment.fleet.gateways } else { &deployment.fleet.workers };
    let env = &servers.first().context("a server")?.spec().env;
    let value = env.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.to_str());
    value.map(str::to_owned).with_context(|| name.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_serves_over_tls_and_trusts_only_the_right_stores() -> Result<()> {
    let options = Options { tls: true, least_rights: true, workers: 1, ..Options::default() };
    let deployment = Deployment::start("tls", options)?;
    let people = deployment.users(["alice", "bob"])?;
    talk(&deployment, &people, "over TLS").await?;
    let unencrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                       WHERE usename = 'chat_worker' AND NOT ssl";
    assert_eq!(deployment.sql(unencrypted)?, "0");
    assert_ne!(deployment.sql(&unencrypted.replace("NOT ssl", "ssl"))?, "0");
    let redis_url = setting(&deployment, Kind::Gateway, "REDIS_URL")?;
    ensure!(redis_url.starts_with("rediss://"), "Redis is reached without TLS");
    let authority = deployment.authority()?;
    let status = |ca: &str| {
        let mut command = Command::new(devstack::testing::bin_dir()?.join("chatctl"));
        command.arg("status").env("REDIS_URL", &redis_url).env("REDIS_PREFIX", "chat:").env("REDIS_TLS_CA", ca);
        command.env("DATABASE_URL", setting(&deployment, Kind::Worker, "DATABASE_URL")?);
        Ok::<_, anyhow::Error>(command.output()?.status.success())
    };
    ensure!(status(&authority.file())?, "chatctl reaches both");

    // Certificates for the right name, from another authority.
    let other = Authority::new(deployment.logs().join("other"))?;
    ensure!(!status(&other.file())?, "chatctl trusts anybody");
    let redis = ("REDIS_TLS_CA", other.file());
    let url = setting(&deployment, Kind::Worker, "DATABASE_URL")?;
    let postgres = ("DATABASE_URL", url.replace(&authority.file(), &other.file()));
    assert_refuses(stranger(&deployment, Kind::Gateway, 7, (redis.0, &redis.1))?, "UnknownIssuer")?;
    assert_refuses(stranger(&deployment, Kind::Worker, 7, (redis.0, &redis.1))?, "UnknownIssuer")?;
    assert_refuses(stranger(&deployment, Kind::Worker, 8, (postgres.0, &postgres.1))?, "UnknownIssuer")?;

    // Certificates from the right authority for another name. Open connections stay.
    authority.encrypt_postgres(&deployment.postgres, "DNS:elsewhere.example")?;
    let unchanged = ("LOG_LEVEL", "info");
    assert_refuses(stranger(&deployment, Kind::Worker, 9, unchanged)?, "not valid for name")?;
    authority.encrypt_postgres(&deployment.postgres, LOOPBACK)?;
    let port = authority.encrypt_redis(&deployment.redis, "DNS:elsewhere.example")?;
    let (before, _) = redis_url.rsplit_once(':').context("a port")?;
    let moved = ("REDIS_URL", format!("{before}:{port}/0"));
    assert_refuses(stranger(&deployment, Kind::Gateway, 9, (moved.0, &moved.1))?, "NotValidForName")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_tls_is_refused_where_it_is_demanded() -> Result<()> {
    let deployment = Deployment::start("notls", Options { workers: 1, gateways: 1, ..Options::default() })?;
    let authority = Authority::new(deployment.logs().join("authority"))?;
    let url = setting(&deployment, Kind::Worker, "DATABASE_URL")?;
    let demanding = format!("{url}?sslmode=verify-full&sslrootcert={}", authority.file());
    assert_refuses(stranger(&deployment, Kind::Worker, 7, ("DATABASE_URL", &demanding))?, "does not support TLS")?;
    let mut gateway = deployment.fleet.gateways.first().context("a gateway")?.spec().clone();
    gateway.index = 7;
    let mut gateway = Server::new(gateway);
    gateway.set("BIND_ADDR", &format!("127.0.0.1:{}", ports::free_one()?));
    gateway.set("REDIS_TLS_CA", &authority.file());
    gateway.start()?;
    // A setting that would have no effect is an error, and is named.
    gateway.wait_gone(SOON)?;
    ensure!(std::fs::read_to_string(gateway.log_path())?.contains("REDIS_TLS_CA"), "the mistake is named");
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut a = deployment.login(0, &alice).await?;
    a.request_ok(json!({"type": "send_message", "recipientId": bob.id, "content": "still"})).await?;
    Ok(())
}
