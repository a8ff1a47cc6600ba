//! A bad network between each two parts: while it lasts every command is applied or rejected in time and sockets stay
//! open; afterwards everything continues and nothing is lost.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::{Client, event_type};
use devstack::{Direction, Proxy, Scratch, Weather, testing};
use e2e::{Deployment, Options, Talk, User};
use serde_json::{Value, json};
use tokio::time::Instant;

/// `COMMAND_TIMEOUT`, the two seconds that a gateway adds to it, and what a slow machine needs.
const ANSWERED_WITHIN: Duration = Duration::from_secs(12);
/// Five seconds on an idle machine.
const BACK_WITHIN: Duration = Duration::from_secs(25);
/// Longer than the leases.
const LASTS: Duration = Duration::from_millis(2_500);
const ALL: [Weather; 5] = [
    Weather::Cut,
    Weather::OneWayCut(Direction::Up),
    Weather::OneWayCut(Direction::Down),
    Weather::Delay(Duration::from_millis(500)),
    Weather::Narrow { bytes_per_second: 1_000 },
];

/// A fleet with a running conversation, and a user connected to a gateway without a proxy.
struct Scene {
    deployment: Deployment,
    talk: Talk,
    person: Client,
    to: User,
}

impl Scene {
    async fn start(label: &str) -> Result<Scene> {
        let options = Options { proxied: true, ..Options::default() };
        let options = options.with("LEASE_TTL", "2s").with("COMMAND_TIMEOUT", "5s");
        let deployment = Deployment::start(label, options)?;
        let [alice, bob, carol, dave] = deployment.users(["alice", "bob", "carol", "dave"])?;
        let talk = Talk::start(alice, bob, vec![deployment.gateway_url(0)], vec![deployment.gateway_url(1)]);
        talk.progress(20).await.context("before any fault")?;
        let person = Client::login(&deployment.fleet.gateways[0].ws_url(), &carol.token).await?;
        Ok(Scene { deployment, talk, person, to: dave })
    }

    /// Sends one message: it must be acknowledged, or rejected as the protocol says, in time.
    async fn ask(&mut self) -> Result<bool> {
        let message = json!({"type": "send_private_message", "recipientId": self.to.id, "content": "x"});
        let asked_at = Instant::now();
        let answer = self.person.request_within(message, ANSWERED_WITHIN).await;
        let answer = answer.with_context(|| format!("{:?} after asking", asked_at.elapsed()))?;
        self.person.drain();
        if event_type(&answer) == "message_sent" {
            return Ok(true);
        }
        ensure!(is_unavailable(&answer), "not refused as the protocol says: {answer}");
        Ok(false)
    }

    async fn back(&mut self) -> Result<()> {
        let ended_at = Instant::now();
        while !self.ask().await? {
            ensure!(ended_at.elapsed() < BACK_WITHIN, "not back after {:?}", ended_at.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.talk.progress(20).await.context("the conversation goes on")
    }

    /// Causes all kinds of trouble between a store and the servers. The user's socket must survive all of it.
    async fn endure(mut self, link: impl Fn(&Deployment) -> Result<&Proxy>) -> Result<()> {
        for weather in ALL {
            link(&self.deployment)?.set(weather);
            let ends_at = Instant::now() + LASTS;
            while Instant::now() < ends_at {
                self.ask().await.with_context(|| format!("during {weather:?}"))?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            link(&self.deployment)?.set(Weather::Fair);
            self.back().await.with_context(|| format!("after {weather:?}"))?;
        }
        for direction in [Direction::Up, Direction::Down] {
            link(&self.deployment)?.tear_next(direction);
            self.back().await.with_context(|| format!("after a reset in mid-frame, {direction:?}"))?;
            ensure!(link(&self.deployment)?.has_torn(direction), "nothing was torn");
        }
        link(&self.deployment)?.reset();
        self.back().await.context("after a reset")?;
        self.talk.finish(&self.deployment).await?;
        Ok(())
    }
}

fn is_unavailable(answer: &Value) -> bool {
    answer["code"] == "SERVICE_UNAVAILABLE" && answer["retryAfter"].as_u64().is_some_and(|seconds| seconds > 0)
}

/// A planned failover behind a name: the old primary becomes a replica and keeps its connections, on which PING is
/// answered and no write is accepted; new connections reach the new primary.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_became_a_replica_is_left_for_the_new_primary() -> Result<()> {
    let mut scene = Scene::start("netfailover").await?;
    let scratch = Scratch::new("netfailover-primary")?;
    let primary = testing::start_redis_beside(&scratch, &scene.deployment.redis)?;
    for redis in [&scene.deployment.redis, &primary] {
        redis.command(&["ACL", "SETUSER", "default", "-info", "-role"])?;
    }
    let network = scene.deployment.network()?;
    network.gateway_redis.lead_to(primary.port());
    network.worker_redis.lead_to(primary.port());
    scene.deployment.redis.command(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()])?;
    scene.back().await.context("the new primary serves")?;
    scene.talk.finish(&scene.deployment).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_network_between_gateways_and_redis_loses_nothing() -> Result<()> {
    Scene::start("netgateway").await?.endure(|deployment| Ok(&deployment.network()?.gateway_redis)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_network_between_workers_and_redis_loses_nothing() -> Result<()> {
    Scene::start("networker").await?.endure(|deployment| Ok(&deployment.network()?.worker_redis)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_network_between_workers_and_postgres_loses_nothing() -> Result<()> {
    Scene::start("netpostgres").await?.endure(|deployment| Ok(&deployment.network()?.worker_postgres)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_network_between_clients_and_gateways_loses_nothing() -> Result<()> {
    let mut scene = Scene::start("netclients").await?;
    let user = scene.deployment.user("erin")?;
    let mut client = scene.deployment.login(0, &user).await?;
    let message = json!({"type": "send_private_message", "recipientId": scene.to.id, "content": "x"});
    for weather in ALL {
        let links = &scene.deployment.network()?.clients;
        links.iter().for_each(|link| link.set(weather));
        // The socket survives: the command that was written meanwhile is answered afterwards.
        client.send(message.clone()).await?;
        let ends_at = Instant::now() + LASTS;
        while Instant::now() < ends_at {
            ensure!(scene.ask().await?, "who is connected otherwise notices nothing");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        scene.deployment.network()?.clients.iter().for_each(|link| link.set(Weather::Fair));
        let answered = client.expect("message_sent", |_| true, BACK_WITHIN).await;
        answered.with_context(|| format!("after {weather:?}"))?;
        scene.back().await.with_context(|| format!("after {weather:?}"))?;
    }
    for gateway in 0..2 {
        for direction in [Direction::Up, Direction::Down] {
            scene.deployment.network()?.clients[gateway].tear_next(direction);
            scene.talk.progress(20).await.with_context(|| format!("after a reset in mid-frame, {direction:?}"))?;
        }
    }
    scene.talk.finish(&scene.deployment).await?;
    Ok(())
}
