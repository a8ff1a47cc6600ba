//! Postgres' own statistics: commits, and statements if `pg_stat_statements` is available.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sqlx::{Connection as _, PgConnection};

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Backends report their counts at most once a second.
pub const REPORTED_WITHIN: Duration = Duration::from_millis(1_500);

pub struct Postgres {
    connection: PgConnection,
    has_statements: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub commits: u64,
    /// Calls and execution time in milliseconds by statement; empty without the extension.
    pub statements: HashMap<String, (u64, f64)>,
}

impl Postgres {
    pub async fn connect(url: &str) -> Result<Self> {
        // The URL holds a password, so it is not part of any message.
        let connecting = tokio::time::timeout(CONNECT_WITHIN, PgConnection::connect(url));
        let mut connection = connecting.await.context("Postgres does not answer")?.context("connecting to Postgres")?;
        // Fails if it is not loaded, or without the rights; then there are no statement counts.
        let _ = sqlx::query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").execute(&mut connection).await;
        let mut postgres = Self { connection, has_statements: true };
        postgres.has_statements = postgres.statements().await.is_ok();
        Ok(postgres)
    }

    pub async fn counts(&mut self) -> Result<Counts> {
        let commits: i64 =
            sqlx::query_scalar("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
                .fetch_one(&mut self.connection)
                .await?;
        let statements = if self.has_statements { self.statements().await? } else { HashMap::new() };
        Ok(Counts { commits: commits as u64, statements })
    }

    async fn statements(&mut self) -> Result<HashMap<String, (u64, f64)>> {
        let rows: Vec<(String, i64, f64)> = sqlx::query_as(
            "SELECT query, sum(calls)::bigint, sum(total_exec_time) FROM pg_stat_statements
             WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND query NOT LIKE '%pg_stat_%'
             GROUP BY query",
        )
        .fetch_all(&mut self.connection)
        .await?;
        Ok(rows.into_iter().map(|(query, calls, ms)| (query, (calls as u64, ms))).collect())
    }
}
