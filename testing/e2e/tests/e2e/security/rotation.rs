//! Changes each secret of a running fleet, step by step as `docs/security.md` describes. Servers are replaced one at a
//! time, and the fleet serves users between any two of them.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::Client;
use devstack::{Kind, Secrets};
use e2e::{Deployment, Options, Request, User, WORKER_ROLE};
use serde_json::json;

use super::talk;

/// Gives the servers of a kind (or all) new settings, one after the other, with a conversation after each.
async fn roll_out(
    deployment: &mut Deployment,
    people: &[User; 2],
    kind: Option<Kind>,
    settings: &[(&str, &str)],
) -> Result<()> {
    let count = deployment.fleet.servers().count();
    for at in 0..count {
        let server = deployment.fleet.servers().nth(at).context("a server")?;
        if kind.is_some_and(|kind| server.spec().kind != kind) {
            continue;
        }
        settings.iter().for_each(|(name, value)| server.set(name, value));
        server.restart()?;
        talk(deployment, people, &format!("after {at}")).await?;
    }
    Ok(())
}

fn with_token(user: &User, secret: &str) -> Result<User> {
    Ok(User { token: client::token::mint(secret, user.id, Duration::from_secs(600))?, ..user.clone() })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_the_tokens_changes_without_a_failed_login() -> Result<()> {
    let mut deployment = Deployment::start("jwt", Options { workers: 1, ..Options::default() })?;
    let old = deployment.fleet.secrets().jwt_secret.clone();
    let new = Secrets::generate()?.jwt_secret;
    let before = deployment.users(["alice", "bob"])?;
    let after = [with_token(&before[0], &new)?, with_token(&before[1], &new)?];
    let refused = Client::login(&deployment.gateway_url(0), &after[0].token).await.err().context("not yet")?;
    assert_eq!(refused.code(), Some("TOKEN_INVALID"));

    // 1. The gateways accept both.
    let both = [("JWT_SECRET", new.as_str()), ("JWT_SECRET_PREVIOUS", old.as_str())];
    roll_out(&mut deployment, &before, Some(Kind::Gateway), &both).await?;
    // 2. The main backend signs with the new one.
    talk(&deployment, &after, "under the new one").await?;
    talk(&deployment, &before, "under the old one").await?;
    // 3. The old one is removed.
    roll_out(&mut deployment, &after, Some(Kind::Gateway), &[("JWT_SECRET_PREVIOUS", "")]).await?;
    for gateway in 0..2 {
        let refused = Client::login(&deployment.gateway_url(gateway), &before[0].token).await;
        assert_eq!(refused.err().context("the old one is gone")?.code(), Some("TOKEN_INVALID"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_the_encryption_changes_and_all_stays_readable() -> Result<()> {
    let mut deployment = Deployment::start("keys", Options::default())?;
    let people = deployment.users(["alice", "bob"])?;
    talk(&deployment, &people, "under the first key").await?;
    let (old, new) = (deployment.fleet.secrets().encryption_key.clone(), Secrets::generate()?.encryption_key);
    let both = format!("1:{old},2:{new}");
    roll_out(&mut deployment, &people, None, &[("CHAT_ENCRYPTION_KEY", ""), ("CHAT_ENCRYPTION_KEYS", &both)]).await?;
    assert_eq!(deployment.sql("SELECT DISTINCT key_id FROM private_messages")?, "1");
    let turned = format!("2:{new},1:{old}");
    roll_out(&mut deployment, &people, None, &[("CHAT_ENCRYPTION_KEYS", &turned)]).await?;
    let newest = "SELECT key_id FROM private_messages ORDER BY seq DESC LIMIT 1";
    assert_eq!(deployment.sql(newest)?, "2");

    let rotate = || -> Result<String> {
        let mut command = Command::new(devstack::testing::bin_dir()?.join("chatctl"));
        command.args(["keys", "rotate"]).env_clear().env("DATABASE_URL", deployment.postgres.url("chat"));
        command.env("CHAT_ENCRYPTION_KEYS", &turned);
        command.env("CHAT_ENCRYPTION_SALT", &deployment.fleet.secrets().encryption_salt);
        let output = command.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    rotate()?;
    let again = rotate()?;
    assert_eq!(deployment.sql("SELECT DISTINCT key_id FROM private_messages")?, "2", "{again}");
    let alone = format!("2:{new}");
    roll_out(&mut deployment, &people, None, &[("CHAT_ENCRYPTION_KEYS", &alone)]).await?;
    let read = talk(&deployment, &people, "at last").await?;
    assert_eq!(read.first().map(String::as_str), Some("under the first key"));
    assert_eq!(read.len().to_string(), deployment.sql("SELECT count(*) FROM private_messages")?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_redis_changes_beside_the_old_one() -> Result<()> {
    let mut deployment = Deployment::start("redispw", Options { least_rights: true, ..Options::default() })?;
    let people = deployment.users(["alice", "bob"])?;
    talk(&deployment, &people, "before").await?;
    let old = std::fs::read_to_string(deployment.logs().join("secrets/redis/password"))?;
    let new = devstack::secrets::password()?;
    deployment.redis.command(&["ACL", "SETUSER", "chat", &format!(">{new}")])?;
    let url = format!("redis://chat:{new}@127.0.0.1:{}/0", deployment.redis.port());
    roll_out(&mut deployment, &people, None, &[("REDIS_URL", &url)]).await?;
    deployment.redis.command(&["ACL", "SETUSER", "chat", &format!("<{old}")])?;
    let refused = deployment.redis.command(&["AUTH", "chat", &old]).err().context("the old one is gone")?;
    ensure!(format!("{refused:#}").contains("WRONGPASS"), "{refused:#}");
    deployment.fleet.gateways[0].restart()?;
    talk(&deployment, &people, "after").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_postgres_changes_by_way_of_a_second_role() -> Result<()> {
    const SECOND: &str = "chat_worker_2";
    let mut deployment = Deployment::start("pgpw", Options { gateways: 1, ..Options::default() })?;
    let people = deployment.users(["alice", "bob"])?;
    talk(&deployment, &people, "before").await?;
    let [between, new] = [devstack::secrets::password()?, devstack::secrets::password()?];
    let url = |role: &str, password: &str| {
        format!("postgres://{role}:{password}@127.0.0.1:{}/chat", deployment.postgres.port())
    };
    let (second, first) = (url(SECOND, &between), url(WORKER_ROLE, &new));
    let in_use = |role: &str| format!("SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = '{role}'");

    deployment.sql(&format!("CREATE ROLE {SECOND} LOGIN PASSWORD '{between}' IN ROLE {WORKER_ROLE}"))?;
    roll_out(&mut deployment, &people, Some(Kind::Worker), &[("DATABASE_URL", &second)]).await?;
    assert_eq!(deployment.sql(&in_use(WORKER_ROLE))?, "f");
    for logging in ["ALTER SYSTEM SET log_statement = 'all'", "SELECT pg_reload_conf()"] {
        deployment.sql(logging)?;
    }
    let migrate = Command::new(devstack::testing::bin_dir()?.join("chatctl"))
        .arg("migrate")
        .env("DATABASE_URL", deployment.postgres.url("chat"))
        .env("WORKER_PASSWORD", &new)
        .output()?;
    ensure!(migrate.status.success(), "{}", String::from_utf8_lossy(&migrate.stderr));
    roll_out(&mut deployment, &people, Some(Kind::Worker), &[("DATABASE_URL", &first)]).await?;
    assert_eq!(deployment.sql(&in_use(SECOND))?, "f");
    deployment.sql(&format!("DROP ROLE {SECOND}"))?;
    let log = std::fs::read_to_string(deployment.logs().join("postgres.log"))?;
    ensure!(
        log.contains("ALTER ROLE chat_worker PASSWORD") && !log.contains(&new),
        "the password is in the server's log"
    );
    talk(&deployment, &people, "after").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_refused_for_its_old_token_is_repeated() -> Result<()> {
    let mut deployment = Deployment::start("webhook", Options { gateways: 1, workers: 1, ..Options::default() })?;
    let people = deployment.users(["alice", "bob"])?;
    let old = deployment.fleet.secrets().community_sync_token.clone();
    let new = Secrets::generate()?.community_sync_token;
    let event = json!({"eventId": "e1", "userId": people[0].id, "challengeId": "c", "challengeType": "daily",
                       "xpAwarded": 5, "occurredAt": "2026-03-01T09:15:02.481Z", "payload": {}});
    let community = json!({"communityId": "c1", "name": "c"});
    let members = json!([{"userId": people[0].id, "role": "member"}]);
    let body = json!({"community": community, "members": members, "event": event});
    let call = |url: String, token: String| {
        let request = Request::post("/community/progression", &body).bearer(&token);
        async move { anyhow::Ok(request.send(&url).await?.status) }
    };
    let url = deployment.fleet.gateways[0].url();
    assert_eq!(call(url.clone(), old.clone()).await?, 200);
    roll_out(&mut deployment, &people, Some(Kind::Gateway), &[("COMMUNITY_SYNC_TOKEN", &new)]).await?;
    assert_eq!(call(url.clone(), old).await?, 401);
    assert_eq!(call(url, new).await?, 200);
    assert_eq!(deployment.sql("SELECT total_xp FROM user_community_progress")?, "5", "once");
    Ok(())
}
