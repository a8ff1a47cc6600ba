//! Gateways and workers as real processes, each on a port of its own that it keeps over restarts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::identity::Signal;
use crate::process::{Launch, Process};
use crate::secrets::Secrets;
use crate::{http, ports, wait};

pub type Env = Vec<(OsString, OsString)>;

const STOP_GRACE: Duration = Duration::from_secs(30);
pub const READY_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gateway,
    Worker,
}

impl Kind {
    /// The name of the program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Worker => "worker",
        }
    }
}

/// Where the stores are.
#[derive(Clone, Debug)]
pub struct Stores {
    pub database_url: String,
    pub redis_url: String,
}

impl Stores {
    /// Replaces those stores that these settings name.
    fn or_others(&self, settings: &[(String, String)]) -> Self {
        let other = |name: &str| settings.iter().find(|(known, _)| known == name).map(|(_, url)| url.clone());
        Self {
            database_url: other("DATABASE_URL").unwrap_or_else(|| self.database_url.clone()),
            redis_url: other("REDIS_URL").unwrap_or_else(|| self.redis_url.clone()),
        }
    }
}

/// The whole environment of a server. `caller` may override the secrets and the log settings, and may add any setting;
/// the addresses are always the stack's own. A gateway does not get the database's address.
pub fn server_env(kind: Kind, port: u16, stores: &Stores, secrets: &Secrets, caller: &Env) -> Env {
    let mut env: Env = Vec::new();
    let mut set = |key: &str, value: &str| {
        env.retain(|(known, _)| known != key);
        env.push((key.into(), value.into()));
    };
    set("JWT_SECRET", &secrets.jwt_secret);
    set("CHAT_ENCRYPTION_KEY", &secrets.encryption_key);
    set("CHAT_ENCRYPTION_SALT", &secrets.encryption_salt);
    set("LOG_FORMAT", "json");
    set("LOG_LEVEL", "info");
    if kind == Kind::Gateway {
        set("COMMUNITY_SYNC_TOKEN", &secrets.community_sync_token);
    }
    for (key, value) in caller {
        env.retain(|(known, _)| known != key);
        env.push((key.clone(), value.clone()));
    }
    env.retain(|(key, _)| kind == Kind::Worker || !key.to_string_lossy().starts_with("DATABASE_"));
    let mut own = |key: &str, value: &str| {
        env.retain(|(known, _)| known != key);
        env.push((key.into(), value.into()));
    };
    own("BIND_ADDR", &format!("127.0.0.1:{port}"));
    own("REDIS_URL", &stores.redis_url);
    if kind == Kind::Worker {
        own("DATABASE_URL", &stores.database_url);
    }
    env
}

/// What one server is.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    pub kind: Kind,
    /// From 0; the name counts from 1.
    pub index: usize,
    pub port: u16,
    pub bin_dir: PathBuf,
    pub state_dir: PathBuf,
    pub env: Env,
}

impl ServerSpec {
    /// `gateway-1`, `worker-2`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.kind.program(), self.index + 1)
    }
}

/// One gateway or worker. Dropping it ends nothing.
#[derive(Debug)]
pub struct Server {
    spec: ServerSpec,
    process: Option<Process>,
}

impl Server {
    /// Finds the process if it is already running; does not start it.
    pub fn new(spec: ServerSpec) -> Self {
        let process = Process::attach(&spec.name(), &spec.state_dir);
        Self { spec, process }
    }

    pub fn spec(&self) -> &ServerSpec {
        &self.spec
    }

    pub fn name(&self) -> String {
        self.spec.name()
    }

    /// Changes a setting, from the next start on; an empty text unsets it.
    pub fn set(&mut self, name: &str, value: &str) {
        self.spec.env.retain(|(known, _)| known != name);
        self.spec.env.push((name.into(), value.into()));
    }

