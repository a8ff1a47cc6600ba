//! `cargo xtask up`: from nothing to a running fleet, then watching it until Ctrl-C.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use devstack::{Process, install, logfile};

use crate::stack::state::State;
use crate::stack::{DATABASE, Stack, UpLock, env_file, running, stop_by_pid_files};
use crate::workspace::Workspace;
use crate::{control, demo, interrupt, stack, web};

const WATCH_INTERVAL: Duration = Duration::from_millis(300);

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Return once everything runs; `cargo xtask down` ends it
    #[arg(long)]
    detach: bool,
    /// How many gateways
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=100))]
    gateways: u16,
    /// How many workers
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=100))]
    workers: u16,
    /// Start what was built before
    #[arg(long)]
    no_build: bool,
    /// Forget the old data
    #[arg(long)]
    fresh: bool,
}

pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let dir = workspace.stack_dir();
    let Some(lock) = UpLock::try_take(&dir)? else {
        eprintln!("a stack is starting or running already; `cargo xtask down` ends it");
        control::status(workspace)?;
        return Ok(ExitCode::FAILURE);
    };
    if !running(&dir).is_empty() {
        eprintln!("a stack runs already (it was detached, or its xtask crashed); `cargo xtask down` ends it");
        control::status(workspace)?;
        return Ok(ExitCode::FAILURE);
    }
    UpLock::record_owner(&dir)?;
    interrupt::install()?;
    if options.fresh {
        say("forgetting the old data");
        devstack::postgres::remove_state(&dir)?;
        std::fs::create_dir_all(&dir)?;
    }
    let programs = install::ensure(&mut |line| say(line))?;
    build(workspace, options.no_build)?;
    let no_web = web::prepare(workspace, &dir.join(stack::WEB), options.no_build)?;
    interrupt::check()?;

    let state = state(workspace, options, &dir, programs.nginx.is_some())?;
    // It is left from a crashed run; scripts take its presence for a running stack.
    let _ = std::fs::remove_file(dir.join("env"));

    let mut stack = Stack::open(&dir, state, &programs)?;
    if let Err(error) = start(&mut stack, workspace) {
        say("stopping what was started");
        if let Err(error) = stop_by_pid_files(&dir) {
            eprintln!("while stopping: {error:#}");
        }
        if interrupt::requested() {
            return Ok(ExitCode::from(130));
        }
        return Err(error);
    }
    demo::print_summary(&mut stack, workspace, no_web.as_deref());
    if options.detach {
        println!("\nIt runs on in the background: `cargo xtask status`, `cargo xtask down`.");
        drop(lock);
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nCtrl-C stops everything.");
    watch(&mut stack);
    println!();
    say("stopping");
    stop_by_pid_files(&dir)?;
    let _ = std::fs::remove_file(dir.join("env"));
    say("stopped; the data stays for the next `cargo xtask up`");
    Ok(ExitCode::SUCCESS)
}

/// The state of the last run with this one's options, saved.
fn state(workspace: &Workspace, options: &Options, dir: &Path, has_nginx: bool) -> Result<State> {
    let mut state = match State::load(dir)? {
        Some(state) => state,
        None => State::generate()?,
    };
    state.assign_ports(options.gateways.into(), options.workers.into())?;
    state.has_nginx = has_nginx;
    state.bin_dir = workspace.target_dir.join("release");
    state.caller_env = devstack::process::inherited_env();
    state.save(dir)?;
    Ok(state)
}

fn say(line: &str) {
    println!("==> {line}");
}

/// Runs one part of the start and shows how long it took.
fn step<T>(what: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
    interrupt::check()?;
    let start = Instant::now();
    print!("==> {what} ... ");
    let _ = std::io::stdout().flush();
    let result = action();
    match &result {
        Ok(_) => println!("{:.1} s", start.elapsed().as_secs_f32()),
        Err(_) => println!("failed"),
    }
    result
}

