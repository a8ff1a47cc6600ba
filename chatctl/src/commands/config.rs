//! `chatctl config check`: reads the environment like a service, and reports all problems with it.

use std::time::Duration;

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use shared::config::{GatewaySettings, WorkerSettings};
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

use crate::database;
use crate::terminal::print_line;

/// A check must not take long if nothing answers.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Checks this environment, and the secret files it names, for a service; reports every problem.
    ///
    /// For a worker, also checks the main backend's tables if the database answers and has been migrated, and says if
    /// `DATABASE_REPLICA_URL` is not a replica.
    Check { service: Service },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Service {
    Gateway,
    Worker,
}

impl ConfigCommand {
    pub async fn run(self) -> Result<()> {
        let ConfigCommand::Check { service } = self;
        match service {
            Service::Gateway => drop(GatewaySettings::from_env()?),
            Service::Worker => {
                let settings = WorkerSettings::from_env()?;
                check_database(&settings).await?;
                check_replica(&settings).await;
            }
        }
        print_line("usable")
    }
}

/// Says on stderr why the replica will not answer queries. That is not a problem of the settings: the primary answers them.
async fn check_replica(settings: &WorkerSettings) {
    let Some(url) = &settings.database_replica_url else { return };
    let looking = async {
        let mut connection = PgConnection::connect(url.expose()).await?;
        sqlx::query_scalar::<_, bool>("SELECT pg_is_in_recovery()").fetch_one(&mut connection).await
    };
    match timeout(CONNECT_WITHIN, looking).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => eprintln!("DATABASE_REPLICA_URL is not a replica: the primary answers all queries"),
        Ok(Err(_)) | Err(_) => eprintln!("the replica does not answer: the primary answers all queries"),
    }
}

/// Checks the main backend's tables. A database that is away or empty is not a problem of the settings, and only
/// mentioned on stderr.
async fn check_database(settings: &WorkerSettings) -> Result<()> {
    let connecting = timeout(CONNECT_WITHIN, PgConnection::connect(settings.database_url.expose())).await;
    let Ok(Ok(mut connection)) = connecting else {
        eprintln!("the main backend's tables were not checked: Postgres does not answer");
        return Ok(());
    };
    let is_migrated: bool = sqlx::query_scalar("SELECT to_regproc('chat_main_backend_problems') IS NOT NULL")
        .fetch_one(&mut connection)
        .await?;
    if !is_migrated {
        eprintln!("the main backend's tables were not checked: run `chatctl migrate` first");
        return Ok(());
    }
    database::check_main_backend(&mut connection).await
}
