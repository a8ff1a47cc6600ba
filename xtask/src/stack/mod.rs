//! The development stack as files under `target/stack` and the processes they name.

pub mod env_file;
pub mod nginx;
pub mod state;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use devstack::fleet::{Env, server_env};
use devstack::identity::{ProcessId, Signal};
use devstack::{Durability, Kind, Postgres, Process, Programs, Redis, Server, ServerSpec, Stores, wait};

use self::state::State;
use crate::interrupt;

pub const DATABASE: &str = "chat";
/// The web client with the demo users, if it was built.
pub const WEB: &str = "web";
const STOP_GRACE: Duration = Duration::from_secs(30);
const READY_TIMEOUT: Duration = Duration::from_secs(60);

pub struct Stack {
    pub dir: PathBuf,
    pub state: State,
    pub postgres: Postgres,
    pub redis: Redis,
    pub gateways: Vec<Server>,
    pub workers: Vec<Server>,
    pub nginx: Option<nginx::Nginx>,
}

impl Stack {
    /// Returns the stack of this state, with its running processes. Does not start anything.
    pub fn open(dir: &Path, state: State, programs: &Programs) -> Result<Self> {
        let postgres = Postgres::open(
            &programs.postgres,
            dir,
            state.postgres_port,
            &state.postgres_password,
            Durability::Durable,
        )?;
        let redis =
            Redis::open(&programs.redis_server, dir, state.redis_port, &state.redis_password, Durability::Durable)?;
        let nginx = match &programs.nginx {
            Some(program) if state.has_nginx => {
                Some(nginx::Nginx::open(program, dir, state.nginx_port, &state.gateway_ports))
            }
            _ => None,
        };
        let mut stack =
            Self { dir: dir.to_path_buf(), state, postgres, redis, gateways: Vec::new(), workers: Vec::new(), nginx };
        stack.gateways = stack.servers_of(Kind::Gateway, &stack.state.gateway_ports);
        stack.workers = stack.servers_of(Kind::Worker, &stack.state.worker_ports);
        Ok(stack)
    }

    /// Returns the stack that was started before.
    pub fn load(dir: &Path) -> Result<Self> {
        let Some(state) = State::load(dir)? else { bail!("there is no stack; start one with `cargo xtask up`") };
        let programs = Programs::find().map_err(|missing| anyhow::anyhow!("missing: {}", missing.describe()))?;
        Self::open(dir, state, &programs)
    }

    pub fn stores(&self) -> Stores {
        Stores { database_url: self.postgres.url(DATABASE), redis_url: self.redis.url() }
    }

    fn servers_of(&self, kind: Kind, ports: &[u16]) -> Vec<Server> {
        let server = |(index, port): (usize, &u16)| {
            Server::new(ServerSpec {
                kind,
                index,
                port: *port,
                bin_dir: self.state.bin_dir.clone(),
                state_dir: self.dir.clone(),
                env: self.env_of(kind, *port),
            })
        };
        ports.iter().enumerate().map(server).collect()
    }

    fn env_of(&self, kind: Kind, port: u16) -> Env {
        let mut env = server_env(kind, port, &self.stores(), &self.state.secrets, &self.state.caller_env);
        let trusts = env.iter().any(|(key, _)| key == "TRUSTED_PROXIES");
        if kind == Kind::Gateway && self.nginx.is_some() && !trusts {
            env.push(("TRUSTED_PROXIES".into(), "127.0.0.1".into()));
        }
        let web = self.dir.join(WEB);
        if kind == Kind::Gateway && web.is_dir() && !env.iter().any(|(key, _)| key == "WEB_ROOT") {
            env.push(("WEB_ROOT".into(), web.into()));
        }
        env
    }

    /// Returns where clients connect.
    pub fn public_url(&self) -> Option<String> {
        self.nginx.as_ref().map(nginx::Nginx::url).or_else(|| self.gateways.first().map(Server::url))
    }

    /// Returns a setting as the servers see it.
    pub fn setting(&self, key: &str) -> String {
        let env = self.env_of(Kind::Gateway, 0);
        let value = env.iter().find(|(known, _)| known == key).map(|(_, value)| value.to_string_lossy());
        value.unwrap_or_default().into_owned()
    }

    pub fn servers(&mut self) -> impl Iterator<Item = &mut Server> {
        self.workers.iter_mut().chain(&mut self.gateways)
    }

    pub fn list(&mut self, kind: Kind) -> &mut Vec<Server> {
        match kind {
            Kind::Gateway => &mut self.gateways,
            Kind::Worker => &mut self.workers,
        }
    }

