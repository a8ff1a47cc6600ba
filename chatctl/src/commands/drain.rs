//! `chatctl drain`: stops one gateway, like SIGTERM.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use shared::publication::Header;

use crate::duration;
use crate::fleet::{FleetClient, within};
use crate::settings::Settings;
use crate::terminal::print_line;

#[derive(Debug, Args)]
pub struct DrainArguments {
    /// Id of the gateway, from `chatctl status` or `gatewayId` in its `/health`.
    gateway: String,
    /// How long to wait until it has stopped.
    #[arg(long, default_value = "2m", value_parser = duration::parse)]
    within: Duration,
}

impl DrainArguments {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let fleet = FleetClient::connect(settings).await?;
        fleet.tell_gateway(&settings.wire()?, &self.gateway, &Header::Drain).await?;
        let is_gone = || async { Ok(!fleet.alive("gateway").await?.iter().any(|alive| alive.id == self.gateway)) };
        if !within(self.within, is_gone).await? {
            bail!("{} is draining and has not ended after {:?}", self.gateway, self.within);
        }
        print_line("ended")
    }
}
