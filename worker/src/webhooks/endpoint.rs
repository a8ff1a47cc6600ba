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
use crate::consume::load::LoadWatch;
use crate::error::Failure;
use crate::store::webhooks::{self, Claim, DeliveryRow, Results};

/// How many deliveries of a topic are read together.
const TOGETHER: i64 = 32;
/// A topic is released after this time, in the middle of its deliveries if necessary.
const RUN: Duration = Duration::from_secs(5);
/// The additional time that settling may take.
const MARGIN: Duration = Duration::from_secs(5);
/// How many topics one search looks at.
const HOPS: i64 = 256;
/// The pause after a search that did not see everything, and before one for only a few places. Also how long results may
/// wait for others to be settled with them.
const SOON: Duration = Duration::from_millis(50);
/// The pause between two searches while commands wait for longer than [`BUSY_WAIT`]: messages go first.
const BUSY_PAUSE: Duration = Duration::from_millis(500);
/// Several times what they wait while there is something to spare.
const BUSY_WAIT: Duration = Duration::from_millis(5);
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

/// The time between two searches. Searching for every single place would be most of the work.
fn pause_between(commands_wait: Duration, free: usize, most: usize) -> Duration {
    match () {
        () if commands_wait > BUSY_WAIT => BUSY_PAUSE,
        () if free * 4 >= most => Duration::ZERO,
        () => SOON,
    }
}

/// The results of one topic's deliveries.
struct Run {
    claim: Claim,
    delivered: Vec<i64>,
    failed: Option<(i64, String)>,
}

/// A claimed topic, with its first deliveries and their messages.
type Found = (Claim, Vec<DeliveryRow>, Arc<Messages>);

/// What one endpoint's deliverer knows.
struct Deliverer {
    app: Arc<App>,
    endpoint: Uuid,
    health: Health,
    unsettled: Results,
    /// When the results have to be settled.
    settle_at: Option<Instant>,
    /// The topic before which the next search begins.
    before: String,
    looked_at: Option<Instant>,
    load: LoadWatch,
}

/// Delivers until the endpoint is deleted, which `None` signals, or until a drain.
pub async fn run(
    app: Arc<App>,
    endpoint: Uuid,
    mut client: watch::Receiver<Option<Arc<Client>>>,
    lifecycle: Lifecycle,
) -> anyhow::Result<()> {
    let mut deliverer = Deliverer::new(app.clone(), endpoint);
    let mut runs = FuturesUnordered::new();
    let mut news = app.webhooks.news();
    let draining = lifecycle.draining();
    loop {
        deliverer.settle_if_due().await;
        let present = client.borrow_and_update().clone();
        let Some(present) = present.filter(|_| !(draining.is_cancelled() && runs.is_empty())) else {
            deliverer.settle().await;
            return Ok(());
        };
        let most = if deliverer.health.is_down() { 1 } else { app.settings.webhook_concurrency };
        let may_look = runs.len() < most && deliverer.health.may_try() && !draining.is_cancelled();
        let rest = deliverer.rest(most - runs.len().min(most), most);
        let mut wait = if may_look && !rest.is_zero() { rest } else { LOOK_AGAIN };
        if may_look && rest.is_zero() {
            news.borrow_and_update();
            let (found, has_more) = deliverer.look(most - runs.len()).await;
            for (claim, rows, messages) in found {
                runs.push(deliver_topic(app.clone(), present.clone(), claim, rows, messages));
            }
            if has_more && runs.len() < most {
                wait = SOON;
            }
        }
        tokio::select! {
            Some(finished) = runs.next(), if !runs.is_empty() => {
                deliverer.note(finished);
                while let Some(Some(finished)) = runs.next().now_or_never() {
                    deliverer.note(finished);
                }
            }
            _ = news.changed(), if may_look => {}
            _ = client.changed() => {}
            () = draining.cancelled(), if !draining.is_cancelled() => {}
            () = tokio::time::sleep(deliverer.at_most(wait)) => {}
        }
    }
}

impl Deliverer {
    fn new(app: Arc<App>, endpoint: Uuid) -> Self {
        Deliverer {
            load: LoadWatch::new(),
            app,
            endpoint,
            health: Health::default(),
            unsettled: Results::default(),
            settle_at: None,
            before: webhooks::AFTER_ALL_TOPICS.to_owned(),
            looked_at: None,
        }
    }

