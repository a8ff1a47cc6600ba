//! Development commands of the workspace: `cargo xtask --help`. Parsing and dispatch only.

mod bench;
mod chaos;
mod control;
mod counts;
mod demo;
mod interrupt;
mod node;
mod sbom;
mod sqlx;
mod stack;
mod test;
mod up;
mod web;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use devstack::Kind;

use crate::workspace::Workspace;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Development commands of the chat server")]
struct Cli {
    /// The root of the workspace; otherwise that of the checkout xtask was called in.
    #[arg(long, global = true, hide = true)]
    root: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Builds and starts everything: private PostgreSQL and Redis, workers, gateways, nginx when installed
    Up(up::Options),
    /// Ends everything `up` started, also after a crash
    Down,
    /// Shows what runs where
    Status,
    /// Shows the logs of all parts, or of one
    Logs {
        /// gateway-1, worker-1, redis, postgres, nginx
        name: Option<String>,
        /// Keep on showing what comes
        #[arg(short, long)]
        follow: bool,
        /// How many lines of the past
        #[arg(short = 'n', long, default_value_t = 50)]
        lines: usize,
    },
    /// Ends one part and starts it again on its old port
    Restart { name: String },
    /// Starts a killed server on its old port; number $INDEX from 0 when that is set
    #[command(hide = true)]
    StartMissing { kind: ServerKind },
    /// Ends a store, if it runs, and starts it on its old port and data
    #[command(hide = true)]
    RestartStore { store: Store },
    /// Checks everything: formatting, lints, dependencies, queries, and all tests
    Test {
        /// Only this part
        part: Option<test::Part>,
        /// Only the tests of `unit` or `e2e` whose names contain this
        name: Option<String>,
    },
    /// Breaks a fleet under load in every way, and checks that nothing was lost
    Chaos(chaos::Options),
    /// Prints what the delivered programs are made of, as CycloneDX JSON
    Sbom,
    /// Measures a fleet on private stores and writes docs/benchmarks.md
    Bench(bench::Options),
    /// Counts the instructions of the hot functions and compares them with testing/bench/counts.json
    Counts(counts::Options),
    /// The checked query data of sqlx, in .sqlx
    #[command(subcommand)]
    Sqlx(Sqlx),
}

#[derive(Debug, Subcommand)]
enum Sqlx {
    /// Writes .sqlx from the queries in the code and the migrations
    Prepare {
        /// Only check if .sqlx is up to date
        #[arg(long)]
        check: bool,
    },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ServerKind {
    Gateway,
    Worker,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Store {
    Redis,
    Postgres,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let workspace = Workspace::find(cli.root)?;
    match cli.command {
        Command::Up(options) => return up::run(&workspace, &options),
        Command::Down => control::down(&workspace)?,
        Command::Status => return control::status(&workspace),
        Command::Logs { name, follow, lines } => control::logs(&workspace, name.as_deref(), follow, lines)?,
        Command::Restart { name } => control::restart(&workspace, &name)?,
        Command::StartMissing { kind } => {
            let kind = match kind {
                ServerKind::Gateway => Kind::Gateway,
                ServerKind::Worker => Kind::Worker,
            };
            control::start_missing(&workspace, kind)?;
        }
        Command::RestartStore { store } => {
            let name = match store {
                Store::Redis => "redis",
                Store::Postgres => "postgres",
            };
            control::restart(&workspace, name)?;
        }
        Command::Chaos(options) => return chaos::run(&workspace, &options),
        Command::Test { part, name } => return test::run(&workspace, part, name.as_deref()),
        Command::Sbom => sbom::print(&workspace)?,
        Command::Bench(options) => bench::run(&workspace, &options)?,
        Command::Counts(options) => return counts::run(&workspace, &options),
        Command::Sqlx(Sqlx::Prepare { check: false }) => sqlx::prepare(&workspace)?,
        Command::Sqlx(Sqlx::Prepare { check: true }) => sqlx::check(&workspace)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
