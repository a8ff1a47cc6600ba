//! `chatctl migrate`: applies `migrations/`, which are part of this binary, and renews the rights of the workers' role
//! for new tables.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sqlx::migrate::{Migrate, Migrator};
use sqlx::{Connection, PgConnection};

use crate::database;
use crate::scram;
use crate::settings::Settings;
use crate::terminal::print_line;

pub(super) const WORKER_ROLE: &str = include_str!("../../../deploy/postgres/worker-role.sql");
pub(super) const BUILTIN_AUTH: &str = include_str!("../../../deploy/postgres/builtin-auth.sql");

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Taken before sqlx takes its own lock, so that of several concurrent runs each knows what it applied itself.
const LOCK_KEY: i64 = 0x6368_6174_6374_6c00;
const LOCK_POLL: Duration = Duration::from_millis(100);

pub async fn run(settings: &Settings) -> Result<()> {
    let profile_columns = settings.profile_columns()?;
    let mut connection = database::connect(settings).await?;
    let elsewhere: Option<String> = sqlx::query_scalar(
        "SELECT current_schema()::text
         WHERE current_schema() <> 'public' AND to_regclass(quote_ident(current_schema()) || '.audit_log') IS NULL",
    )
    .fetch_optional(&mut connection)
    .await?;
    if let Some(schema) = elsewhere {
        bail!(
            "the search path of DATABASE_URL's role begins with the schema `{schema}`, but this server's tables belong in `public`"
        );
    }
    if super::import::has_original_tables(&mut connection).await? {
        bail!(
            "the original server's tables are where ours belong: `chatctl import move-tables` moves them to a separate schema"
        );
    }
    let applied = apply(&mut connection).await?;
    for migration in &applied {
        print_line(migration)?;
    }
    match applied.len() {
        0 => print_line("nothing to apply")?,
        count => print_line(&format!("{count} applied"))?,
    }
    let profiles_changed = map_profile(&mut connection, &profile_columns).await?;
    fill_user_search(&mut connection, profiles_changed).await.context("the names that find_users searches")?;
    if let Some(password) = settings.worker_password()? {
        let has_accounts = settings.builtin_auth()?;
        renew_worker_role(&mut connection, &password, has_accounts).await.context("the role of the workers")?;
        print_line("chat_worker has its rights and its password")?;
    }
    database::check_main_backend(&mut connection).await
}

/// Stores the names of the profile columns in the database; returns true if they have changed.
async fn map_profile(connection: &mut PgConnection, columns: &[(String, String)]) -> Result<bool> {
    let mut transaction = connection.begin().await?;
    let before: Vec<(String, String)> =
        sqlx::query_as("SELECT field, column_name FROM main_backend_columns ORDER BY field")
            .fetch_all(&mut *transaction)
            .await?;
    let mut wanted = columns.to_vec();
    wanted.sort();
    if wanted != before {
        sqlx::query("DELETE FROM main_backend_columns").execute(&mut *transaction).await?;
        for (field, column) in &wanted {
            sqlx::query("INSERT INTO main_backend_columns (field, column_name) VALUES ($1, $2)")
                .bind(field)
                .bind(column)
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query("SELECT chat_map_profile()").execute(&mut *transaction).await.context("PROFILE_COLUMNS")?;
    }
    transaction.commit().await?;
    Ok(wanted != before)
}

/// Indexes the names of existing users, or renews all of them, a few at a time: each transaction blocks only changes of
/// its own users' names.
async fn fill_user_search(connection: &mut PgConnection, renew: bool) -> Result<()> {
    const USERS: i32 = 5_000;
    let mut after = Some(i64::MIN);
    while let Some(user) = after {
        after = sqlx::query_scalar("SELECT chat_fill_user_search($1, $2, $3)")
            .bind(user)
            .bind(USERS)
            .bind(renew)
            .fetch_one(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Creates the role if it does not exist. Open sessions continue, whatever the password was.
async fn renew_worker_role(connection: &mut PgConnection, password: &str, has_accounts: bool) -> Result<()> {
    let mut transaction = connection.begin().await?;
    // Two at once would create the same role.
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK_KEY).execute(&mut *transaction).await?;
    sqlx::raw_sql(WORKER_ROLE).execute(&mut *transaction).await?;
    if has_accounts {
        sqlx::raw_sql(BUILTIN_AUTH).execute(&mut *transaction).await?;
    }
    // The statement takes no parameters, and the server may log it or keep it in its statistics.
    let statement = format!("ALTER ROLE chat_worker PASSWORD '{}'", scram::verifier(password)?);
    sqlx::raw_sql(&statement).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// The migrations that this binary knows and the database lacks, one line each. Changes nothing.
pub async fn missing(connection: &mut PgConnection) -> Result<Vec<String>> {
    let exists: bool =
        sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&mut *connection).await?;
    let applied: HashSet<i64> = if exists {
        connection.list_applied_migrations().await?.iter().map(|migration| migration.version).collect()
    } else {
        HashSet::new()
    };
    let new = MIGRATIONS.iter().filter(|m| !applied.contains(&m.version));
    Ok(new.map(|m| format!("{:04} {}", m.version, m.description)).collect())
}

/// Applies what is missing and returns it, one line each. The lock is released with the connection.
async fn apply(connection: &mut PgConnection) -> Result<Vec<String>> {
    // Not with a waiting statement: an index that the holder creates CONCURRENTLY would wait for that statement's
    // snapshot in turn.
    while !sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1)")
        .bind(LOCK_KEY)
        .fetch_one(&mut *connection)
        .await?
    {
        tokio::time::sleep(LOCK_POLL).await;
    }
    connection.ensure_migrations_table().await?;
    let before: HashSet<i64> = connection.list_applied_migrations().await?.iter().map(|m| m.version).collect();

    // Each migration is safe while the previous version serves, so an older binary may meet a newer database.
    let migrator = Migrator { migrations: MIGRATIONS.migrations.clone(), ignore_missing: true, ..Migrator::DEFAULT };
    migrator.run_direct(connection).await.context("migrating")?;

    sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK_KEY).execute(&mut *connection).await?;
    let new = MIGRATIONS.iter().filter(|m| !before.contains(&m.version));
    Ok(new.map(|m| format!("{:04} {}", m.version, m.description)).collect())
}
