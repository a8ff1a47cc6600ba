//! `chatctl token`: a token as the main backend would issue it.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::settings::Settings;
use crate::terminal::print_line;
use crate::{database, duration};

#[derive(Debug, Args)]
pub struct TokenArguments {
    /// Username or id.
    #[arg(required_unless_present = "id")]
    name: Option<String>,
    /// User id; then no database is needed.
    #[arg(long, conflicts_with = "name")]
    id: Option<i64>,
    /// How long the token is valid: 90s, 15m, 12h, 7d.
    #[arg(long, default_value = "1h", value_parser = duration::parse)]
    ttl: Duration,
}

impl TokenArguments {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let secret = settings.jwt_secret()?;
        let user_id = match self.id {
            Some(id) => id,
            None => database::resolve(settings, &self.name.context("a name or --id is needed")?).await?,
        };
        print_line(&client::token::mint(&secret, user_id, self.ttl)?)
    }
}