    /// Takes its program from this folder, from the next start on.
    pub fn run_from(&mut self, bin_dir: &Path) {
        self.spec.bin_dir = bin_dir.to_owned();
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.spec.port)
    }

    /// `ws://127.0.0.1:PORT`
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.spec.port)
    }

    pub fn log_path(&self) -> PathBuf {
        self.spec.state_dir.join(format!("{}.log", self.name()))
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    pub fn is_alive(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_alive)
    }

    /// Starts it on its port; returns at once, see [`Server::wait_ready`]. Fails if it is running.
    pub fn start(&mut self) -> Result<()> {
        if self.is_alive() {
            bail!("{} runs already", self.name());
        }
        self.process = Some(Process::spawn(&Launch {
            name: self.name(),
            program: self.spec.bin_dir.join(self.spec.kind.program()),
            args: Vec::new(),
            env: self.spec.env.clone(),
            state_dir: self.spec.state_dir.clone(),
            working_dir: self.spec.state_dir.clone(),
            user: None,
        })?);
        Ok(())
    }

    /// Waits until `/ready` answers 200; fails at once, with the end of its log, if the process ends.
    pub fn wait_ready(&mut self, timeout: Duration) -> Result<()> {
        let url = format!("{}/ready", self.url());
        let mut last = String::from("no answer");
        wait::until(&format!("{} is ready", self.name()), timeout, || {
            let Some(process) = &mut self.process else { bail!("{} was not started", self.spec.name()) };
            process.check_alive()?;
            match http::get(&url) {
                Ok(response) if response.status == 200 => return Ok(Some(())),
                Ok(response) => last = format!("{} {}", response.status, response.body.trim()),
                Err(error) => last = format!("{error:#}"),
            }
            Ok(None)
        })
        .with_context(|| format!("last answer of {url}: {last}; log: {}", self.log_path().display()))
    }

    /// Fails with the end of its log if it has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        self.with_process(Process::check_alive)
    }

    pub fn is_ready(&self) -> bool {
        http::get(&format!("{}/ready", self.url())).is_ok_and(|response| response.status == 200)
    }

    /// kill -9.
    pub fn kill(&mut self) -> Result<()> {
        self.with_process(Process::kill)
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&mut self) -> Result<()> {
        self.with_process(|process| process.signal(Signal::TERM).map(drop))
    }

    /// SIGSTOP: the process exists and holds its sockets, but does nothing.
    pub fn pause(&mut self) -> Result<()> {
        self.with_process(Process::pause)
    }

    pub fn resume(&mut self) -> Result<()> {
        self.with_process(Process::resume)
    }

    /// SIGTERM, and kill -9 after 30 s. Returns true if it ended by itself.
    pub fn stop(&mut self) -> Result<bool> {
        match self.process.take() {
            Some(mut process) => process.stop(Signal::TERM, STOP_GRACE),
            None => Ok(true),
        }
    }

    /// Stops it if it runs, starts it on its old port and waits until it is ready.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start()?;
        self.wait_ready(READY_TIMEOUT)
    }

    /// Waits until it has ended after a request such as [`Server::terminate`].
    pub fn wait_gone(&mut self, timeout: Duration) -> Result<()> {
        self.with_process(|process| process.wait_gone(timeout))
    }

    fn with_process(&mut self, action: impl FnOnce(&mut Process) -> Result<()>) -> Result<()> {
        match &mut self.process {
            Some(process) => action(process),
            None => bail!("{} was not started", self.spec.name()),
        }
    }
}

/// What [`Fleet::start`] starts.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    pub bin_dir: PathBuf,
    /// For logs and pid files; usually the folder of a [`crate::Scratch`], which also ends everything.
    pub state_dir: PathBuf,
    pub gateways: usize,
    pub workers: usize,
    pub stores: Stores,
    pub secrets: Secrets,
    /// Settings for all servers, on top of the caller's environment.
    pub env: Vec<(String, String)>,
    // The following fields may set other addresses of the stores, such as those of proxies.
    pub gateway_env: Vec<(String, String)>,
    pub worker_env: Vec<(String, String)>,
}

/// A fleet for tests. Dropping it ends nothing; the scratch folder's owner does.
#[derive(Debug)]
pub struct Fleet {
    pub gateways: Vec<Server>,
    pub workers: Vec<Server>,
    config: FleetConfig,
}

