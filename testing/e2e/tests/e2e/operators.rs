//! What operators do with `chatctl` on a running fleet.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use devstack::wait::SOON;
use devstack::{http, testing};
use e2e::{Deployment, Front, Options};
use serde_json::{Value, json};

const DONE_WITHIN: Duration = Duration::from_secs(60);

/// Runs chatctl as an operator does, with the secrets in files.
pub fn chatctl(deployment: &Deployment, arguments: &[&str]) -> Result<Output> {
    chatctl_at(&deployment.postgres.url("chat"), deployment, arguments)
}

fn chatctl_at(database_url: &str, deployment: &Deployment, arguments: &[&str]) -> Result<Output> {
    chatctl_command(database_url, deployment)?.args(arguments).output().context("chatctl")
}

fn chatctl_command(database_url: &str, deployment: &Deployment) -> Result<Command> {
    let file = |name: &str, content: &str| -> Result<std::path::PathBuf> {
        let path = deployment.logs().join(name);
        std::fs::write(&path, format!("{content}\n"))?;
        Ok(path)
    };
    let mut command = Command::new(testing::bin_dir()?.join("chatctl"));
    command.current_dir("/").env_clear();
    command.env("DATABASE_URL_FILE", file("database_url", database_url)?);
    command.env("REDIS_URL_FILE", file("redis_url", &deployment.redis.url())?);
    let secrets = deployment.fleet.secrets();
    command.env("CHAT_ENCRYPTION_KEY_FILE", file("encryption_key", &secrets.encryption_key)?);
    command.env("CHAT_ENCRYPTION_SALT", &secrets.encryption_salt);
    Ok(command)
}

