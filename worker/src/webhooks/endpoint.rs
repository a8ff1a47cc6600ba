//! Delivers to one endpoint: a bounded number of topics at a time, each in its order. A topic whose delivery fails
//! waits, and does not delay others; if nothing succeeds, the endpoint counts as down, and one delivery at a time finds
//! out when it is back.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use rand::Rng;
use shared::ids::UserId;
use shared::lifecycle::Lifecycle;
use shared::telemetry::with_causes;
use shared::webhooks::WebhookEvent;
use tokio::sync::watch;
use uuid::Uuid;

use super::body::{self, Messages};
use super::client::Client;
use crate::app::App;
use crate::error::Failure;
use crate::store::webhooks::{self, Claim, DeliveryRow, Results};

/// How many deliveries of a topic are read together.
const TOGETHER: i64 = 16;
/// A topic is released after this time, in the middle of its deliveries if necessary.
const RUN: Duration = Duration::from_secs(5);
/// The additional time that settling may take.
const MARGIN: Duration = Duration::from_secs(5);
/// How many topics one search looks at.
const HOPS: i64 = 256;
/// The pause after a search that did not see everything, and before one for only a few places.
const SOON: Duration = Duration::from_millis(50);
/// Other workers may have released topics, or died.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// After this many consecutive failures, in any topics, the endpoint counts as down.
const DOWN_AFTER: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How many recipients one `push.wanted` request has.
const RECIPIENTS: usize = 1_000;
const MAX_ERROR_CHARACTERS: usize = 300;

/// The current state of an endpoint.
#[derive(Default)]
struct Health {
    failures_in_a_row: u32,
    retry_at: Option<Instant>,
}

impl Health {
    fn is_down(&self) -> bool {
        self.failures_in_a_row >= DOWN_AFTER
    }

    fn succeeded(&mut self) {
        *self = Health::default();
    }

    fn failed(&mut self, max_pause: Duration) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        if self.is_down() {
            self.retry_at = Some(Instant::now() + pause(self.failures_in_a_row - DOWN_AFTER, max_pause));
        }
    }

    fn may_try(&self) -> bool {
        self.retry_at.is_none_or(|at| at <= Instant::now())
    }
}

/// Doubles after each failure, and is chosen at random from the upper half, so that deliveries that failed together are
/// not retried together.
fn pause(failures: u32, max_pause: Duration) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(max_pause);
    whole.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// The results of one topic's deliveries.
struct Run {
    claim: Claim,
    delivered: Vec<i64>,
    failed: Option<(i64, String)>,
}

