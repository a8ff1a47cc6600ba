//! `chatctl webhook …`: the endpoints of the product's backend that receive events, and failed deliveries.

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::json;
use shared::crypto::Keyring;
use shared::webhooks::{MAX_ENDPOINTS, SETTINGS_NAME, WebhookSecret, check_url, parse_events};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::settings::Settings;
use crate::terminal::{print_line, printable};
use crate::{audit, database};

/// How many rows one statement changes; workers deliver meanwhile.
const BATCH: i64 = 1_000;

#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Creates an endpoint and prints the secret that signs its deliveries, which cannot be shown again. Workers use it
    /// within seconds.
    Create {
        /// Name of the endpoint.
        name: String,
        /// URL that deliveries are posted to.
        url: String,
        /// Events that it receives, separated by commas; `all` stands for all except user.online and user.offline.
        #[arg(long, default_value = "all")]
        events: String,
    },
    /// Prints name, URL, events, how many deliveries are waiting, since when, and how many were set aside, separated by
    /// tabs.
    List,
    /// Creates a new secret and prints it; it cannot be shown again. Deliveries are also signed with the old one until
    /// `--finish`.
    Secret {
        name: String,
        /// Stops signing with the old secret.
        #[arg(long)]
        finish: bool,
    },
    /// Deletes an endpoint with all of its deliveries.
    Remove { name: String },
    /// Prints deliveries that were set aside, oldest first: id, endpoint, event, conversation or user, when it
    /// happened, attempts and the last error, separated by tabs.
    Failed {
        /// Only of this endpoint.
        name: Option<String>,
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
    },
    /// Delivers what was set aside; in a conversation, before what is waiting there.
    Replay(Choice),
    /// Deletes what was set aside.
    Drop(Choice),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Choice {
    /// Ids of deliveries, as printed by `failed`.
    ids: Vec<i64>,
    /// All deliveries of this endpoint.
    #[arg(long, value_name = "NAME")]
    all: Option<String>,
}

impl WebhookCommand {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let mut connection = database::connect(settings).await?;
        let db = &mut connection;
        match self {
            Self::Create { name, url, events } => create(db, settings, &name, &url, &events).await,
            Self::List => list(db).await,
            Self::Secret { name, finish } => change_secret(db, settings, &name, finish).await,
            Self::Remove { name } => remove(db, &name).await,
            Self::Failed { name, limit } => list_failed(db, name.as_deref(), limit).await,
            Self::Replay(choice) => replay(db, choice).await,
            Self::Drop(choice) => delete(db, choice).await,
        }
    }
}

async fn keyring(settings: &Settings) -> Result<Keyring> {
    let encryption = settings.encryption()?;
    Ok(tokio::task::spawn_blocking(move || Keyring::derive(&encryption)).await??)
}

async fn create(db: &mut PgConnection, settings: &Settings, name: &str, url: &str, events: &str) -> Result<()> {
    let has_form = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    ensure!(has_form && (1..=64).contains(&name.len()), "the name must be up to 64 of a-z A-Z 0-9 . _ -");
    reject_settings(name)?;
    check_url(url).map_err(|problem| anyhow::anyhow!("the URL {problem}"))?;
    let events = parse_events(events).map_err(anyhow::Error::msg)?;
    let events: Vec<&str> = events.into_iter().map(shared::webhooks::WebhookEvent::as_str).collect();
    let (id, secret) = (Uuid::now_v7(), WebhookSecret::generate().to_text());
    let sealed = keyring(settings).await?.seal_blob(id, secret.as_bytes());
    let mut transaction = db.begin().await?;
    let known: i64 = sqlx::query_scalar("SELECT count(*) FROM webhook_endpoints").fetch_one(&mut *transaction).await?;
    ensure!(known < MAX_ENDPOINTS as i64, "there are {known} endpoints, which is the maximum");
    let made = sqlx::query(
        "INSERT INTO webhook_endpoints (endpoint_id, name, url, events, secrets) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (name) DO NOTHING",
    )
    .bind(id)
    .bind(name)
    .bind(url)
    .bind(&events)
    .bind(sealed)
    .execute(&mut *transaction)
    .await?;
    ensure!(made.rows_affected() == 1, "there is an endpoint {name} already");
    audit::record(&mut transaction, "webhook_create", None, json!({"name": name, "url": url, "events": events}))
        .await?;
    transaction.commit().await?;
    print_line(&secret)
}

fn reject_settings(name: &str) -> Result<()> {
    ensure!(
        name != SETTINGS_NAME,
        "the endpoint {SETTINGS_NAME} is configured with WEBHOOK_URL and must be changed there"
    );
    Ok(())
}

#[derive(sqlx::FromRow)]
struct EndpointRow {
    name: String,
    url: String,
    events: String,
    waiting: i64,
    oldest: Option<String>,
    set_aside: i64,
}