    /// How long to wait with the next search.
    fn rest(&mut self, free: usize, most: usize) -> Duration {
        let pause = pause_between(self.load.mean_wait(&self.app.load), free, most);
        self.looked_at.map_or(Duration::ZERO, |at| pause.saturating_sub(at.elapsed()))
    }

    /// `wait`, or less when something else is due.
    fn at_most(&self, wait: Duration) -> Duration {
        let until = |at: Instant| at.saturating_duration_since(Instant::now());
        let settling = self.settle_at.map_or(wait, until);
        // Timers have the resolution of a millisecond, and a retry must not come before its time.
        let retry = self.health.retry_at.filter(|_| !self.health.may_try());
        let retry = retry.map_or(wait, |at| until(at) + Duration::from_millis(1));
        wait.min(settling).min(retry)
    }

    /// Settles what was done, so that its topics can be claimed again, and searches for up to `most`. Also returns if there
    /// may be more.
    async fn look(&mut self, most: usize) -> (Vec<Found>, bool) {
        self.looked_at = Some(Instant::now());
        self.settle().await;
        claim(&self.app, self.endpoint, &mut self.before, most).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "webhook deliveries could not be read");
            (Vec::new(), false)
        })
    }

    /// Adds a run's results to what has to be settled.
    fn note(&mut self, run: Run) {
        let max_pause = self.app.settings.webhook_max_pause;
        self.settle_at.get_or_insert_with(|| Instant::now() + SOON);
        if !run.delivered.is_empty() {
            self.health.succeeded();
        }
        self.unsettled.delivered.extend(run.delivered);
        let Some((delivery, error)) = run.failed else {
            self.unsettled.freed.push(run.claim.topic);
            return;
        };
        let was_down = self.health.is_down();
        self.health.failed(max_pause);
        if self.health.is_down() && !was_down {
            tracing::warn!(error, "a webhook endpoint does not take deliveries");
        }
        self.unsettled.failed.push(delivery);
        self.unsettled.errors.push(error);
        // That the endpoint is down is not the topic's fault: it waits no longer than the endpoint.
        let failures = if was_down { run.claim.failures } else { run.claim.failures.saturating_add(1) };
        let topic_pause = if was_down { FIRST_PAUSE } else { pause(failures.max(1) as u32 - 1, max_pause) };
        self.unsettled.blocked.push(run.claim.topic);
        self.unsettled.pauses_ms.push(topic_pause.as_millis() as i64);
        self.unsettled.failures.push(failures);
    }

    async fn settle_if_due(&mut self) {
        if self.settle_at.is_some_and(|at| at <= Instant::now()) {
            self.settle().await;
        }
    }

    /// What cannot be settled is kept for the next attempt; if this worker dies first, it is delivered again.
    async fn settle(&mut self) {
        if self.settle_at.take().is_none() {
            return;
        }
        let settled = async {
            let mut db = self.app.db.acquire().await?;
            webhooks::settle(&mut db, self.endpoint, self.app.worker_id, &self.unsettled).await
        };
        match settled.await {
            Ok(()) => self.unsettled = Results::default(),
            Err(error) => {
                self.settle_at = Some(Instant::now() + LOOK_AGAIN);
                tracing::warn!(%error, "webhook deliveries could not be settled, trying again");
            }
        }
    }
}

/// Claims topics and reads their waiting deliveries. Also returns if there may be more.
async fn claim(app: &App, endpoint: Uuid, before: &mut String, most: usize) -> Result<(Vec<Found>, bool), Failure> {
    let mut db = app.db.acquire().await?;
    let time = RUN + app.settings.webhook_timeout + MARGIN;
    let claimed = webhooks::claim_topics(&mut db, endpoint, before, HOPS, most as i64, time, app.worker_id).await?;
    let has_more = claimed.next.is_some() || before != webhooks::AFTER_ALL_TOPICS;
    *before = claimed.next.unwrap_or_else(|| webhooks::AFTER_ALL_TOPICS.to_owned());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_give_way_while_commands_wait() {
        let [soon, late] = [BUSY_WAIT / 10, BUSY_WAIT * 2];
        assert_eq!(pause_between(soon, 16, 16), Duration::ZERO);
        assert_eq!(pause_between(soon, 3, 16), SOON);
        assert_eq!(pause_between(late, 16, 16), BUSY_PAUSE);
        assert_eq!(pause_between(late, 3, 16), BUSY_PAUSE);
    }
}
