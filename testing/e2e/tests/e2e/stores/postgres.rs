//! PostgreSQL stopped, restarted, failing over, out of connections, locked and full: commands are rejected in time,
//! nothing is half applied, and service resumes by itself.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use devstack::fleet::READY_TIMEOUT;
use devstack::{Scratch, http, wait};
use e2e::{Deployment, Options, WORKER_ROLE};
use serde_json::json;
use tokio::time::Instant;

use super::{RECOVERS_WITHIN, unavailable, until_served};
use crate::faults::talking_with;

const COMMAND_TIMEOUT: Duration = Duration::from_secs(3);
/// The extra time that a rejection may take, and what a slow machine may add.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);
/// From a fault's end to the first command that is served.
const BACK_WITHIN: Duration = Duration::from_secs(5);
const SLOW_MACHINE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
enum Fault {
    Stopped,
    Restarted,
    FailedOver,
    OutOfConnections,
    Locked,
    Full,
}

/// What a fault needs to end.
#[derive(Default)]
struct Under {
    locker: Option<Child>,
    replica: Option<Scratch>,
}

impl Fault {
    /// Returns true if commands are rejected as long as it lasts.
    fn lasts(self) -> bool {
        !matches!(self, Fault::Restarted | Fault::FailedOver)
    }

    fn begin(self, deployment: &mut Deployment, under: &mut Under) -> Result<()> {
        match self {
            Fault::Stopped => deployment.postgres.stop(),
            Fault::Restarted => deployment.postgres.restart(),
            Fault::FailedOver => fail_over(deployment, under),
            Fault::OutOfConnections => {
                deployment.sql(&format!("ALTER ROLE {WORKER_ROLE} CONNECTION LIMIT 0"))?;
                let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename";
                deployment.sql(&format!("{end} = '{WORKER_ROLE}'")).map(drop)
            }
            Fault::Locked => {
                under.locker = Some(lock(deployment)?);
                let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted
                    AND relation = 'private_messages'::regclass";
                wait::until("the lock", RECOVERS_WITHIN, || Ok((deployment.sql(held)? == "1").then_some(())))
            }
            // A trigger that raises PostgreSQL's error: a separate disk would need root.
            Fault::Full => deployment
                .sql(
                    "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
                         $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;
                     CREATE TRIGGER full_disk BEFORE INSERT ON private_messages EXECUTE FUNCTION full_disk();
                     CREATE TRIGGER full_disk BEFORE INSERT ON group_members EXECUTE FUNCTION full_disk()",
                )
                .map(drop),
        }
    }

    fn end(self, deployment: &mut Deployment, under: &mut Under) -> Result<()> {
        match self {
            Fault::Stopped => deployment.postgres.start(),
            Fault::Restarted | Fault::FailedOver => Ok(()),
            Fault::OutOfConnections => {
                deployment.sql(&format!("ALTER ROLE {WORKER_ROLE} CONNECTION LIMIT -1")).map(drop)
            }
            Fault::Locked => {
                deployment
                    .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'locker'")?;
                under.locker.take().context("the locker")?.wait().map(drop).context("the locker's end")
            }
            Fault::Full => deployment.sql("DROP FUNCTION full_disk CASCADE").map(drop),
        }
    }
}

/// A synchronous replica takes the primary's place and address when the primary is killed.
fn fail_over(deployment: &mut Deployment, under: &mut Under) -> Result<()> {
    let scratch = Scratch::new("replica")?;
    let mut replica = deployment.postgres.replicate(scratch.dir())?;
    deployment.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")?;
    deployment.sql("SELECT pg_reload_conf()")?;
    let in_step = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    wait::until("the replica is in step", RECOVERS_WITHIN, || Ok((deployment.sql(in_step)? == "1").then_some(())))?;
    deployment.postgres.kill()?;
    replica.promote_to(deployment.postgres.port())?;
    deployment.postgres = replica;
    under.replica = Some(scratch);
    Ok(())
}