async fn list(db: &mut PgConnection) -> Result<()> {
    let rows: Vec<EndpointRow> = sqlx::query_as(
        "SELECT e.name, e.url, array_to_string(e.events, ',') AS events, d.waiting, d.set_aside,
             to_char(d.oldest AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS oldest
         FROM webhook_endpoints e
         CROSS JOIN LATERAL (
             SELECT count(*) FILTER (WHERE set_aside_at IS NULL) AS waiting,
                 min(waiting_since) FILTER (WHERE set_aside_at IS NULL) AS oldest,
                 count(*) FILTER (WHERE set_aside_at IS NOT NULL) AS set_aside
             FROM webhook_deliveries w WHERE w.endpoint_id = e.endpoint_id
         ) d
         ORDER BY e.created_at, e.name",
    )
    .fetch_all(db)
    .await?;
    for EndpointRow { name, url, events, waiting, oldest, set_aside } in rows {
        let (url, oldest) = (printable(&url), oldest.as_deref().unwrap_or("-"));
        print_line(&format!("{name}\t{url}\t{events}\t{waiting}\t{oldest}\t{set_aside}"))?;
    }
    Ok(())
}

async fn change_secret(db: &mut PgConnection, settings: &Settings, name: &str, finish: bool) -> Result<()> {
    reject_settings(name)?;
    let keyring = keyring(settings).await?;
    let mut transaction = db.begin().await?;
    let found: Option<(Uuid, Vec<u8>)> =
        sqlx::query_as("SELECT endpoint_id, secrets FROM webhook_endpoints WHERE name = $1 FOR UPDATE")
            .bind(name)
            .fetch_optional(&mut *transaction)
            .await?;
    let (id, sealed) = found.with_context(|| no_such(name))?;
    let known = String::from_utf8(keyring.open_blob(id, &sealed).context("its secrets cannot be decrypted")?)?;
    let newest = known.split(',').next().unwrap_or_default();
    let has_two = known.contains(',');
    let fresh = match (finish, has_two) {
        (true, true) => None,
        (true, false) => bail!("{name} has one secret only; run without --finish to give it a new one"),
        (false, true) => bail!("{name} has two secrets already; run with --finish when its receiver knows the new one"),
        (false, false) => Some(WebhookSecret::generate().to_text()),
    };
    let secrets = fresh.as_ref().map_or_else(|| newest.to_owned(), |fresh| format!("{fresh},{newest}"));
    sqlx::query("UPDATE webhook_endpoints SET secrets = $2 WHERE endpoint_id = $1")
        .bind(id)
        .bind(keyring.seal_blob(id, secrets.as_bytes()))
        .execute(&mut *transaction)
        .await?;
    audit::record(&mut transaction, "webhook_secret", None, json!({"name": name, "finished": finish})).await?;
    transaction.commit().await?;
    fresh.map_or(Ok(()), |fresh| print_line(&fresh))
}

fn no_such(name: &str) -> String {
    format!("there is no endpoint {name}; `chatctl webhook list` shows all")
}

async fn remove(db: &mut PgConnection, name: &str) -> Result<()> {
    reject_settings(name)?;
    let mut transaction = db.begin().await?;
    let removed =
        sqlx::query("DELETE FROM webhook_endpoints WHERE name = $1").bind(name).execute(&mut *transaction).await?;
    ensure!(removed.rows_affected() == 1, no_such(name));
    audit::record(&mut transaction, "webhook_remove", None, json!({"name": name})).await?;
    // Waiting deliveries are deleted by the workers, in batches.
    transaction.commit().await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct FailedRow {
    delivery_id: i64,
    name: String,
    event: String,
    topic: String,
    happened_at: String,
    attempts: i32,
    last_error: Option<String>,
}

async fn list_failed(db: &mut PgConnection, name: Option<&str>, limit: i64) -> Result<()> {
    let rows: Vec<FailedRow> = sqlx::query_as(
        "SELECT d.delivery_id, e.name, d.event, d.topic, d.attempts, d.last_error,
             to_char(d.happened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS happened_at
         FROM webhook_deliveries d JOIN webhook_endpoints e USING (endpoint_id)
         WHERE d.set_aside_at IS NOT NULL AND ($1::text IS NULL OR e.name = $1)
         ORDER BY d.delivery_id LIMIT $2",
    )
    .bind(name)
    .bind(limit)
    .fetch_all(db)
    .await?;
    for row in rows {
        let FailedRow { delivery_id, name, event, topic, happened_at, attempts, last_error } = row;
        let error = printable(last_error.as_deref().unwrap_or("its turn never came"));
        print_line(&format!("{delivery_id}\t{name}\t{event}\t{topic}\t{happened_at}\t{attempts}\t{error}"))?;
    }
    Ok(())
}

async fn replay(db: &mut PgConnection, choice: Choice) -> Result<()> {
    let change =
        "UPDATE webhook_deliveries SET set_aside_at = NULL, waiting_since = now(), attempts = 0, last_error = NULL";
    change_chosen(db, choice, "webhook_replay", change, "replayed").await
}

async fn delete(db: &mut PgConnection, choice: Choice) -> Result<()> {
    change_chosen(db, choice, "webhook_drop", "DELETE FROM webhook_deliveries", "dropped").await
}

/// Changes the chosen deliveries that are set aside, in batches; prints how many.
async fn change_chosen(
    db: &mut PgConnection,
    Choice { ids, all }: Choice,
    action: &str,
    change: &str,
    word: &str,
) -> Result<()> {
    let endpoint: Option<Uuid> = match &all {
        Some(name) => {
            let found = sqlx::query_scalar("SELECT endpoint_id FROM webhook_endpoints WHERE name = $1");
            Some(found.bind(name).fetch_optional(&mut *db).await?.with_context(|| no_such(name))?)
        }
        None => None,
    };
    let statement = format!(
        "{change} WHERE delivery_id IN (
             SELECT delivery_id FROM webhook_deliveries
             WHERE set_aside_at IS NOT NULL AND (endpoint_id = $1 OR delivery_id = ANY($2)) ORDER BY delivery_id LIMIT $3)"
    );
    let mut changed = 0;
    loop {
        let batch = sqlx::query(&statement).bind(endpoint).bind(&ids).bind(BATCH).execute(&mut *db).await?;
        changed += batch.rows_affected();
        if batch.rows_affected() < BATCH.unsigned_abs() {
            break;
        }
    }
    audit::record(db, action, None, json!({"endpoint": all, "ids": ids, "deliveries": changed})).await?;
    if changed == 0 && all.is_none() {
        bail!("none of these was set aside; `chatctl webhook failed` shows what was");
    }
    print_line(&format!("{changed} {word}"))
}