impl Fleet {
    /// Starts all servers at once and waits until each is ready.
    pub fn start(config: FleetConfig) -> Result<Self> {
        let mut fleet = Self { gateways: Vec::new(), workers: Vec::new(), config };
        for _ in 0..fleet.config.workers {
            fleet.add(Kind::Worker)?;
        }
        for _ in 0..fleet.config.gateways {
            fleet.add(Kind::Gateway)?;
        }
        for server in fleet.servers() {
            server.wait_ready(READY_TIMEOUT)?;
        }
        Ok(fleet)
    }

    /// Starts one more server, without waiting for it.
    pub fn add(&mut self, kind: Kind) -> Result<&mut Server> {
        let port = ports::free_one()?;
        let of_kind = match kind {
            Kind::Gateway => &self.config.gateway_env,
            Kind::Worker => &self.config.worker_env,
        };
        let mut caller = crate::process::inherited_env();
        caller.extend(self.config.env.iter().chain(of_kind).map(|(key, value)| (key.into(), value.into())));
        let stores = self.config.stores.or_others(of_kind);
        let list = match kind {
            Kind::Gateway => &mut self.gateways,
            Kind::Worker => &mut self.workers,
        };
        let mut server = Server::new(ServerSpec {
            kind,
            index: list.len(),
            port,
            bin_dir: self.config.bin_dir.clone(),
            state_dir: self.config.state_dir.clone(),
            env: server_env(kind, port, &stores, &self.config.secrets, &caller),
        });
        server.start()?;
        list.push(server);
        list.last_mut().context("empty fleet")
    }

    pub fn servers(&mut self) -> impl Iterator<Item = &mut Server> {
        self.workers.iter_mut().chain(&mut self.gateways)
    }

    pub fn secrets(&self) -> &Secrets {
        &self.config.secrets
    }

    pub fn state_dir(&self) -> &Path {
        &self.config.state_dir
    }

    /// Ends gateways, then workers, each in order.
    pub fn stop(&mut self) -> Result<()> {
        stop_together(&mut self.gateways)?;
        stop_together(&mut self.workers)
    }
}

/// Tells all to end before waiting for any.
fn stop_together(servers: &mut [Server]) -> Result<()> {
    for server in servers.iter_mut().filter(|server| server.process.is_some()) {
        server.resume()?;
        server.terminate()?;
    }
    servers.iter_mut().try_for_each(|server| server.stop().map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(env: &'a Env, key: &str) -> Option<&'a str> {
        let mut found = env.iter().filter(|(known, _)| known == key);
        let value = found.next().and_then(|(_, value)| value.to_str());
        assert!(found.next().is_none(), "{key} is there twice");
        value
    }

    #[test]
    fn callers_override_settings_but_not_addresses() {
        let secrets = Secrets::generate().unwrap();
        let stores = Stores { database_url: "postgres://own".into(), redis_url: "redis://own".into() };
        let caller: Env = [
            ("LOG_LEVEL", "debug"),
            ("BIND_ADDR", "0.0.0.0:1"),
            ("DATABASE_URL", "postgres://foreign"),
            ("MAX_CONNECTIONS_PER_IP", "7"),
            ("MAX_CONNECTIONS_PER_IP", "8"),
        ]
        .map(|(key, value)| (key.into(), value.into()))
        .to_vec();
        let gateway = server_env(Kind::Gateway, 1234, &stores, &secrets, &caller);
        assert_eq!(value(&gateway, "LOG_LEVEL"), Some("debug"));
        assert_eq!(value(&gateway, "MAX_CONNECTIONS_PER_IP"), Some("8"));
        assert_eq!(value(&gateway, "BIND_ADDR"), Some("127.0.0.1:1234"));
        assert_eq!(value(&gateway, "DATABASE_URL"), None);
        assert_eq!(value(&gateway, "JWT_SECRET"), Some(secrets.jwt_secret.as_str()));
        let worker = server_env(Kind::Worker, 1235, &stores, &secrets, &caller);
        assert_eq!(value(&worker, "DATABASE_URL"), Some("postgres://own"));
        assert_eq!(value(&worker, "COMMUNITY_SYNC_TOKEN"), None);
    }
}
