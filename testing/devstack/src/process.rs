//! A started program: in its own process group, with a log file and a pid file that outlive the process that started
//! it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::identity::{ProcessId, Signal};
use crate::user::User;
use crate::{logfile, wait};

/// How to start a program. The environment is exactly `env`: nothing leaks from the caller by accident.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Names the files: `NAME.log` and `NAME.pid` in `state_dir`.
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<OsString>,
    pub env: Vec<(OsString, OsString)>,
    pub state_dir: PathBuf,
    pub working_dir: PathBuf,
    /// `None`: the current user.
    pub user: Option<User>,
}

impl Launch {
    pub fn log_path(&self) -> PathBuf {
        self.state_dir.join(format!("{}.log", self.name))
    }

    pub fn pid_path(&self) -> PathBuf {
        self.state_dir.join(format!("{}.pid", self.name))
    }
}

/// A program started by us or, according to its pid file, by an earlier process of ours. Dropping it ends nothing.
#[derive(Debug)]
pub struct Process {
    name: String,
    id: ProcessId,
    /// Only the parent can and must reap it.
    child: Option<Child>,
    log_path: PathBuf,
    pid_path: PathBuf,
}

impl Process {
    pub fn spawn(launch: &Launch) -> Result<Self> {
        let log_path = launch.log_path();
        let log = logfile::open(&log_path)?;
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.args)
            .env_clear()
            .envs(launch.env.iter().map(|(key, value)| (key, value)))
            .current_dir(&launch.working_dir)
            // Its own group: Ctrl-C in the terminal reaches only the process that started it, which then ends it in
            // order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("log file")?)
            .stderr(log);
        crate::user::apply(&mut command, launch.user.as_ref());
        let child =
            command.spawn().with_context(|| format!("starting {} ({})", launch.name, launch.program.display()))?;
        let id = ProcessId::of_child(&child)?;
        let process = Self { name: launch.name.clone(), id, child: Some(child), log_path, pid_path: launch.pid_path() };
        process.id.write(&process.pid_path)?;
        Ok(process)
    }

    /// Finds the running process of this name in `state_dir`.
    pub fn attach(name: &str, state_dir: &Path) -> Option<Self> {
        let pid_path = state_dir.join(format!("{name}.pid"));
        let id = ProcessId::read(&pid_path).filter(ProcessId::is_alive)?;
        let log_path = state_dir.join(format!("{name}.log"));
        Some(Self { name: name.to_owned(), id, child: None, log_path, pid_path })
    }

    pub fn pid(&self) -> u32 {
        self.id.pid
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn log_tail(&self, lines: usize) -> String {
        logfile::tail(&self.log_path, lines)
    }

    pub fn is_alive(&mut self) -> bool {
        // A child can be reaped only when its last thread is gone, and its sockets with that; before, it may look like a zombie.
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(ended)) => ended.is_none(),
            Some(Err(_)) | None => self.id.is_alive(),
        }
    }

    /// Fails with the end of the log if the process has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        if self.is_alive() {
            return Ok(());
        }
        let status = match &mut self.child {
            Some(child) => child.wait().map(|status| format!(" ({status})")).unwrap_or_default(),
            None => String::new(),
        };
        bail!("{} ended{status}; the end of {}:\n{}", self.name, self.log_path.display(), self.log_tail(20))
    }

    /// Returns false if it is already gone.
    pub fn signal(&mut self, signal: Signal) -> Result<bool> {
        self.id.signal(signal)
    }

    /// SIGSTOP, and waits until no thread runs any more: one that was running on another core would do so a little longer.
    pub fn pause(&mut self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let what = format!("{} (pid {}) is stopped", self.name, self.id.pid);
        wait::until(&what, Duration::from_secs(10), || Ok(self.id.is_stopped().then_some(())))
    }

    pub fn resume(&mut self) -> Result<()> {
        self.signal(Signal::CONT).map(drop)
    }

    pub fn wait_gone(&mut self, timeout: Duration) -> Result<()> {
        let what = format!("the end of {} (pid {})", self.name, self.id.pid);
        wait::until(&what, timeout, || Ok((!self.is_alive()).then_some(())))
    }

    /// kill -9, and waits until it is gone. The pid file stays, as after any crash.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.wait_gone(Duration::from_secs(10))
    }

    /// Ends the process: sends `signal`, then after `grace` kill -9 to the whole group; removes the pid file. Returns
    /// true if it ended by itself.
    pub fn stop(&mut self, signal: Signal, grace: Duration) -> Result<bool> {
        // A stopped process (SIGSTOP) would sleep through the signal.
        let asked = self.signal(signal)? && self.signal(Signal::CONT)?;
        let ended = self.wait_gone(if asked { grace } else { Duration::ZERO }).is_ok();
        if !ended {
            self.id.kill_group();
            self.wait_gone(Duration::from_secs(10))?;
        }
        // Another process of ours may have started a successor meanwhile, which must stay known.
        if ProcessId::read(&self.pid_path).as_ref() == Some(&self.id) {
            let _ = std::fs::remove_file(&self.pid_path);
        }
        Ok(ended)
    }
}

/// Ends every process that a pid file in `state_dir` names, in any order: the last resort after a crash. Returns the
/// names.
pub fn kill_all(state_dir: &Path) -> Result<Vec<String>> {
    let mut killed = Vec::new();
    for name in names(state_dir) {
        if let Some(mut process) = Process::attach(&name, state_dir) {
            // Postgres gets the chance to release its shared memory; it is as quick.
            let (signal, grace) = match name.as_str() {
                "postgres" => (Signal::QUIT, Duration::from_secs(3)),
                // Its workers would survive a master that is killed.
                "nginx" => (Signal::TERM, Duration::from_secs(3)),
                _ => (Signal::KILL, Duration::from_secs(10)),
            };
            process.stop(signal, grace)?;
            killed.push(name);
        } else {
            let _ = std::fs::remove_file(state_dir.join(format!("{name}.pid")));
        }
    }
    Ok(killed)
}

/// The names of all pid files in `state_dir`, sorted.
pub fn names(state_dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(state_dir) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".pid").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// Allows this program, and everything it starts, as many open files as the system permits.
pub fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If that is not allowed, the old limit stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// The caller's environment for a started program, without what cargo and the test run added for themselves, and
/// without the addresses of stores, which must be passed explicitly.
pub fn inherited_env() -> Vec<(OsString, OsString)> {
    std::env::vars_os().filter(|(key, _)| key.to_str().is_some_and(is_passed_on)).collect()
}

fn is_passed_on(key: &str) -> bool {
    const PREFIXES: [&str; 4] = ["CARGO", "RUSTUP", "NEXTEST", "TEST_"];
    const NAMES: [&str; 8] = [
        "DATABASE_URL",
        "REDIS_URL",
        "BIND_ADDR",
        "ADMIN_ADDR",
        "LD_LIBRARY_PATH",
        "RUST_RECURSION_COUNT",
        "SQLX_OFFLINE",
        "CHAT_BIN_DIR",
    ];
    !NAMES.contains(&key) && !PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_settings_pass_and_foreign_stores_do_not() {
        for key in ["MAX_CONNECTIONS_PER_IP", "LOG_LEVEL", "PATH", "RUST_LOG", "DATABASE_POOL_SIZE"] {
            assert!(is_passed_on(key), "{key}");
        }
        for key in ["DATABASE_URL", "REDIS_URL", "CARGO_MANIFEST_DIR", "TEST_DATABASE_URL", "LD_LIBRARY_PATH"] {
            assert!(!is_passed_on(key), "{key}");
        }
    }
}