fn build(workspace: &Workspace, no_build: bool) -> Result<()> {
    const BINARIES: [&str; 3] = ["gateway", "worker", "chatctl"];
    if no_build {
        for name in BINARIES {
            let path = workspace.target_dir.join("release").join(name);
            if !path.is_file() {
                bail!("{} is missing; leave out --no-build", path.display());
            }
        }
        return Ok(());
    }
    say("building gateway, worker and chatctl (release)");
    let mut args = vec!["build", "--release"];
    args.extend(BINARIES.iter().flat_map(|name| ["--bin", name]));
    // Queries were checked against the migrations when .sqlx was written; no database is needed to build.
    let status = workspace.cargo(&args).env("SQLX_OFFLINE", "true").status().context("running cargo")?;
    interrupt::check()?;
    if !status.success() {
        bail!("the build failed ({status})");
    }
    Ok(())
}

fn start(stack: &mut Stack, workspace: &Workspace) -> Result<()> {
    step("PostgreSQL", || {
        stack.postgres.start()?;
        stack.postgres.create_database(DATABASE)?;
        if stack.postgres.has_statistics() {
            stack.postgres.query(DATABASE, "create extension if not exists pg_stat_statements")?;
        }
        Ok(())
    })?;
    step("Redis", || stack.redis.start())?;
    step("migrations", || stack.chatctl(&["migrate"]))?;
    step("demo users", || demo::seed(stack))?;
    let what = format!("{} workers, {} gateways", stack.workers.len(), stack.gateways.len());
    step(&what, || {
        for server in stack.servers() {
            server.start()?;
        }
        stack.wait_ready()
    })?;
    if let Some(nginx) = &mut stack.nginx {
        step("nginx", || nginx.start())?;
    }
    env_file::write_commands(&stack.dir, &workspace.root)?;
    env_file::write(stack)
}

/// One part as last seen by [`watch`].
struct Watched {
    name: String,
    pid: Option<u32>,
}

/// Reports parts that end and come back, until an end is requested.
fn watch(stack: &mut Stack) {
    let dir = stack.dir.clone();
    let mut parts: Vec<Watched> =
        running(&dir).into_iter().map(|name| Watched { pid: live_pid(&dir, &name), name }).collect();
    while !interrupt::requested() {
        std::thread::sleep(WATCH_INTERVAL);
        reap(stack);
        for part in &mut parts {
            let now = live_pid(&dir, &part.name);
            if let Some(line) = report(part, now, &dir) {
                println!("{line}");
            }
        }
    }
}

/// Returns the change since the last look, in words; an intended end (its pid file is gone) is not reported.
fn report(part: &mut Watched, now: Option<u32>, dir: &Path) -> Option<String> {
    if part.pid == now {
        return None;
    }
    let name = &part.name;
    let line = match (part.pid, now) {
        (_, Some(pid)) => Some(format!("{name} runs again (pid {pid})")),
        (Some(pid), None) if dir.join(format!("{name}.pid")).exists() => Some(format!(
            "{name} (pid {pid}) ended unexpectedly; `cargo xtask restart {name}` brings it back. The end of its log:\n{}",
            logfile::tail(&dir.join(format!("{name}.log")), 15)
        )),
        _ => None,
    };
    part.pid = now;
    line
}

fn live_pid(dir: &Path, name: &str) -> Option<u32> {
    Process::attach(name, dir).map(|process| process.pid())
}

/// Collects the exit codes of our own children, so that there are no zombies.
fn reap(stack: &mut Stack) {
    stack.postgres.is_alive();
    stack.redis.is_alive();
    if let Some(nginx) = &mut stack.nginx {
        nginx.is_alive();
    }
    stack.servers().for_each(|server| {
        server.is_alive();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unasked_ends_and_comebacks_are_reported() {
        let scratch = devstack::Scratch::new("watch").unwrap();
        let dir = scratch.dir();
        let mut part = Watched { name: "worker-1".into(), pid: Some(7) };
        assert_eq!(report(&mut part, Some(7), dir), None);
        assert_eq!(report(&mut part, None, dir), None, "its pid file is gone: it was stopped");
        part.pid = Some(7);
        std::fs::write(dir.join("worker-1.pid"), "7 1 x").unwrap();
        std::fs::write(dir.join("worker-1.log"), "the reason").unwrap();
        assert!(report(&mut part, None, dir).unwrap().contains("the reason"));
        assert_eq!(report(&mut part, None, dir), None, "once");
        assert!(report(&mut part, Some(8), dir).unwrap().contains("runs again (pid 8)"));
    }
}