fn lock(deployment: &Deployment) -> Result<Child> {
    let (psql, url) = (deployment.postgres.psql(), deployment.postgres.url("chat"));
    let statements = "BEGIN; LOCK TABLE private_messages; SELECT pg_sleep(3600)";
    let mut command = Command::new(psql);
    command.args(["-X", "-q", "-d", &url, "-c", statements]).env("PGAPPNAME", "locker");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("psql")
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_faults_reject_commands_in_time_and_service_resumes() -> Result<()> {
    let options = Options::default();
    let options = options.with("LEASE_TTL", "2s").with("COMMAND_TIMEOUT", "3s");
    let (mut deployment, talk) = talking_with("postgresfaults", options).await?;
    let pids: Vec<_> = deployment.fleet.servers().map(|server| server.pid()).collect();
    let [carol, dave] = deployment.users(["carol", "dave"])?;
    let mut client = deployment.login(1, &carol).await?;
    let send = json!({"type": "send_message", "recipientId": dave.id, "content": "x"});
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [dave.id]});
    let mut under = Under::default();
    let faults =
        [Fault::Stopped, Fault::Restarted, Fault::OutOfConnections, Fault::Locked, Fault::Full, Fault::FailedOver];
    for fault in faults {
        let what = || format!("{fault:?}");
        fault.begin(&mut deployment, &mut under).with_context(what)?;
        if fault.lasts() {
            // `create_group` does not wait for the lock.
            let commands = if matches!(fault, Fault::Locked) { vec![&send] } else { vec![&send, &create, &send] };
            for command in commands {
                let took = unavailable(&mut client, command).await.with_context(what)?;
                println!("{fault:?}: refused after {took:?}");
                ensure!(took < COMMAND_TIMEOUT + REFUSED_WITHIN + SLOW_MACHINE, "{fault:?}: refused after {took:?}");
            }
        }
        fault.end(&mut deployment, &mut under).with_context(what)?;
        let ended = Instant::now();
        let answer = until_served(&mut client, &send).await.with_context(what)?;
        ensure!(answer["type"] == "message_sent", "{fault:?}: {answer}");
        let took = ended.elapsed();
        println!("{fault:?}: a send is served {took:?} after its end");
        ensure!(took < BACK_WITHIN + SLOW_MACHINE, "{fault:?}: back after {took:?}");
        until_served(&mut client, &create).await.with_context(what)?;
        talk.progress(20).await.with_context(what)?;
        println!("{fault:?}: all goes on {:?} after its end", ended.elapsed());
    }
    talk.finish(&deployment).await?;
    let halves = "SELECT count(*) FROM group_chats g WHERE 2 <> (SELECT count(*) FROM group_members m
        WHERE m.group_id = g.group_id)";
    assert_eq!(deployment.sql(halves)?, "0", "a group without its members");
    let still: Vec<_> = deployment.fleet.servers().map(|server| server.pid()).collect();
    assert_eq!(still, pids);
    deployment.fleet.servers().try_for_each(|server| server.check_alive())
}

/// With the rights of the workers' role; what happens to the replica is tried in `worker/tests/worker/replica.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn a_fleets_queries_are_answered_by_a_replica() -> Result<()> {
    let options = Options { gateways: 1, workers: 1, least_rights: true, ..Options::default() };
    let mut deployment = Deployment::start("replica", options)?;
    let scratch = Scratch::new("queries")?;
    let replica = deployment.postgres.replicate(scratch.dir())?;
    let worker = &mut deployment.fleet.workers[0];
    let url = worker.spec().env.iter().find(|(name, _)| name == "DATABASE_URL").context("DATABASE_URL")?.1.clone();
    let url = url.into_string().ok().context("a URL")?;
    let port = |port: u16| format!(":{port}/");
    let replica_url = url.replace(&port(deployment.postgres.port()), &port(replica.port()));
    ensure!(replica_url != url, "{url} does not name the primary");
    worker.set("DATABASE_REPLICA_URL", &replica_url);
    worker.restart()?;
    worker.wait_ready(READY_TIMEOUT)?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut client = deployment.login(0, &alice).await?;
    let at_replica = || -> Result<u64> {
        let metrics = http::get(&format!("{}/metrics", deployment.fleet.workers[0].url()))?.body;
        let line = metrics.lines().find(|line| line.starts_with("chat_worker_queries_total{database=\"replica\"}"));
        Ok(line.and_then(|line| line.split(' ').next_back()?.parse().ok()).unwrap_or(0))
    };
    let ends = Instant::now() + RECOVERS_WITHIN;
    for sent in 1.. {
        let send = json!({"type": "send_message", "recipientId": bob.id, "content": "x"});
        client.request_ok(send).await?;
        let page = client.request_ok(json!({"type": "get_messages", "recipientId": bob.id})).await?;
        assert_eq!(page["pagination"]["total"], sent);
        if at_replica()? >= 3 {
            return Ok(());
        }
        ensure!(Instant::now() < ends, "the replica answers nothing");
    }
    Ok(())
}
