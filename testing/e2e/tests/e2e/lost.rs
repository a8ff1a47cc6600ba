//! A worker dies between its commit and its publication, and its successor publishes what the stream still holds; and the double
//! fault: the stream is lost, too. What was committed still arrives, without any further message.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use client::Client;
use devstack::wait::SOON;
use e2e::{Deployment, Options, User};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Twice the promised time, for a slow machine.
const FOUND_WITHIN: Duration = Duration::from_secs(60);
/// The advisory lock that commits wait for.
const COMMITS: i64 = 4711;

/// Commits of rows in these tables wait at their very end: everything is sent, and only PostgreSQL knows that it is done.
struct HeldCommits {
    holder: Child,
}

impl HeldCommits {
    async fn hold(deployment: &Deployment) -> Result<Self> {
        deployment.sql(&format!(
            "CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_advisory_xact_lock_shared({COMMITS}); RETURN NULL; END $$"
        ))?;
        for table in ["private_messages", "event_queue", "conversation_changes"] {
            deployment.sql(&format!(
                "CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION wait_at_commit()"
            ))?;
        }
        let holder = Command::new(deployment.postgres.psql())
            .args(["-X", "-q", "-c", &format!("SELECT pg_advisory_lock({COMMITS}), pg_sleep(600)")])
            .arg(deployment.postgres.url("chat"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("psql")?;
        deployment.until(&waiting("advisory", true), "1").await?;
        Ok(HeldCommits { holder })
    }

    /// Waits until this number of commits is waiting.
    async fn until_waiting(&self, deployment: &Deployment, commits: usize) -> Result<()> {
        deployment.until(&waiting("advisory", false), &commits.to_string()).await
    }

    fn release(mut self, deployment: &Deployment) -> Result<()> {
        deployment.sql(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = {COMMITS} AND granted"
        ))?;
        self.holder.wait()?;
        Ok(())
    }
}

fn waiting(kind: &str, granted: bool) -> String {
    format!("SELECT count(*) FROM pg_locks WHERE locktype = '{kind}' AND objid = {COMMITS} AND granted = {granted}")
}

/// When Redis is lost: before the commit, so that the gateways have caught up when it happens, after it, or not at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RedisIsLost {
    BeforeTheCommit,
    AfterTheCommit,
    Never,
}

struct Scene {
    deployment: Deployment,
    bob: User,
    sender: Client,
    receiver: Client,
}

impl Scene {
    async fn start(label: &str) -> Result<Scene> {
        // However long Redis takes to come back, the commit that is held up must not be too late.
        let options =
            Options { workers: 1, ..Options::default() }.with("LEASE_TTL", "3s").with("COMMAND_TIMEOUT", "60s");
        // Commands outlive the death of the only worker.
        let options = options.with("COMMAND_TIMEOUT", "30s");
        let deployment = Deployment::start(label, options)?;
        let [alice, bob] = deployment.users(["alice", "bob"])?;
        let mut sender = deployment.login(0, &alice).await?;
        let mut receiver = deployment.login(1, &bob).await?;
        sender.request_ok(json!({"type": "send_message", "recipientId": bob.id, "content": "first"})).await?;
        receiver.expect("new_message", |_| true, SOON).await?;
        // Because it counts as delivered by then, it is not replayed after the interruption.
        let delivered = format!("SELECT delivered_seq FROM conversation_members WHERE user_id = {}", bob.id);
        deployment.until(&delivered, "1").await?;
        Ok(Scene { deployment, bob, sender, receiver })
    }

