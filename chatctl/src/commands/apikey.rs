//! `chatctl apikey …`: who may use the server API.

use anyhow::{Result, bail};
use clap::Subcommand;
use serde_json::json;
use shared::server_api::Scope;
use shared::server_api::key::ApiKey;
use sqlx::Connection;

use crate::settings::Settings;
use crate::terminal::{print_line, printable};
use crate::{audit, database};

#[derive(Debug, Subcommand)]
pub enum ApikeyCommand {
    /// Creates a key and prints it. It cannot be shown again, because only its hash is stored.
    Create {
        /// Description of the key, shown by `list`.
        name: String,
        /// Scopes of the key, separated by commas, or `all`.
        #[arg(long, value_delimiter = ',', required = true, value_parser = scopes())]
        scope: Vec<String>,
    },
    /// Prints id, name, scopes, when it was created and last used, and `revoked` or `active`, separated by tabs.
    List,
    /// Revokes a key immediately.
    Revoke {
        /// Id of the key as shown by `list`: its part between `ck_` and the next `_`.
        id: String,
    },
}

fn scopes() -> clap::builder::PossibleValuesParser {
    Scope::ALL.iter().map(|scope| scope.as_str()).chain(["all"]).collect::<Vec<_>>().into()
}

#[derive(sqlx::FromRow)]
struct Row {
    key_id: String,
    name: String,
    scopes: String,
    created_at: String,
    last_used_at: Option<String>,
    is_revoked: bool,
}

impl ApikeyCommand {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        match self {
            Self::Create { name, scope } => create(settings, &name, &scope).await,
            Self::List => list(settings).await,
            Self::Revoke { id } => revoke(settings, &id).await,
        }
    }
}

async fn create(settings: &Settings, name: &str, scopes: &[String]) -> Result<()> {
    let scopes: Vec<String> = match scopes.iter().any(|scope| scope == "all") {
        true => Scope::ALL.iter().map(|scope| scope.as_str().to_owned()).collect(),
        false => scopes.to_vec(),
    };
    let (key, text) = ApiKey::generate();
    let mut connection = database::connect(settings).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("INSERT INTO api_keys (key_id, name, key_hash, scopes) VALUES ($1, $2, $3, $4)")
        .bind(&key.id.0)
        .bind(name)
        .bind(key.hash.0.as_slice())
        .bind(&scopes)
        .execute(&mut *transaction)
        .await?;
    audit::record(&mut transaction, "apikey_create", None, json!({"key": key.id.0, "name": name, "scopes": scopes}))
        .await?;
    transaction.commit().await?;
    print_line(&text)
}

async fn list(settings: &Settings) -> Result<()> {
    let mut connection = database::connect(settings).await?;
    let keys: Vec<Row> = sqlx::query_as(
        "SELECT key_id, name, array_to_string(scopes, ',') AS scopes, revoked_at IS NOT NULL AS is_revoked,
             to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI\"Z\"') AS created_at,
             to_char(last_used_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI\"Z\"') AS last_used_at
         FROM api_keys ORDER BY api_keys.created_at, key_id",
    )
    .fetch_all(&mut connection)
    .await?;
    for key in keys {
        let (name, used) = (printable(&key.name), key.last_used_at.as_deref().unwrap_or("never"));
        let state = if key.is_revoked { "revoked" } else { "active" };
        print_line(&format!("{}\t{name}\t{}\t{}\t{used}\t{state}", key.key_id, key.scopes, key.created_at))?;
    }
    Ok(())
}

async fn revoke(settings: &Settings, id: &str) -> Result<()> {
    let mut connection = database::connect(settings).await?;
    let mut transaction = connection.begin().await?;
    let revoked = sqlx::query("UPDATE api_keys SET revoked_at = now() WHERE key_id = $1 AND revoked_at IS NULL")
        .bind(id)
        .execute(&mut *transaction)
        .await?;
    if revoked.rows_affected() == 0 {
        bail!("no active key has the id {id}; `chatctl apikey list` shows all keys");
    }
    audit::record(&mut transaction, "apikey_revoke", None, json!({"key": id})).await?;
    transaction.commit().await?;
    Ok(())
}
