//! `loadtest`: parsing and dispatch only.

use std::process::ExitCode;

use clap::Parser as _;
use loadtest::options::{Cli, Mode};
use loadtest::{agent, compare, run};

fn main() -> ExitCode {
    let mode = Cli::parse().mode();
    let result = match mode {
        Ok(Mode::Agent) => agent::main().map(|()| ExitCode::SUCCESS),
        Ok(Mode::Compare(a, b)) => compare::print(&a, &b).map(|()| ExitCode::SUCCESS),
        Ok(Mode::Run(options)) => run::main(&options),
        Err(error) => Err(error),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
