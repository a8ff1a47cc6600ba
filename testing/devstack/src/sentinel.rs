//! A replica of a Redis, and three sentinels that make it the primary when the primary dies.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::{Launch, Process};
use crate::{Durability, Redis, Scratch, ports, redis, wait};

const SERVICE: &str = "chat";
const COUNT: usize = 3;
/// A primary without a sign of life for this long counts as dead.
pub const DOWN_AFTER: Duration = Duration::from_secs(2);
const START_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Sentinels {
    pub replica: Redis,
    ports: Vec<u16>,
    password: String,
    // End their processes when they are dropped.
    _sentinels: Scratch,
    _replica: Scratch,
}

impl Sentinels {
    /// Starts everything beside `primary` and waits until a failover is possible.
    pub fn start(program: &Path, primary: &Redis) -> Result<Self> {
        let (own, of_replica) = (Scratch::new("sentinels")?, Scratch::new("replica")?);
        let password = primary.password().to_owned();
        let mut replica = Redis::open(program, of_replica.dir(), ports::free_one()?, &password, Durability::Fast)?;
        replica.start()?;
        replica.command(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()])?;
        wait_for(replica.port(), &password, "replication", "master_link_status:up")?;
        let ports = ports::free(COUNT)?;
        for port in &ports {
            spawn(program, own.dir(), *port, primary)?;
        }
        for port in &ports {
            wait_for(*port, &password, "sentinel", &format!("slaves=1,sentinels={COUNT}"))?;
        }
        Ok(Self { replica, ports, password, _sentinels: own, _replica: of_replica })
    }

    /// Returns a URL with all sentinels.
    pub fn url(&self) -> String {
        let mut nodes = self.ports.iter().map(|port| format!("127.0.0.1:{port}"));
        let first = nodes.next().unwrap_or_default();
        let others: String = nodes.map(|node| format!("&node={node}")).collect();
        format!("redis-sentinel://default:{}@{first}/0?sentinelServiceName={SERVICE}{others}", self.password)
    }
}

fn wait_for(port: u16, password: &str, section: &str, expected: &str) -> Result<()> {
    wait::until(&format!("{expected} at port {port}"), START_TIMEOUT, || {
        let info = redis::command(port, password, &["INFO", section]);
        Ok(info.is_ok_and(|info| info.contains(expected)).then_some(()))
    })
}

fn spawn(program: &Path, dir: &Path, port: u16, primary: &Redis) -> Result<()> {
    let (password, primary_port) = (primary.password(), primary.port());
    let (down_after, failover_timeout) = (DOWN_AFTER.as_millis(), DOWN_AFTER.as_millis() * 3);
    let config = format!(
        "bind 127.0.0.1\nport {port}\nprotected-mode yes\nrequirepass {password}\ndaemonize no\ndir .\n\
         sentinel monitor {SERVICE} 127.0.0.1 {primary_port} 2\nsentinel auth-pass {SERVICE} {password}\n\
         sentinel sentinel-pass {password}\nsentinel down-after-milliseconds {SERVICE} {down_after}\n\
         sentinel failover-timeout {SERVICE} {failover_timeout}\nsentinel parallel-syncs {SERVICE} 1\n"
    );
    // Sentinels write to their configuration files.
    let file = dir.join(format!("sentinel-{port}.conf"));
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)
        .and_then(|mut file| std::io::Write::write_all(&mut file, config.as_bytes()))
        .with_context(|| format!("writing {}", file.display()))?;
    // It is ended through its pid file.
    Process::spawn(&Launch {
        name: format!("sentinel-{port}"),
        program: program.to_path_buf(),
        args: vec![file.into(), "--sentinel".into()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("LC_ALL".into(), "C".into())],
        state_dir: dir.to_path_buf(),
        working_dir: dir.to_path_buf(),
        user: None,
    })
    .map(drop)
}
