//! Tells gateways about revoked tokens, so that they end the connections opened with them: immediately when the
//! database notifies, and otherwise after a look at the table. Every worker does it; Redis ensures that each token is
//! announced once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use shared::auth::TokenHash;
use shared::ids::TokenId;
use shared::lifecycle::Lifecycle;
use shared::redis::revocations::Revocations;
use shared::telemetry::with_causes;
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::app::App;
use crate::store::revocations;

/// The delay if a notification is lost.
const INTERVAL: Duration = Duration::from_secs(2);
/// A row can be older than the commit that makes it visible, and the main backend's clock can be behind.
const OVERLAP: Duration = Duration::from_secs(60);
/// How far back a starting worker looks, because there may have been no worker for a while.
const FIRST_LOOKBACK: Duration = Duration::from_secs(3600);
/// How many tokens are announced at once, and how many notifications may wait. Further ones are found in the table.
const CHUNK: usize = 500;
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

pub async fn run(app: Arc<App>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let (heard, mut notified) = mpsc::channel(CHUNK);
    lifecycle.spawn("revocation-listener", listen(app.clone(), heard, lifecycle.clone()));
    let script = Revocations::default();
    let mut ticks = lifecycle.every(INTERVAL);
    let mut looked_at: Option<Instant> = None;
    let mut tokens = Vec::new();
    loop {
        let result = tokio::select! {
            count = notified.recv_many(&mut tokens, CHUNK) => {
                tracing::debug!(count, "tokens were revoked");
                announce(&app, &script, &tokens.split_off(0)).await
            }
            is_due = ticks.next() => {
                if !is_due {
                    return Ok(());
                }
                let began = Instant::now();
                let looked = look(&app, &script, looked_at.map_or(FIRST_LOOKBACK, |at| at.elapsed() + OVERLAP)).await;
                if looked.is_ok() {
                    looked_at = Some(began);
                }
                looked
            }
        };
        if let Err(error) = result {
            tracing::warn!(error = %with_causes(&error), "revoked tokens could not be announced; trying again");
        }
    }
}

/// Announces the revocations in the table.
async fn look(app: &App, script: &Revocations, lookback: Duration) -> anyhow::Result<()> {
    let mut db = app.db.acquire().await?;
    let mut chunks = revocations::stream_revoked(&mut db, lookback).try_chunks(CHUNK).boxed();
    while let Some(chunk) = chunks.next().await {
        announce(app, script, &chunk.map_err(|error| error.1)?).await?;
    }
    Ok(())
}

async fn announce(app: &App, script: &Revocations, token_ids: &[TokenId]) -> anyhow::Result<()> {
    let hashes: Vec<TokenHash> = token_ids.iter().map(TokenHash::of).collect();
    let announced = script.announce(&app.redis, &app.keys, &app.wire, &hashes).await?;
    if announced > 0 {
        app.metrics.revocations.increment(announced);
    }
    Ok(())
}

/// Forwards the database's notifications, on its own connection; impossible through a pooler.
async fn listen(app: Arc<App>, heard: mpsc::Sender<TokenId>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    if app.db.is_pooled() {
        // Behind a pooler, the listening backend would serve another client the next moment.
        return Ok(());
    }
    let options = app.db.connect_options();
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    let draining = lifecycle.draining();
    loop {
        let error = tokio::select! {
            () = draining.cancelled() => return Ok(()),
            error = pass_on(&pool, &heard) => error,
        };
        if let Err(error) = error {
            tracing::warn!(%error, "no notifications of revoked tokens for the moment");
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

async fn pass_on(pool: &PgPool, heard: &mpsc::Sender<TokenId>) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(revocations::CHANNEL).await?;
    // Ends with the connection; a new one listens again.
    while let Some(notification) = listener.try_recv().await? {
        // If too many wait, the look at the table finds it.
        let _ = heard.try_send(TokenId(notification.payload().to_owned()));
    }
    Ok(())
}
