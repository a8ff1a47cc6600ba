//! `chatctl kick`: closes a user's connections over the whole fleet.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use shared::publication::Header;

use crate::fleet::{FleetClient, within};
use crate::settings::Settings;
use crate::terminal::print_line;
use crate::{database, duration};

#[derive(Debug, Args)]
pub struct KickArguments {
    /// Username or id.
    name: String,
    /// How long to wait until the connections are closed.
    #[arg(long, default_value = "10s", value_parser = duration::parse)]
    within: Duration,
}

impl KickArguments {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let user = database::resolve(settings, &self.name).await?;
        let fleet = FleetClient::connect(settings).await?;
        let before = fleet.user_sessions(user).await?;
        // Published even without a registered session: one may be opening at this moment.
        fleet.tell_user(&settings.wire()?, user, &Header::Kicked).await?;
        let is_closed = || async {
            let open = fleet.user_sessions(user).await?;
            Ok(!before.iter().any(|session| open.contains(session)))
        };
        if !within(self.within, is_closed).await? {
            bail!("not all connections are closed after {:?}; try again", self.within);
        }
        print_line(&format!("{} closed", before.len()))
    }
}
