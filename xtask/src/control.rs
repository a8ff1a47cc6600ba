//! Commands for a running stack, or one whose `up` crashed: down, status, logs, restart.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use devstack::identity::Signal;
use devstack::{Kind, Process, ProcessId, Server, http, wait};

use crate::stack::state::State;
use crate::stack::{Stack, UpLock, control_lock, env_file, nginx, running, stop_by_pid_files};
use crate::workspace::Workspace;

/// The longest that the orderly end of a foreground `up` may take.
const DOWN_TIMEOUT: Duration = Duration::from_secs(120);
const READY_TIMEOUT: Duration = Duration::from_secs(60);

pub fn down(workspace: &Workspace) -> Result<()> {
    let dir = workspace.stack_dir();
    // A foreground `up` ends its own children in order; asking it first also keeps it from reporting them as crashed.
    if let Some(owner) = UpLock::owner(&dir)
        && UpLock::try_take(&dir)?.is_none()
    {
        println!("asking `cargo xtask up` (pid {}) to stop", owner.pid);
        owner.signal(Signal::TERM)?;
        wait::until("the end of `cargo xtask up`", DOWN_TIMEOUT, || Ok((!owner.is_alive()).then_some(())))?;
    }
    let stopped = stop_by_pid_files(&dir)?;
    let _ = std::fs::remove_file(dir.join("env"));
    if !stopped.is_empty() {
        println!("stopped {}", stopped.join(", "));
    }
    println!("nothing runs");
    Ok(())
}

/// Succeeds if everything is running.
pub fn status(workspace: &Workspace) -> Result<ExitCode> {
    let dir = workspace.stack_dir();
    let Some(state) = State::load(&dir)? else {
        println!("there is no stack; start one with `cargo xtask up`");
        return Ok(ExitCode::FAILURE);
    };
    let mut rows = Vec::new();
    if state.has_nginx {
        rows.push((nginx::NAME.to_owned(), state.nginx_port));
    }
    let numbered = |kind: &'static str, ports: &[u16]| -> Vec<(String, u16)> {
        ports.iter().enumerate().map(|(index, port)| (format!("{kind}-{}", index + 1), *port)).collect()
    };
    rows.extend(numbered("gateway", &state.gateway_ports));
    rows.extend(numbered("worker", &state.worker_ports));
    rows.push(("postgres".to_owned(), state.postgres_port));
    rows.push(("redis".to_owned(), state.redis_port));
    let mut all_well = true;
    for (name, port) in rows {
        let (condition, well) = condition(&dir, &name, port);
        all_well &= well;
        println!("  {name:<12} 127.0.0.1:{port:<6} {condition}");
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn condition(dir: &std::path::Path, name: &str, port: u16) -> (String, bool) {
    if let Some(process) = Process::attach(name, dir) {
        let is_server = name.starts_with("gateway") || name.starts_with("worker");
        let ready = !is_server
            || http::get(&format!("http://127.0.0.1:{port}/ready")).is_ok_and(|response| response.status == 200);
        let word = if ready { "runs" } else { "runs, not ready" };
        return (format!("{word} (pid {})", process.pid()), ready);
    }
    match ProcessId::read(&dir.join(format!("{name}.pid"))) {
        Some(id) => (format!("ended unexpectedly (was pid {})", id.pid), false),
        None => ("stopped".to_owned(), false),
    }
}

/// Runs `tail`, which can follow files that are replaced.
pub fn logs(workspace: &Workspace, name: Option<&str>, follow: bool, lines: usize) -> Result<()> {
    let dir = workspace.stack_dir();
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .with_context(|| format!("no logs in {}", dir.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .filter(|path| name.is_none_or(|name| path.file_stem().is_some_and(|stem| stem == name)))
        .collect();
    files.sort();
    if files.is_empty() {
        bail!("no log of {} in {}", name.unwrap_or("anything"), dir.display());
    }
    let mut command = Command::new("tail");
    command.arg("-n").arg(lines.to_string());
    if follow {
        command.arg("-F");
    }
    Err(command.args(files).exec()).context("running tail")
}

/// Ends one part if it is running, starts it on its old port, waits until it is ready and records its pid.
pub fn restart(workspace: &Workspace, name: &str) -> Result<()> {
    let dir = workspace.stack_dir();
    let mut stack = Stack::load(&dir)?;
    let _lock = control_lock(&dir)?;
    require_running(&dir)?;
    let pid = match name {
        "redis" => {
            stack.redis.restart()?;
            stack.redis.pid()
        }
        "postgres" => {
            stack.postgres.restart()?;
            stack.postgres.pid()
        }
        nginx::NAME => {
            let nginx = stack.nginx.as_mut().context("this stack has no nginx")?;
            nginx.stop()?;
            nginx.start()?;
            nginx.pid()
        }
        name => {
            let server = stack.servers().find(|server| server.name() == name);
            let server = server.with_context(|| format!("there is no {name}; see `cargo xtask status`"))?;
            server.restart()?;
            server.pid()
        }
    };
    env_file::write(&stack)?;
    println!("{name} runs (pid {})", pid.map(|pid| pid.to_string()).unwrap_or_default());
    Ok(())
}

/// Starts the server with number `$INDEX`, or the first that is not running.
pub fn start_missing(workspace: &Workspace, kind: Kind) -> Result<()> {
    let index = match std::env::var("INDEX") {
        Ok(text) if !text.is_empty() => {
            Some(text.parse::<usize>().with_context(|| format!("INDEX={text} is no number"))?)
        }
        _ => None,
    };
    let dir = workspace.stack_dir();
    let _lock = control_lock(&dir)?;
    let mut stack = Stack::load(&dir)?;
    require_running(&dir)?;
    let servers = stack.list(kind);
    let count = servers.len();
    let server = match index {
        Some(index) => Some(
            servers.get_mut(index).with_context(|| format!("INDEX={index}, but there are {count}, counted from 0"))?,
        ),
        None => servers.iter_mut().find_map(|server| (!server.is_alive()).then_some(server)),
    };
    match server {
        Some(server) => start_if_dead(server)?,
        None => println!("no {} is missing", kind.program()),
    }
    env_file::write(&stack)
}

fn start_if_dead(server: &mut Server) -> Result<()> {
    if server.is_alive() {
        println!("{} is not missing", server.name());
    } else {
        server.start()?;
        println!("{} started", server.name());
    }
    server.wait_ready(READY_TIMEOUT)
}

/// Fails if the stack is down: a single part that was started would be left running.
fn require_running(dir: &std::path::Path) -> Result<()> {
    if running(dir).is_empty() {
        bail!("the stack does not run; start it with `cargo xtask up`");
    }
    Ok(())
}