    /// Waits until every started server is ready, each error with the end of its log.
    pub fn wait_ready(&mut self) -> Result<()> {
        for server in self.servers() {
            // In slices, so that Ctrl-C is noticed.
            wait::until(&format!("{} is ready", server.name()), READY_TIMEOUT, || {
                interrupt::check()?;
                server.check_alive()?;
                Ok(server.is_ready().then_some(()))
            })
            .with_context(|| format!("starting {}, log {}", server.name(), server.log_path().display()))?;
        }
        Ok(())
    }

    /// Runs `chatctl` against this stack; its output is shown only if it fails.
    pub fn chatctl(&self, args: &[&str]) -> Result<String> {
        let output = Command::new(self.state.bin_dir.join("chatctl"))
            .args(args)
            .env_clear()
            .envs(self.env_of(Kind::Worker, 0))
            .current_dir(&self.dir)
            .output()
            .context("running chatctl")?;
        if !output.status.success() {
            bail!("chatctl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Ends everything in the order of the data flow, so that work in flight is finished. It uses the pid files, not
/// handles: parts may have been restarted by other processes, `up` may have crashed, the state may be gone. Returns the
/// names.
pub fn stop_by_pid_files(dir: &Path) -> Result<Vec<String>> {
    let mut stopped = Vec::new();
    let names = devstack::process::names(dir);
    for stage in ["nginx", "gateway", "worker", "redis", "postgres", ""] {
        let mut processes: Vec<Process> = names
            .iter()
            .filter(|name| name.starts_with(stage) && !stopped.contains(*name))
            .filter_map(|name| Process::attach(name, dir))
            .collect();
        let signal = if stage == "postgres" { Signal::INT } else { Signal::TERM };
        for process in &mut processes {
            process.signal(signal)?;
        }
        for process in &mut processes {
            process.stop(signal, STOP_GRACE)?;
            stopped.push(process.name().to_owned());
        }
    }
    for name in names {
        let _ = std::fs::remove_file(dir.join(format!("{name}.pid")));
    }
    Ok(stopped)
}

/// Returns which parts are running, by their pid files.
pub fn running(dir: &Path) -> Vec<String> {
    let mut names = devstack::process::names(dir);
    names.retain(|name| Process::attach(name, dir).is_some());
    names
}

/// Held by a foreground `up` as long as it runs, and by `up --detach` until everything is started.
pub struct UpLock(#[expect(dead_code, reason = "held, not used")] File);

impl UpLock {
    /// Returns `None` if another `up` holds it.
    pub fn try_take(dir: &Path) -> Result<Option<Self>> {
        std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        // Beside the folder, because `--fresh` removes the folder.
        let path = dir.with_extension("lock");
        let file = File::options().create(true).append(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {}", path.display()));
            }
        }
        Ok(Some(Self(file)))
    }

    /// Records which process holds it. This is not a pid file, because `down` ends those processes last.
    pub fn record_owner(dir: &Path) -> Result<()> {
        let me = ProcessId::of(std::process::id()).context("own process")?;
        me.write(&dir.with_extension("owner"))
    }

    pub fn owner(dir: &Path) -> Option<ProcessId> {
        ProcessId::read(&dir.with_extension("owner")).filter(ProcessId::is_alive)
    }
}

/// Serialises the commands that start single parts and then rewrite the env file.
pub fn control_lock(dir: &Path) -> Result<File> {
    let file = File::options().create(true).append(true).open(dir.join("control.lock"))?;
    file.lock().context("locking the stack")?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use devstack::{Launch, Scratch};

    use super::*;

    #[test]
    fn only_one_up_at_a_time() {
        let scratch = Scratch::new("lock").unwrap();
        let dir = scratch.dir().join("stack");
        let lock = UpLock::try_take(&dir).unwrap().unwrap();
        assert!(UpLock::try_take(&dir).unwrap().is_none());
        UpLock::record_owner(&dir).unwrap();
        assert_eq!(UpLock::owner(&dir).unwrap().pid, std::process::id());
        drop(lock);
        assert!(UpLock::try_take(&dir).unwrap().is_some());
    }

    #[test]
    fn stops_what_pid_files_name() {
        let scratch = Scratch::new("pids").unwrap();
        for name in ["gateway-1", "worker-1", "other"] {
            Process::spawn(&Launch {
                name: name.into(),
                program: "/bin/sleep".into(),
                args: vec!["60".into()],
                env: vec![],
                state_dir: scratch.dir().into(),
                working_dir: "/".into(),
                user: None,
            })
            .unwrap();
        }
        assert_eq!(running(scratch.dir()).len(), 3);
        assert_eq!(stop_by_pid_files(scratch.dir()).unwrap(), ["gateway-1", "worker-1", "other"]);
        assert!(running(scratch.dir()).is_empty());
        assert!(devstack::process::names(scratch.dir()).is_empty());
    }
}
