//! The original's tables have the same names as ours. In one database they are moved out of the way, all in one
//! transaction, and can be moved back.

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::settings::Settings;
use crate::terminal::print_line;
use crate::{audit, database};

/// Where our tables wait while the original's are back.
const PARKED: &str = "chat_parked";

const TABLES: [&str; 13] = [
    "private_messages",
    "conversations",
    "group_chats",
    "group_members",
    "message_reactions",
    "message_deletions",
    "conversation_deletions",
    "user_status",
    "event_queue",
    "communities",
    "community_members",
    "user_community_progress",
    "community_challenge_events",
];

#[derive(Debug, Args)]
pub struct MoveArguments {
    /// Schema for the original's tables.
    #[arg(long, default_value = "original", value_name = "NAME")]
    schema: String,
    /// Role of the original server in Postgres: it finds its tables through `search_path` from its next connection on,
    /// so that it works again after a restart.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Moves the original's tables back to `public`, and ours, if they exist, to `chat_parked`.
    #[arg(long)]
    back: bool,
}

impl MoveArguments {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let mut connection = database::connect(settings).await?;
        if let Some(role) = self.role.as_deref().filter(|_| !self.back) {
            refuse_own_role(&mut connection, role).await?;
        }
        let mut transaction = connection.begin().await?;
        // The original may be serving: it is better to fail and be run again than to delay it.
        sqlx::raw_sql("SET LOCAL lock_timeout = '5s'").execute(&mut *transaction).await?;
        let moved = if self.back { self.back(&mut transaction).await? } else { self.away(&mut transaction).await? };
        if let Some(role) = &self.role {
            let (role, schema) = (quoted(role), quoted(&self.schema));
            let statement = if self.back {
                format!("ALTER ROLE {role} IN DATABASE {} RESET search_path", database_name(&mut transaction).await?)
            } else {
                let database = database_name(&mut transaction).await?;
                format!(
                    "GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};
                     ALTER ROLE {role} IN DATABASE {database} SET search_path = {schema}, public"
                )
            };
            sqlx::raw_sql(&statement).execute(&mut *transaction).await.context("--role")?;
        }
        transaction.commit().await?;
        if moved.is_empty() {
            return print_line("nothing to move");
        }
        // Only if our table exists to record it.
        if table_exists(&mut connection, "public", "audit_log").await? {
            audit::record(&mut connection, "import move-tables", None, json!({"tables": moved, "back": self.back}))
                .await?;
        }
        moved.iter().try_for_each(|table| print_line(table))
    }

    async fn away(&self, db: &mut PgConnection) -> Result<Vec<String>> {
        let originals = originals(db, "public").await?;
        if !originals.is_empty() {
            create_schema(db, &self.schema).await?;
            move_all(db, &originals, "public", &self.schema).await?;
        }
        let parked = present(db, PARKED).await?;
        move_all(db, &parked, PARKED, "public").await?;
        Ok(originals)
    }

    async fn back(&self, db: &mut PgConnection) -> Result<Vec<String>> {
        let originals = originals(db, &self.schema).await?;
        let ours: Vec<String> =
            present(db, "public").await?.into_iter().filter(|table| originals.contains(table)).collect();
        if !ours.is_empty() {
            create_schema(db, PARKED).await?;
            move_all(db, &ours, "public", PARKED).await?;
        }
        move_all(db, &originals, &self.schema, "public").await?;
        Ok(originals)
    }
}

/// From now on the role finds the original's tables, so this server must not use it.
async fn refuse_own_role(db: &mut PgConnection, role: &str) -> Result<()> {
    let own: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(db).await?;
    if own == role {
        bail!(
            "--role: {role} is the role of DATABASE_URL, too, and this server would find the original's tables under the names of its \
             own: let it have another role (`CREATE ROLE chat LOGIN PASSWORD '…' IN ROLE {role}` in Postgres), and name that in \
             DATABASE_URL"
        );
    }
    Ok(())
}

/// True if the original's tables are where ours belong.
pub async fn has_original_tables(db: &mut PgConnection) -> Result<bool> {
    Ok(!originals(db, "public").await?.is_empty())
}

/// Those of the tables that are the original's: each has a serial `id`, unlike any of ours.
async fn originals(db: &mut PgConnection, schema: &str) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(
        "SELECT t.name FROM unnest($1::text[]) AS t (name)
         WHERE EXISTS (SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                       WHERE c.relnamespace = to_regnamespace(quote_ident($2)) AND c.relname = t.name AND a.attname = 'id'
                           AND NOT a.attisdropped)",
    )
    .bind(&TABLES[..])
    .bind(schema)
    .fetch_all(db)
    .await?)
}

async fn present(db: &mut PgConnection, schema: &str) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = $2 AND tablename = ANY($1)")
        .bind(&TABLES[..])
        .bind(schema)
        .fetch_all(db)
        .await?)
}

async fn table_exists(db: &mut PgConnection, schema: &str, table: &str) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = $2)")
        .bind(schema)
        .bind(table)
        .fetch_one(db)
        .await?)
}

async fn create_schema(db: &mut PgConnection, schema: &str) -> Result<()> {
    if matches!(schema, "public" | "chat_import" | PARKED) && schema != PARKED {
        bail!("--schema must not be {schema}");
    }
    sqlx::raw_sql(&format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema))).execute(db).await?;
    Ok(())
}

/// Indexes, constraints and sequences move with the tables.
async fn move_all(db: &mut PgConnection, tables: &[String], from: &str, to: &str) -> Result<()> {
    for table in tables {
        let statement = format!("ALTER TABLE {}.{} SET SCHEMA {}", quoted(from), quoted(table), quoted(to));
        sqlx::raw_sql(&statement).execute(&mut *db).await.with_context(|| format!("moving {table}"))?;
    }
    Ok(())
}

async fn database_name(db: &mut PgConnection) -> Result<String> {
    let name: String = sqlx::query_scalar("SELECT current_database()::text").fetch_one(db).await?;
    Ok(quoted(&name))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
