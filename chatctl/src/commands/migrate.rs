//! `chatctl migrate`: applies `migrations/`, which are part of this binary.

use std::collections::HashSet;

use anyhow::{Context, Result};
use sqlx::PgConnection;
use sqlx::migrate::{Migrate, Migrator};

use crate::database;
use crate::settings::Settings;
use crate::terminal::print_line;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Taken before sqlx takes its own, so that of several at once each knows what it applied itself.
const LOCK_KEY: i64 = 0x6368_6174_6374_6c00;

pub async fn run(settings: &Settings) -> Result<()> {
    let mut connection = database::connect(settings).await?;
    let applied = apply(&mut connection).await?;
    for migration in &applied {
        print_line(migration)?;
    }
    match applied.len() {
        0 => print_line("nothing to apply"),
        count => print_line(&format!("{count} applied")),
    }
}

/// Applies what is missing and returns it, one line each. The lock goes with the connection.
async fn apply(connection: &mut PgConnection) -> Result<Vec<String>> {
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK_KEY).execute(&mut *connection).await?;
    connection.ensure_migrations_table().await?;
    let before: HashSet<i64> = connection.list_applied_migrations().await?.iter().map(|m| m.version).collect();

    // Each migration is safe while the previous version serves, so an older binary may meet a newer database.
    let migrator = Migrator { migrations: MIGRATIONS.migrations.clone(), ignore_missing: true, ..Migrator::DEFAULT };
    migrator.run_direct(connection).await.context("migrating")?;

    sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK_KEY).execute(&mut *connection).await?;
    let new = MIGRATIONS.iter().filter(|m| !before.contains(&m.version));
    Ok(new.map(|m| format!("{:04} {}", m.version, m.description)).collect())
}