/// Delivers until the endpoint is deleted, which `None` signals, or until a drain.
pub async fn run(
    app: Arc<App>,
    endpoint: Uuid,
    mut client: watch::Receiver<Option<Arc<Client>>>,
    lifecycle: Lifecycle,
) -> anyhow::Result<()> {
    let mut health = Health::default();
    let mut runs = FuturesUnordered::new();
    let mut unsettled = Results::default();
    let mut news = app.webhooks.news();
    let mut after = String::new();
    let mut looked_at: Option<Instant> = None;
    let draining = lifecycle.draining();
    loop {
        let present = client.borrow_and_update().clone();
        let Some(present) = present.filter(|_| !(draining.is_cancelled() && runs.is_empty())) else { return Ok(()) };
        let most = if health.is_down() { 1 } else { app.settings.webhook_concurrency };
        let free = most.saturating_sub(runs.len());
        // Searching for every single place would be most of the work.
        let is_worth_it = free * 4 >= most || looked_at.is_none_or(|at| at.elapsed() >= SOON);
        let may_look = free > 0 && health.may_try() && !draining.is_cancelled();
        let mut wait = if may_look && !is_worth_it { SOON } else { LOOK_AGAIN };
        if may_look && is_worth_it {
            looked_at = Some(Instant::now());
            news.borrow_and_update();
            match claim(&app, endpoint, &mut after, free).await {
                Ok((found, has_more)) => {
                    for (claim, rows, messages) in found {
                        runs.push(deliver_topic(app.clone(), present.clone(), claim, rows, messages));
                    }
                    if has_more && runs.len() < most {
                        wait = SOON;
                    }
                }
                Err(error) => tracing::warn!(%error, "webhook deliveries could not be read"),
            }
        }
        if let Some(at) = health.retry_at {
            wait = wait.min(at.saturating_duration_since(Instant::now()) + Duration::from_millis(1));
        }
        tokio::select! {
            Some(finished) = runs.next(), if !runs.is_empty() => {
                note(&app, finished, &mut health, &mut unsettled);
                while let Some(Some(finished)) = runs.next().now_or_never() {
                    note(&app, finished, &mut health, &mut unsettled);
                }
                settle(&app, endpoint, &mut unsettled).await;
            }
            _ = news.changed(), if may_look => {}
            _ = client.changed() => {}
            () = draining.cancelled(), if !draining.is_cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

type Found = (Claim, Vec<DeliveryRow>, Arc<Messages>);

/// Claims topics and reads their waiting deliveries. Also returns if there may be more.
async fn claim(app: &App, endpoint: Uuid, after: &mut String, most: usize) -> Result<(Vec<Found>, bool), Failure> {
    let mut db = app.db.acquire().await?;
    let time = RUN + app.settings.webhook_timeout + MARGIN;
    let claimed = webhooks::claim_topics(&mut db, endpoint, after, HOPS, most as i64, time, app.worker_id).await?;
    let has_more = claimed.next.is_some() || !after.is_empty();
    *after = claimed.next.unwrap_or_default();
    if claimed.claims.is_empty() {
        return Ok((Vec::new(), has_more));
    }
    let topics: Vec<String> = claimed.claims.iter().map(|claim| claim.topic.clone()).collect();
    // Only now: deliveries from before the claim may since have been made by the previous owner of the topic.
    let rows = webhooks::list_first(&mut db, endpoint, &topics, TOGETHER).await?;
    let messages = Arc::new(body::load_messages(app, &mut db, &rows).await?);
    let mut by_topic: BTreeMap<String, Vec<DeliveryRow>> = BTreeMap::new();
    for row in rows {
        by_topic.entry(row.topic.clone()).or_default().push(row);
    }
    let found = claimed.claims.into_iter().map(|claim| {
        let rows = by_topic.remove(&claim.topic).unwrap_or_default();
        (claim, rows, messages.clone())
    });
    Ok((found.collect(), has_more))
}

/// Delivers in order, until the first failure.
async fn deliver_topic(
    app: Arc<App>,
    client: Arc<Client>,
    claim: Claim,
    rows: Vec<DeliveryRow>,
    messages: Arc<Messages>,
) -> Run {
    let began = Instant::now();
    let mut run = Run { claim, delivered: Vec::new(), failed: None };
    for row in rows {
        if began.elapsed() > RUN {
            break;
        }
        match deliver(&app, &client, &row, &messages, began).await {
            Ok(true) => run.delivered.push(row.delivery_id),
            Ok(false) => break,
            Err(error) => {
                let error: String = with_causes(&error).to_string().chars().take(MAX_ERROR_CHARACTERS).collect();
                run.failed = Some((row.delivery_id, error));
                break;
            }
        }
    }
    run
}

/// Returns true if all of it was delivered; a delivery of many parts continues in the topic's next run.
async fn deliver(
    app: &App,
    client: &Client,
    row: &DeliveryRow,
    messages: &Messages,
    began: Instant,
) -> anyhow::Result<bool> {
    let id = format!("{}.{}", row.event, row.event_id.0);
    let data = body::data(app, row, messages)?;
    if row.event != WebhookEvent::PushWanted.as_str() {
        request(app, client, &id, row, data).await?;
        return Ok(true);
    }
    let Some(about) = row.about.filter(|about| messages.contains_key(about)) else { return Ok(true) };
    let mut after = row.after_user;
    loop {
        let mut db = app.db.acquire().await?;
        let candidates = webhooks::list_push_candidates(&mut db, about, after, RECIPIENTS as i64).await?;
        drop(db);
        let Some(last) = candidates.last().copied() else { return Ok(true) };
        let there: HashSet<UserId> = app.presence.connected_among(&app.redis, &candidates).await?;
        let is_last = candidates.len() < RECIPIENTS;
        let recipients: Vec<UserId> = candidates.into_iter().filter(|user| !there.contains(user)).collect();
        if !recipients.is_empty() {
            let id = if after == UserId(0) { id.clone() } else { format!("{id}.{after}") };
            request(app, client, &id, row, body::push(data.clone(), &recipients)).await?;
        }
        if is_last {
            return Ok(true);
        }
        after = last;
        webhooks::update_part(&mut app.db.acquire().await?, row.delivery_id, after).await?;
        if began.elapsed() > RUN {
            return Ok(false);
        }
    }
}

async fn request(
    app: &App,
    client: &Client,
    id: &str,
    row: &DeliveryRow,
    data: serde_json::Value,
) -> anyhow::Result<()> {
    let body = body::encode(id, row, data)?;
    let began = Instant::now();
    let result = client.post(&app.settings, app.settings.webhook_timeout, id, &body).await.map(drop);
    app.metrics.webhook_seconds.record(began.elapsed().as_secs_f64());
    let outcome = if result.is_ok() { "delivered" } else { "failed" };
    app.metrics.webhook_deliveries.with(outcome).increment(1);
    result
}

/// Adds a run's results to what has to be settled.
fn note(app: &App, run: Run, health: &mut Health, unsettled: &mut Results) {
    let max_pause = app.settings.webhook_max_pause;
    if !run.delivered.is_empty() {
        health.succeeded();
    }
    unsettled.delivered.extend(run.delivered);
    let Some((delivery, error)) = run.failed else {
        unsettled.freed.push(run.claim.topic);
        return;
    };
    let was_down = health.is_down();
    health.failed(max_pause);
    if health.is_down() && !was_down {
        tracing::warn!(error, "a webhook endpoint does not take deliveries");
    }
    unsettled.failed.push(delivery);
    unsettled.errors.push(error);
    // That the endpoint is down is not the topic's fault: it waits no longer than the endpoint.
    let failures = if was_down { run.claim.failures } else { run.claim.failures.saturating_add(1) };
    let topic_pause = if was_down { FIRST_PAUSE } else { pause(failures.max(1) as u32 - 1, max_pause) };
    unsettled.blocked.push(run.claim.topic);
    unsettled.pauses_ms.push(topic_pause.as_millis() as i64);
    unsettled.failures.push(failures);
}

/// What cannot be settled is kept for the next attempt; if this worker dies first, it is delivered again.
async fn settle(app: &App, endpoint: Uuid, unsettled: &mut Results) {
    let settled = async {
        let mut db = app.db.acquire().await?;
        webhooks::settle(&mut db, endpoint, app.worker_id, unsettled).await
    };
    match settled.await {
        Ok(()) => *unsettled = Results::default(),
        Err(error) => tracing::warn!(%error, "webhook deliveries could not be settled, trying again"),
    }
}