    /// Has the worker commit the command and die before it can publish, with the stream lost; starts another one.
    async fn double_fault(&mut self, command: Value, committed: &str, lost: RedisIsLost) -> Result<()> {
        let held = HeldCommits::hold(&self.deployment).await?;
        self.sender.send(command).await?;
        held.until_waiting(&self.deployment, 1).await?;
        if lost == RedisIsLost::BeforeTheCommit {
            self.deployment.redis.restart_empty()?;
            self.caught_up().await?;
        }
        self.deployment.fleet.workers[0].pause()?;
        held.release(&self.deployment)?;
        self.deployment.until(committed, "1").await?;
        self.deployment.fleet.workers[0].kill()?;
        if lost == RedisIsLost::AfterTheCommit {
            self.deployment.redis.restart_empty()?;
        }
        self.deployment.fleet.workers[0].restart()
    }

    /// Waits until the recipient's live events flow again after Redis was away.
    async fn caught_up(&mut self) -> Result<()> {
        let deadline = Instant::now() + FOUND_WITHIN;
        let typing = json!({"type": "typing", "recipientId": self.bob.id, "isTyping": true});
        loop {
            // Rejected while Redis is unavailable.
            self.sender.send(typing.clone()).await?;
            if self.receiver.expect("user_typing", |_| true, Duration::from_millis(300)).await.is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("nothing arrives after Redis came back");
            }
        }
    }
}

async fn a_message_is_found(label: &str, lost: RedisIsLost) -> Result<()> {
    let mut scene = Scene::start(label).await?;
    let message = json!({"type": "send_message", "recipientId": scene.bob.id, "content": "lost"});
    scene.double_fault(message, "SELECT count(*) FROM private_messages WHERE seq = 2", lost).await?;
    let found = scene.receiver.expect("new_message", |_| true, FOUND_WITHIN).await?;
    assert_eq!((&found["seq"], &found["content"]), (&json!(2), &json!("lost")));
    // The conversation continues in order, and nothing arrives twice.
    scene.sender.request_ok(json!({"type": "send_message", "recipientId": scene.bob.id, "content": "next"})).await?;
    let next = scene.receiver.expect("new_message", |_| true, SOON).await?;
    assert_eq!((&next["seq"], &next["content"]), (&json!(3), &json!("next")));
    scene.receiver.expect_none("new_message", |_| true, Duration::from_secs(10)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_never_published_is_found() -> Result<()> {
    a_message_is_found("lostmessage", RedisIsLost::BeforeTheCommit).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_publication_went_down_with_redis_is_replayed() -> Result<()> {
    a_message_is_found("lostredis", RedisIsLost::AfterTheCommit).await
}

/// The answer shows that it is the command, delivered again: finding lost messages does not answer anybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_successor_publishes_what_a_dead_worker_committed() -> Result<()> {
    let mut scene = Scene::start("redelivered").await?;
    let message = json!({"type": "send_message", "recipientId": scene.bob.id, "content": "late", "requestId": "r"});
    let committed = "SELECT count(*) FROM private_messages WHERE seq = 2";
    scene.double_fault(message, committed, RedisIsLost::Never).await?;
    let sent = scene.sender.expect("message_sent", |event| event["requestId"] == "r", FOUND_WITHIN).await?;
    let found = scene.receiver.expect("new_message", |_| true, SOON).await?;
    assert_eq!((&found["seq"], &found["messageId"]), (&json!(2), &sent["messageId"]));
    scene.receiver.expect_none("new_message", |_| true, Duration::from_secs(10)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_event_that_was_never_published_is_found() -> Result<()> {
    let mut scene = Scene::start("lostevent").await?;
    let id = scene.deployment.sql("SELECT 'msg_' || message_id FROM private_messages")?;
    let reaction = json!({"type": "add_reaction", "messageId": id, "reaction": "👍"});
    let committed = "SELECT count(*) FROM message_reactions";
    scene.double_fault(reaction, committed, RedisIsLost::BeforeTheCommit).await?;
    let found = scene.receiver.expect("reaction_added", |_| true, FOUND_WITHIN).await?;
    assert_eq!((&found["messageId"], &found["reaction"]), (&json!(id), &json!("👍")));
    scene.receiver.expect_none("reaction_added", |_| true, Duration::from_secs(10)).await?;
    Ok(())
}
