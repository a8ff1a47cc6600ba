//! Keeps track of the webhook endpoints and maintains their queues: a task for each delivers to it
//! (`crate::webhooks::endpoint`), deliveries that waited too long are set aside, and old ones are deleted.

use std::collections::HashMap;
use std::sync::Arc;

use shared::lifecycle::Lifecycle;
use shared::telemetry::with_causes;
use shared::webhooks::{MAX_ENDPOINTS, SETTINGS_NAME, WebhookEvent, WebhookSecret};
use tokio::sync::watch;
use uuid::Uuid;

use crate::app::App;
use crate::store::session::PgSession;
use crate::store::webhooks::{self, EndpointRow};
use crate::webhooks::client::Client;
use crate::webhooks::endpoint;
use crate::webhooks::subscriptions::REFRESH;

/// The number of rows per statement.
const BATCH: i64 = 1_000;

struct Running {
    row: EndpointRow,
    client: watch::Sender<Option<Arc<Client>>>,
}

/// Called when a worker starts, so that it knows the subscribers of everything it applies. The settings' endpoint is
/// the one given to the worker that started last.
pub async fn prepare(app: &App) -> sqlx::Result<()> {
    let mut db = app.db.acquire().await?;
    let known = webhooks::list_endpoints(&mut db).await?.into_iter().find(|row| row.name == SETTINGS_NAME);
    let settings = &app.settings;
    match (&settings.webhook_url, &settings.webhook_secrets) {
        (Some(url), Some(secrets)) => {
            let endpoint_id = known.map_or_else(Uuid::now_v7, |row| row.endpoint_id);
            let row = EndpointRow {
                endpoint_id,
                name: SETTINGS_NAME.to_owned(),
                url: url.clone(),
                events: settings.webhook_events.iter().map(|event| event.as_str().to_owned()).collect(),
                secrets: app.keyring.seal_blob(endpoint_id, secrets.expose().as_bytes()),
            };
            webhooks::upsert_endpoint(&mut db, &row).await?;
        }
        _ if known.is_some() => webhooks::delete_endpoint(&mut db, SETTINGS_NAME).await?,
        _ => {}
    }
    subscribe(app, &webhooks::list_endpoints(&mut db).await?);
    Ok(())
}

fn subscribe(app: &App, rows: &[EndpointRow]) {
    let events = rows.iter().flat_map(|row| row.events.iter().filter_map(|name| WebhookEvent::from_name(name)));
    app.webhooks.set(events);
    app.metrics.webhook_endpoints.set(rows.len() as f64);
}

pub async fn run(app: Arc<App>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let mut ticks = lifecycle.every(REFRESH.min(app.settings.webhook_retry_for / 2));
    let mut running: HashMap<Uuid, Running> = HashMap::new();
    while ticks.next().await {
        let looked = async {
            let mut db = app.db.acquire().await?;
            let rows = webhooks::list_endpoints(&mut db).await?;
            refresh(&app, &lifecycle, rows, &mut running);
            maintain(&app, &mut db).await
        };
        if let Err(error) = looked.await {
            tracing::warn!(%error, "webhooks could not be maintained");
        }
    }
    Ok(())
}

/// Starts a task for each new endpoint, and tells the others what changed.
fn refresh(app: &Arc<App>, lifecycle: &Lifecycle, mut rows: Vec<EndpointRow>, running: &mut HashMap<Uuid, Running>) {
    rows.truncate(MAX_ENDPOINTS);
    subscribe(app, &rows);
    running.retain(|id, running| {
        let is_there = rows.iter().any(|row| row.endpoint_id == *id);
        if !is_there {
            running.client.send_replace(None);
        }
        is_there
    });
    for row in rows {
        let known = running.get(&row.endpoint_id);
        if known.is_some_and(|known| known.row == row) {
            continue;
        }
        let client = match client(app, &row) {
            Ok(client) => Some(Arc::new(client)),
            Err(error) => {
                tracing::error!(endpoint = row.name, error = %with_causes(&error), "a webhook endpoint cannot be used");
                continue;
            }
        };
        match known {
            Some(known) => drop(known.client.send_replace(client)),
            None => {
                let (sender, receiver) = watch::channel(client);
                let task = endpoint::run(app.clone(), row.endpoint_id, receiver, lifecycle.clone());
                lifecycle.spawn_work("webhook-endpoint", task);
                running.insert(row.endpoint_id, Running { row: row.clone(), client: sender });
            }
        }
        if let Some(known) = running.get_mut(&row.endpoint_id) {
            known.row = row;
        }
    }
}

fn client(app: &App, row: &EndpointRow) -> anyhow::Result<Client> {
    let secrets = app.keyring.open_blob(row.endpoint_id, &row.secrets)?;
    let secrets = WebhookSecret::parse_pair(&String::from_utf8(secrets)?).map_err(anyhow::Error::msg)?;
    Client::new(&row.url, secrets)
}

async fn maintain(app: &App, db: &mut PgSession) -> sqlx::Result<()> {
    let backlog = webhooks::get_backlog(db).await?;
    app.metrics.webhook_waiting.set(backlog.waiting as f64);
    app.metrics.webhook_oldest_seconds.set(backlog.oldest_seconds);
    app.metrics.webhook_set_aside.set(backlog.set_aside as f64);
    if backlog.waiting + backlog.set_aside == 0 {
        return Ok(());
    }
    let set_aside = webhooks::update_set_aside(db, app.settings.webhook_retry_for, BATCH).await?;
    if set_aside > 0 {
        tracing::warn!(set_aside, "webhook deliveries were set aside; see `chatctl webhook failed`");
    }
    webhooks::delete_set_aside(db, app.settings.webhook_kept, BATCH).await?;
    webhooks::delete_orphans(db, BATCH).await?;
    Ok(())
}
