//! `cargo xtask chaos` runs this with the servers built.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use chaos::Plan;
use clap::Parser;

/// Runs a fleet under load, injects faults, and checks that nothing was lost
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Cli {
    /// For how long faults begin; the check afterwards takes its own time
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The same seed gives the same sequence of faults; default: random
    #[arg(long)]
    seed: Option<u64>,
    #[arg(long, default_value_t = 2)]
    gateways: usize,
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// How many users write and listen
    #[arg(long, default_value_t = 8)]
    people: usize,
    /// Injects no two faults at once
    #[arg(long)]
    one_at_a_time: bool,
    /// Where a run with violations leaves its logs
    #[arg(long, default_value = "target/chaos")]
    keep: PathBuf,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let plan = Plan {
        seconds: cli.seconds,
        seed: cli.seed.unwrap_or_else(|| u64::from(rand::random::<u16>())),
        gateways: cli.gateways,
        workers: cli.workers,
        people: cli.people,
        pairs: !cli.one_at_a_time,
        keep: cli.keep,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(chaos::run(&plan, &|line| println!("{line}")))?;
    println!("\n{report}");
    Ok(if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
