//! `chatctl sessions`: lists who is connected where.

use anyhow::Result;
use clap::Args;

use crate::database;
use crate::fleet::FleetClient;
use crate::settings::Settings;
use crate::terminal::print_line;

#[derive(Debug, Args)]
pub struct SessionsArguments {
    /// Username or id [default: all users].
    name: Option<String>,
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
}

impl SessionsArguments {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let fleet = FleetClient::connect(settings).await?;
        let mut sessions = Vec::new();
        if let Some(name) = &self.name {
            let user = database::resolve(settings, name).await?;
            let of_user = fleet.user_sessions(user).await?;
            sessions.extend(of_user.into_iter().map(|(gateway, connection)| (user.to_string(), gateway, connection)));
        } else {
            for gateway in fleet.alive("gateway").await? {
                let of_gateway = fleet.gateway_sessions(&gateway.id).await?;
                sessions.extend(of_gateway.into_iter().map(|(user, number)| (user, gateway.id.clone(), number)));
            }
        }
        sessions.sort();
        for (user, gateway, connection) in sessions.iter().take(self.limit) {
            print_line(&format!("{user}\t{gateway}\t{connection}"))?;
        }
        if sessions.len() > self.limit {
            eprintln!("chatctl: {} more; see --limit", sessions.len() - self.limit);
        }
        Ok(())
    }
}
