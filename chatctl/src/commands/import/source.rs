//! The original's tables, which are only read. Their columns differ between sites; a missing column is read as NULL.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{ConnectOptions as _, FromRow, PgConnection};
use tokio::time::timeout;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);

pub struct Source {
    pub connection: PgConnection,
    schema: String,
    /// Database and schema, which identify the source.
    pub name: String,
}

/// A table's columns, each with the type it is read as.
pub struct Table {
    pub name: &'static str,
    pub columns: &'static [(&'static str, &'static str)],
}

impl Source {
    pub async fn connect(url: &str, schema: &str, time_zone: &str) -> Result<Source> {
        // The URL contains a password, so error messages must not quote it.
        let options: PgConnectOptions = url.parse().map_err(|_| anyhow::anyhow!("--from is not a URL of Postgres"))?;
        let options = options.application_name("chatctl-import");
        let mut connection = timeout(CONNECT_WITHIN, options.connect())
            .await
            .context("the source does not answer")?
            .context("cannot connect to the source")?;
        sqlx::query(
            "SELECT set_config('TimeZone', $1, false), set_config('default_transaction_read_only', 'on', false)",
        )
        .bind(time_zone)
        .execute(&mut connection)
        .await
        .context("--time-zone")?;
        let name: String = sqlx::query_scalar("SELECT current_database() || '/' || $1::text")
            .bind(schema)
            .fetch_one(&mut connection)
            .await?;
        let source = Source { connection, schema: schema.to_owned(), name };
        source.check().await
    }

    async fn check(mut self) -> Result<Source> {
        let has_serial: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM information_schema.columns
                            WHERE table_schema = $1 AND table_name = 'private_messages' AND column_name = 'id')",
        )
        .bind(&self.schema)
        .fetch_one(&mut self.connection)
        .await?;
        if !has_serial {
            bail!(
                "the original's private_messages is not in the schema {}: name the schema by --schema (after `chatctl import \
                 move-tables` it is `original`)",
                self.schema
            );
        }
        Ok(self)
    }

    pub async fn has(&mut self, table: &str) -> Result<bool> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM information_schema.tables WHERE table_schema = $1 AND table_name = $2)",
        )
        .bind(&self.schema)
        .bind(table)
        .fetch_one(&mut self.connection)
        .await?)
    }

    /// A `SELECT` of the table's columns; `rest` begins with WHERE or ORDER BY and may use any of them. The table is
    /// called `source`.
    pub fn select(&self, table: &Table, rest: &str) -> String {
        let absent: Vec<String> = table.columns.iter().map(|(name, _)| format!("NULL::text AS {name}")).collect();
        let read: Vec<String> = table.columns.iter().map(|(name, kind)| format!("{name}::{kind} AS {name}")).collect();
        format!(
            "SELECT rows.* FROM (SELECT {}) AS absent CROSS JOIN LATERAL (SELECT {} FROM {} AS source {rest}) AS rows",
            absent.join(", "),
            read.join(", "),
            self.table(table.name),
        )
    }

    /// The table with its schema, quoted.
    pub fn table(&self, name: &str) -> String {
        format!("\"{}\".{name}", self.schema.replace('"', "\"\""))
    }

    /// The next rows of a table, by its serial `id`.
    pub async fn page<T>(&mut self, table: &Table, after: i64, limit: i64) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let query = self.select(table, "WHERE source.id > $1 ORDER BY source.id LIMIT $2");
        sqlx::query_as(&query)
            .bind(after)
            .bind(limit)
            .fetch_all(&mut self.connection)
            .await
            .with_context(|| format!("reading {}", table.name))
    }
}
