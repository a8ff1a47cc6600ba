//! `cargo xtask chaos`: builds the servers and the chaos program, and runs it.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use devstack::{install, testing};

use crate::workspace::Workspace;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// For how long faults begin; the check afterwards takes additional time
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The same seed gives the same sequence of faults; default: random
    #[arg(long)]
    seed: Option<u64>,
    /// How many gateways
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=20))]
    gateways: u16,
    /// How many workers
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=20))]
    workers: u16,
    /// Injects no two faults at once
    #[arg(long)]
    one_at_a_time: bool,
}

/// Fails if something was lost, doubled or out of order; the logs are then kept in `target/chaos`.
pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    install::ensure(&mut |line| println!("==> {line}"))?;
    let build = workspace.cargo(&["build", "--workspace", "--bins"]).env("SQLX_OFFLINE", "true").status();
    if !build.context("running cargo build")?.success() {
        return Ok(ExitCode::FAILURE);
    }
    let bin_dir = workspace.target_dir.join("debug");
    let mut command = std::process::Command::new(bin_dir.join("chaos"));
    command
        .env(testing::BIN_DIR_VARIABLE, &bin_dir)
        .arg("--keep")
        .arg(workspace.target_dir.join("chaos"))
        .args(["--seconds", &options.seconds.to_string()])
        .args(["--gateways", &options.gateways.to_string(), "--workers", &options.workers.to_string()]);
    if let Some(seed) = options.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    if options.one_at_a_time {
        command.arg("--one-at-a-time");
    }
    let status = command.status().context("running chaos")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
