//! `chatctl`: the command line of the chat server. This file parses arguments and sets the exit code; the work is in
//! `commands/`.

mod access;
mod audit;
mod commands;
mod database;
mod duration;
mod fleet;
mod progress;
mod scram;
mod sealed;
mod settings;
mod terminal;

use std::process::ExitCode;

use clap::Parser;
use shared::config::ConfigError;
use shared::service::EXIT_SETTINGS;

use crate::commands::Command;
use crate::settings::{Settings, Sources};

/// Manages users, tokens, messages, migrations and the operation of a chat server.
///
/// Settings come from flags, from the environment, or from the file that `cargo xtask up` writes (target/stack/env),
/// in this order. Secrets may be in files named by DATABASE_URL_FILE, REDIS_URL_FILE and JWT_SECRET_FILE.
#[derive(Debug, Parser)]
#[command(name = "chatctl", version)]
struct Arguments {
    #[command(flatten)]
    sources: Sources,
    #[command(subcommand)]
    command: Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match Settings::load(arguments.sources) {
        Ok(settings) => arguments.command.run(&settings).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the output has enough: `chatctl listen … | head -1`.
        Err(error) if terminal::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chatctl: {}", terminal::printable(&format!("{error:#}")));
            if error.is::<ConfigError>() { ExitCode::from(EXIT_SETTINGS) } else { ExitCode::FAILURE }
        }
    }
}