fn succeed(deployment: &Deployment, arguments: &[&str]) -> Result<String> {
    let output = chatctl(deployment, arguments)?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn fail(deployment: &Deployment, arguments: &[&str]) -> Result<String> {
    let output = chatctl(deployment, arguments)?;
    ensure!(output.status.code() == Some(1), "{arguments:?}: {:?}", output.status);
    Ok(String::from_utf8(output.stderr)?)
}

fn status(deployment: &Deployment) -> Result<Value> {
    Ok(serde_json::from_str(&succeed(deployment, &["status", "--json"])?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn status_sessions_and_kick_see_the_whole_fleet() -> Result<()> {
    let deployment = Deployment::start("operators", Options::default())?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut first = deployment.login(0, &alice).await?;
    let mut second = deployment.login(1, &alice).await?;
    let mut other = deployment.login(1, &bob).await?;

    // Partitions are assigned within seconds of the start.
    let deadline = std::time::Instant::now() + DONE_WITHIN;
    let seen = loop {
        let seen = status(&deployment)?;
        let owners = seen["partitions"].as_array().context("partitions")?;
        let spread = owners.len() == 2 && owners.iter().all(|owner| owner["worker"].is_string());
        if spread || std::time::Instant::now() > deadline {
            break seen;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let total: i64 =
        seen["partitions"].as_array().context("partitions")?.iter().filter_map(|o| o["partitions"].as_i64()).sum();
    ensure!(total == 64, "{seen}");
    let fleet = &seen["fleet"];
    let count = |list: &str| fleet[list].as_array().map_or(0, Vec::len);
    ensure!((count("gateways"), count("workers")) == (2, 2), "{seen}");
    let mut sessions: Vec<i64> =
        fleet["gateways"].as_array().context("gateways")?.iter().filter_map(|g| g["sessions"].as_i64()).collect();
    sessions.sort_unstable();
    ensure!(sessions == [1, 2] && fleet["onlineUsers"] == 2, "{seen}");
    ensure!(fleet["deadLetters"] == 0 && fleet["waiting"]["ordered"]["commands"].is_u64(), "{seen}");
    let text = succeed(&deployment, &["status"])?;
    ensure!(text.lines().filter(|line| line.starts_with("gateway ")).count() == 2, "{text}");
    ensure!(text.contains("online   2 users"), "{text}");

    ensure!(succeed(&deployment, &["sessions"])?.lines().count() == 3);
    let of_alice = succeed(&deployment, &["sessions", &alice.name])?;
    ensure!(of_alice.lines().count() == 2 && of_alice.starts_with(&format!("{}\t", alice.id)), "{of_alice}");

    ensure!(succeed(&deployment, &["kick", &alice.name])?.trim() == "2 closed");
    for client in [&mut first, &mut second] {
        let closed = client.wait_closed(DONE_WITHIN).await?;
        ensure!(closed.code == Some(1008), "{closed:?}");
    }
    other.request_ok(json!({"type": "ping"})).await.context("somebody else")?;
    ensure!(succeed(&deployment, &["sessions", &alice.name])?.is_empty());
    let again = fail(&deployment, &["kick", "nobody-of-that-name"])?;
    ensure!(again.contains("there is no user"), "{again}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_gateway_closes_its_connections_and_ends() -> Result<()> {
    let mut deployment = Deployment::start("drain", Options::default().with("DRAIN_WINDOW", "500ms"))?;
    let alice = deployment.user("alice")?;
    let mut client = deployment.login(0, &alice).await?;
    let health = devstack::http::get(&format!("{}/health", deployment.fleet.gateways[0].url()))?;
    let health: Value = serde_json::from_str(&health.body)?;
    let gateway = health["gatewayId"].as_str().context("gatewayId")?;

    ensure!(succeed(&deployment, &["drain", gateway])?.trim() == "ended");
    let closed = client.wait_closed(DONE_WITHIN).await?;
    ensure!(closed.code == Some(1012), "{closed:?}");
    deployment.fleet.gateways[0].wait_gone(DONE_WITHIN)?;
    deployment.login(1, &alice).await.context("the other gateway")?;
    ensure!(fail(&deployment, &["drain", gateway])?.contains("there is no gateway"));
    ensure!(fail(&deployment, &["drain", "gateway-1"])?.contains("is no gateway's id"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_what_there_is_while_redis_is_away() -> Result<()> {
    let mut deployment = Deployment::start("halfstatus", Options { gateways: 1, workers: 1, ..Options::default() })?;
    deployment.redis.kill()?;
    let output = chatctl(&deployment, &["status"])?;
    ensure!(output.status.code() == Some(1), "{:?}", output.status);
    ensure!(String::from_utf8_lossy(&output.stderr).contains("Redis does not answer"), "{output:?}");
    ensure!(String::from_utf8_lossy(&output.stdout).contains("partitions"), "{output:?}");
    Ok(())
}

#[test]
fn config_check_names_every_problem() -> Result<()> {
    let check = |service: &str, env: &[(&str, &str)]| -> Result<Output> {
        let mut command = Command::new(testing::bin_dir()?.join("chatctl"));
        command.args(["config", "check", service]).current_dir("/").env_clear().envs(env.iter().copied());
        command.output().context("chatctl")
    };
    let key = ("CHAT_ENCRYPTION_KEY", "only for this test, and long enough for it");
    let secret = ("JWT_SECRET", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=");
    let usable = check("gateway", &[key, secret])?;
    ensure!(usable.status.success(), "{usable:?}");
    ensure!(String::from_utf8_lossy(&usable.stdout).trim() == "usable");

    let broken = check("gateway", &[key, ("MAX_CONNECTIONS", "many"), ("REDIS_URL_FILE", "/nonexistent")])?;
    let text = String::from_utf8_lossy(&broken.stderr);
    ensure!(broken.status.code() == Some(2), "{broken:?}");
    for problem in ["MAX_CONNECTIONS", "REDIS_URL_FILE", "JWT_SECRET is required"] {
        ensure!(text.contains(problem), "{problem} is not in {text}");
    }
    let worker = check("worker", &[key])?;
    ensure!(worker.status.code() == Some(2) && String::from_utf8_lossy(&worker.stderr).contains("DATABASE_URL"));
    Ok(())
}

/// The shell blocks of a page.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_runbook_runs() -> Result<()> {
    let options = Options::default().with("DRAIN_WINDOW", "500ms").with("REDIS_PREFIX", "chat:");
    let deployment = Deployment::start("runbook", options)?;
    let alice = deployment.user("alice")?;
    let _open = deployment.login(0, &alice).await?;
    let health = devstack::http::get(&format!("{}/health", deployment.fleet.gateways[1].url()))?;
    let health: Value = serde_json::from_str(&health.body)?;
    let path = format!("{}:{}", testing::bin_dir()?.display(), std::env::var("PATH").unwrap_or_default());

    let blocks = commands(&std::fs::read_to_string(e2e::repository("docs/runbook.md"))?);
    ensure!(blocks.len() >= 8, "{} blocks", blocks.len());
    for block in blocks {
        let mut command = Command::new("sh");
        command.args(["-euc", &block]).current_dir("/").env_clear().env("PATH", &path);
        command.env("DATABASE_URL", deployment.postgres.url("chat")).env("REDIS_URL", deployment.redis.url());
        let secrets = deployment.fleet.secrets();
        command.env("CHAT_ENCRYPTION_KEY", &secrets.encryption_key);
        command.env("CHAT_ENCRYPTION_SALT", &secrets.encryption_salt);
        command.env("REDIS_PREFIX", "chat:").env("USER_NAME", &alice.name);
        command.env("GATEWAY", deployment.fleet.gateways[0].url()).env("WORKER", deployment.fleet.workers[0].url());
        command.env("GATEWAY_ID", health["gatewayId"].as_str().context("gatewayId")?);
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        // redis-cli prints errors, but exits with 0.
        let refused = ["ERR ", "NOPERM", "WRONGTYPE"].iter().any(|error| said.contains(error));
        // Without webhooks there is nothing to list.
        let has_answer = !said.trim().is_empty() || block.starts_with("chatctl webhook");
        ensure!(output.status.success() && !refused && has_answer, "{block}: {output:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_what_is_wrong_and_nothing_else() -> Result<()> {
    let deployment = Deployment::start("doctor", Options::default())?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut client = deployment.login(0, &alice).await?;
    client.request_ok(json!({"type": "send_private_message", "recipientId": bob.id, "content": "sealed"})).await?;
    let doctor = || -> Result<String> {
        let output = chatctl(&deployment, &["doctor"])?;
        ensure!(output.status.code() == Some(1), "problems fail: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    // The tests' Postgres is fast and not durable: the only finding.
    let healthy = doctor()?;
    let problems: Vec<&str> = healthy.lines().filter(|line| line.starts_with("PROBLEM")).collect();
    ensure!(
        problems.len() == 2 && problems[0].contains("fsync") && problems[1].contains("full_page_writes"),
        "{healthy}"
    );
    for said in [
        "Postgres takes writes",
        "the schema is up to date",
        "chat_worker has its rights",
        "the newest message decrypts",
        "maxmemory-policy is noeviction",
        "2 gateways are alive",
        "2 workers are alive",
        concat!("and there are gateways of ", env!("CARGO_PKG_VERSION"), ", workers of ", env!("CARGO_PKG_VERSION")),
        "the settings here are usable",
    ] {
        ensure!(
            healthy.lines().any(|line| line.starts_with("ok ") && line.contains(said)),
            "`{said}` is not in {healthy}"
        );
    }
    ensure!(succeed(&deployment, &["verify"])?.lines().all(|line| line.starts_with("ok ")), "a database that is whole");

    let has_advice = |about: &str| healthy.lines().any(|line| line.starts_with("advice  ") && line.contains(about));
    ensure!(has_advice("subscribers may fall behind by 32 MiB"), "the default of Redis is not enough: {healthy}");

    // The rights of the workers are enough, as in a worker's pod.
    let as_worker = format!("{}?options=-c%20role%3Dchat_worker", deployment.postgres.url("chat"));
    let output = chatctl_at(&as_worker, &deployment, &["doctor"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    let is_complete = text.lines().count() == healthy.lines().count() && text.contains("2 workers are alive");
    ensure!(is_complete, "{text}{}", String::from_utf8_lossy(&output.stderr));

    // Each finding says what to do.
    deployment.redis.command(&["SET", "unnamed_proxy", "10.9.8.7"])?;
    let text = doctor()?;
    ensure!(text.contains("clients behind 10.9.8.7") && text.contains("TRUSTED_PROXIES"), "{text}");
    deployment.sql("REVOKE INSERT ON private_messages FROM chat_worker")?;
    let ready = format!("{}/ready", deployment.fleet.workers[0].url());
    let deadline = Instant::now() + SOON;
    while !http::get(&ready).is_ok_and(|answer| answer.status == 503 && answer.body.contains("write private_messages"))
    {
        ensure!(Instant::now() < deadline, "a worker without a right is ready: {}", http::get(&ready)?.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ensure!(healthy.contains("ok      deleted accounts are noticed"), "{healthy}");
    deployment.sql("ALTER TABLE users_auth DISABLE TRIGGER chat_departure")?;
    ensure!(doctor()?.contains("advice  deleted accounts are noticed"), "a trigger that is off");
    deployment.sql("REVOKE UPDATE (last_used_at) ON api_keys FROM chat_worker")?;
    let text = doctor()?;
    let lacks = "PROBLEM chat_worker lacks INSERT on private_messages, UPDATE (last_used_at) on api_keys\n";
    ensure!(text.contains(lacks), "rights that are missing: {text}");
    deployment.sql("SELECT pg_create_physical_replication_slot('forgotten', true)")?;
    ensure!(doctor()?.contains("advice  Postgres: nobody reads the replication slots forgotten"));
    let now = deployment.redis.command(&["TIME"])?;
    let now_ms = format!("{}000", now.lines().next().context("a time")?);
    deployment.redis.command(&["ZADD", "heartbeats:gateway", &now_ms, "00000000000000000000000000000001"])?;
    deployment.redis.command(&["SET", "version:gateway:00000000000000000000000000000001", "0.0.9"])?;
    let text = doctor()?;
    ensure!(text.contains("advice  this is chatctl") && text.contains("gateways of 0.0.9"), "{text}");
    deployment.sql("DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)")?;
    let text = doctor()?;
    ensure!(text.contains("PROBLEM the schema lacks 1 migrations"), "{text}");
    ensure!(text.contains("chatctl migrate"), "{text}");
    Ok(())
}

/// In front of the gateways is nginx, first as deployed and then with an idle timeout that is too short.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_notices_a_proxy_that_ends_quiet_connections() -> Result<()> {
    let options = Options { gateways: 1, workers: 1, ..Options::default() };
    let options = options.with("TRUSTED_PROXIES", "127.0.0.1").with("PING_INTERVAL", "4s");
    let deployment = Deployment::start("doctor-front", options)?;
    let mut front = Front::start(&deployment)?;
    let alice = deployment.user("alice")?;
    let (url, certificate) = (front.nginx.url(), front.certificate_path().to_owned());
    let doctor = || -> Result<String> {
        let mut command = chatctl_command(&deployment.postgres.url("chat"), &deployment)?;
        command.args(["doctor", "--connect-as", &alice.name, "--url", &url, "--token", &alice.token]);
        command.env("SSL_CERT_FILE", &certificate).env("PING_INTERVAL", "4s").env("MAX_CONNECTIONS", "many");
        Ok(String::from_utf8(command.output().context("chatctl")?.stdout)?)
    };
    let text = doctor()?;
    ensure!(text.contains("a quiet connection outlives two pings of the gateway, one every 4 s"), "{text}");
    ensure!(text.contains("the gateways count 127.0.0.1, the address of this machine"), "{text}");
    ensure!(
        text.contains("PROBLEM MAX_CONNECTIONS") && !text.contains("is required"),
        "a setting that is unusable: {text}"
    );

    front.nginx.stop()?;
    front.nginx.change_config("proxy_read_timeout 1h;", "proxy_read_timeout 1s;")?;
    front.nginx.start()?;
    let text = doctor()?;
    ensure!(text.contains("a quiet connection ended after") && text.contains("exceed PING_INTERVAL"), "{text}");
    Ok(())
}
