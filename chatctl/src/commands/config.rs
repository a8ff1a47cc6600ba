//! `chatctl config check`: reads the environment as a service does, and says all that is wrong with it.

use anyhow::{Result, bail};
use clap::{Subcommand, ValueEnum};
use shared::config::{ConfigError, GatewaySettings, WorkerSettings};

use crate::terminal::print_line;

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Checks this environment, and the secrets' files it names, for a service; names every problem.
    Check { service: Service },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Service {
    Gateway,
    Worker,
}

impl ConfigCommand {
    pub fn run(self) -> Result<()> {
        let ConfigCommand::Check { service } = self;
        let checked: Result<(), ConfigError> = match service {
            Service::Gateway => GatewaySettings::from_env().map(drop),
            Service::Worker => WorkerSettings::from_env().map(drop),
        };
        match checked {
            Ok(()) => print_line("usable"),
            Err(error) => bail!(error),
        }
    }
}
