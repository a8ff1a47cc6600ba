//! The query lane: reads and session requests, taken by any worker in no order. A slow query does not delay others, and
//! requests of the same kind that wait together are answered together.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fred::prelude::*;
use futures_util::FutureExt;
use parking_lot::Mutex;
use shared::clock::Timestamp;
use shared::config::WorkerSettings;
use shared::ids::UserId;
use shared::lifecycle::Lifecycle;
use shared::protocol::Rejection;
use shared::publication::Header;
use shared::redis::lanes::{self, RawEntry};
use shared::redis::redirect::keyed;
use shared::stream::{self, Body, Envelope, HttpRequest, Internal, InternalReply};
use shared::telemetry::traces::{KeyValue, Span, SpanKind, TraceContext, log_span};
use shared::wire::DecodeError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;

use crate::api;
use crate::app::App;
use crate::commands::{self, Query};
use crate::consume::fair::{Bounds, FairQueue};
use crate::consume::under_way::{Taken, UnderWay};
use crate::error::{Failure, unpanicked, with_retries};
use crate::outcome::Outcome;
use crate::publish;
use crate::sessions::{Request, authenticate, held, missing, receipts, replay, resume, sign_ins};

const GROUP: &str = "workers";
const READ_COUNT: u64 = 256;
const MAX_BLOCK: Duration = Duration::from_millis(500);
/// An entry that another worker took and has not spoken of for this long is taken over, before it is so old that gateways
/// close the lane (`BACKLOG_MAX_AGE`, 5 s by default).
const ABANDONED_AFTER: Duration = Duration::from_secs(3);
/// A reader without entries that was silent for this long is gone, since a live one reads all the time.
const GONE_AFTER: Duration = Duration::from_secs(60);
const CLAIM_INTERVAL: Duration = Duration::from_millis(500);
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// An entry that no worker knows is passed around at most this often, until its deadline.
const PUT_BACK_AFTER: Duration = Duration::from_millis(100);
/// How many queries wait here for their turn; beyond that some are rejected.
const MAX_WAITING: usize = 2_000;
/// Session requests have their own places, which queries cannot take.
const SESSION_CONCURRENCY: usize = 2;
/// How many sessions' replay pages are in memory at a time.
const SESSIONS_TOGETHER: usize = 32;
/// How many bytes of answers count as one second of database time: what they cost in Redis, the gateway and the
/// network.
const BYTES_PER_SECOND: u32 = 8 * 1024 * 1024;

pub struct Queries {
    app: Arc<App>,
    reader: Client,
    lane: Arc<Lane>,
    sessions: Arc<Semaphore>,
    under_way: UnderWay,
}

/// The queries of this worker: those that wait and those in progress.
struct Lane {
    app: Arc<App>,
    lifecycle: Lifecycle,
    stream: String,
    queue: Mutex<FairQueue<(Requests, Taken)>>,
    permits: Arc<Semaphore>,
    /// When the lane will be looked at again.
    looks_at: Mutex<Option<Instant>>,
}

impl Lane {
    /// Adds a user's work, and begins what may begin.
    fn push(self: &Arc<Self>, user: UserId, work: Requests, taken: Taken) {
        let surplus = self.queue.lock().push(user, (work, taken), Instant::now());
        self.reject(surplus);
        self.dispatch();
    }

    fn reject(&self, surplus: impl IntoIterator<Item = (Requests, Taken)>) {
        for (work, taken) in surplus {
            let (app, stream) = (self.app.clone(), self.stream.clone());
            self.lifecycle.track(async move { finish(&app, stream, reject(&app, &work), taken).await });
        }
    }

    fn dispatch(self: &Arc<Self>) {
        let expired = self.queue.lock().expire(Instant::now());
        self.reject(expired);
        loop {
            // Under the lock: nothing may be added between the look at the queue and the permit's return.
            let mut queue = self.queue.lock();
            let Ok(permit) = self.permits.clone().try_acquire_owned() else { return };
            let Some((user, (work, taken))) = queue.begin(Instant::now()) else {
                let looks_at = queue.looks_at(Instant::now());
                drop(queue);
                return self.look_again(looks_at);
            };
            drop(queue);
            let lane = self.clone();
            self.lifecycle.track(async move {
                let took = run(lane.app.clone(), lane.stream.clone(), work, taken, permit).await;
                lane.queue.lock().finish(user, took, Instant::now());
                lane.dispatch();
            });
        }
    }

    /// Dispatches again at this time.
    fn look_again(self: &Arc<Self>, at: Option<Instant>) {
        let mut looks_at = self.looks_at.lock();
        let Some(at) = at.filter(|at| looks_at.is_none_or(|known| *at < known)) else { return };
        *looks_at = Some(at);
        drop(looks_at);
        let lane = self.clone();
        self.lifecycle.spawn_until_stopped("rested", async move {
            tokio::time::sleep_until(at.into()).await;
            lane.looks_at.lock().take_if(|known| *known == at);
            lane.dispatch();
            Ok::<(), Infallible>(())
        });
    }
}

/// The kinds of session requests, in the order in which they are answered: receipts are recorded before missed events
/// are looked up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Receipts,
    Authenticate,
    Resume,
    Replay,
    Missing,
    Held,
    SignIns,
}

impl Kind {
    /// How many of them are answered together.
    fn most(self) -> usize {
        match self {
            Kind::Receipts | Kind::Authenticate | Kind::Held | Kind::SignIns => READ_COUNT as usize,
            Kind::Resume | Kind::Replay | Kind::Missing => SESSIONS_TOGETHER,
        }
    }
}

/// Requests that are answered together.
enum Requests {
    Query(Box<(Envelope, Query)>),
    Http(Box<(Envelope, HttpRequest)>),
    Session(Kind, Vec<Request>),
}

impl Requests {
    /// The user who is charged for it; `None` for session requests. Users who are not known yet count as one.
    fn user(&self) -> Option<UserId> {
        match self {
            Requests::Query(query) => Some(query.0.user),
            Requests::Http(request) => Some(request.0.user),
            Requests::Session(..) => None,
        }
    }

    fn trace(&self) -> Option<TraceContext> {
        match self {
            Requests::Query(query) => query.0.trace,
            Requests::Http(_) | Requests::Session(..) => None,
        }
    }
}

/// How many queries run at a time: few enough that pipelines and sessions still find a database connection.
fn concurrency(settings: &WorkerSettings) -> usize {
    let connections = settings.db_max_connections.saturating_sub(2 * settings.worker_pipelines) as usize;
    settings.query_concurrency.min(connections.saturating_sub(SESSION_CONCURRENCY)).max(1)
}

/// The answers to rejected work.
fn reject(app: &App, work: &Requests) -> Vec<Outcome> {
    let rejection = Rejection::unavailable("Too many queries are waiting", 2);
    app.metrics.rejections.with(rejection.code.as_str()).increment(1);
    match work {
        Requests::Query(query) => vec![commands::rejected(&query.0, &rejection)],
        Requests::Http(request) => vec![api::rejected(&request.0, &rejection)],
        Requests::Session(..) => Vec::new(),
    }
}

impl Queries {
    pub fn new(app: Arc<App>, lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        let reader = app.redis_options.blocking_client(MAX_BLOCK, lifecycle)?;
        let permits = Arc::new(Semaphore::new(concurrency(&app.settings)));
        let bounds = Bounds {
            waiting: MAX_WAITING,
            running_per_user: app.settings.query_concurrency_per_user,
            time_per_user: app.settings.query_time_per_user,
            own_wait: app.settings.common.backlog_max_age / 2,
        };
        let queue = Mutex::new(FairQueue::new(bounds));
        let stream = app.keys.queries();
        let lane = Arc::new(Lane {
            app: app.clone(),
            lifecycle: lifecycle.clone(),
            stream,
            queue,
            permits,
            looks_at: Mutex::default(),
        });
        let sessions = Arc::new(Semaphore::new(SESSION_CONCURRENCY));
        Ok(Queries { app, reader, lane, sessions, under_way: UnderWay::default() })
    }

    /// Runs until the drain, then waits for the work in progress.
    pub async fn run(self, lifecycle: Lifecycle) -> anyhow::Result<()> {
        let draining = lifecycle.draining();
        let stream = self.app.keys.queries();
        let ticks = lifecycle.every_until_stopped(CLAIM_INTERVAL);
        let keep = self.under_way.clone().keep(self.app.clone(), stream.clone(), GROUP, consumer(&self.app), ticks);
        lifecycle.spawn_until_stopped("queries-under-way", keep);
        let mut claimed_at = tokio::time::Instant::now();
        while !draining.is_cancelled() {
            let read = match self.read(&stream, &mut claimed_at).await {
                Ok(read) => read,
                Err(error) => {
                    self.recover(&stream, &error).await;
                    continue;
                }
            };
            for (work, ids) in self.sort(read, &lifecycle) {
                let taken = self.under_way.take(ids);
                if let Some(user) = work.user() {
                    self.lane.push(user, work, taken);
                    continue;
                }
                // No more at a time than allowed; other workers may take what has not been read.
                let Ok(permit) = self.sessions.clone().acquire_owned().await else { return Ok(()) };
                lifecycle.track(run(self.app.clone(), stream.clone(), work, taken, permit));
            }
        }
        let _sessions = self.sessions.acquire_many(SESSION_CONCURRENCY as u32).await;
        while self.lane.queue.lock().waiting() > 0 {
            // At the drain, budgets no longer delay anything.
            self.lane.queue.lock().forgive();
            self.lane.dispatch();
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        let _queries = self.lane.permits.acquire_many(concurrency(&self.app.settings) as u32).await;
        Ok(())
    }

    async fn read(&self, stream: &str, claimed_at: &mut tokio::time::Instant) -> Result<Vec<RawEntry>, Error> {
        let consumer = consumer(&self.app);
        if claimed_at.elapsed() > CLAIM_INTERVAL {
            *claimed_at = tokio::time::Instant::now();
            let deleted = lanes::delete_idle_consumers(&self.app.redis, stream, GROUP, &consumer, GONE_AFTER);
            if let Err(error) = deleted.await {
                tracing::debug!(%error, "readers that are gone could not be removed from the query lane");
            }
            let mut claimed =
                lanes::claim_abandoned(&self.app.redis, stream, GROUP, &consumer, ABANDONED_AFTER, READ_COUNT).await?;
            // After a pause of this process, its own entries also look abandoned.
            claimed.retain(|entry| !self.under_way.has(&entry.id));
            if !claimed.is_empty() {
                return Ok(claimed);
            }
        }
        lanes::read_shared(&self.reader, stream, GROUP, &consumer, READ_COUNT, MAX_BLOCK).await
    }

    async fn recover(&self, stream: &str, error: &Error) {
        if error.details().starts_with("NOGROUP") {
            // From the beginning, to include entries that are older than the group. Another worker may be first.
            let created: Result<(), Error> = keyed!(&self.app.redis, stream, |sender, stream| async move {
                sender.xgroup_create(stream, GROUP, "0", true).await
            })
            .await;
            if created.is_ok() {
                return;
            }
        } else {
            tracing::warn!(%error, "reading queries failed");
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }

    /// Groups requests of the same kind; returns each piece of work with its entries' ids.
    fn sort(&self, entries: Vec<RawEntry>, lifecycle: &Lifecycle) -> Vec<(Requests, Vec<String>)> {
        let stream = self.app.keys.queries();
        let mut sorted = Vec::new();
        let mut together: BTreeMap<Kind, (Vec<Request>, Vec<String>)> = BTreeMap::new();
        for raw in entries {
            match self.app.wire.open_entry(&stream, &raw.entry) {
                Ok((envelope, body @ (Body::Client(_) | Body::System(_) | Body::WithMetadata(_)))) => {
                    let command = body.into_command().map(|(command, _)| command);
                    let query = command.map(|command| Requests::Query(Box::new((envelope, Query::Command(command)))));
                    sorted.extend(query.map(|query| (query, vec![raw.id])));
                }
                Ok((envelope, Body::Sync(round))) => {
                    sorted.push((Requests::Query(Box::new((envelope, Query::Sync(round)))), vec![raw.id]));
                }
                Ok((envelope, Body::Internal(internal))) => {
                    let kind = match internal {
                        Internal::Http(request) => {
                            sorted.push((Requests::Http(Box::new((envelope, request))), vec![raw.id]));
                            continue;
                        }
                        Internal::RecordReceipts { .. } | Internal::RecordReceiptsIn { .. } => Kind::Receipts,
                        Internal::Authenticate { .. } => Kind::Authenticate,
                        Internal::Resume { .. } | Internal::ResumeAfter { .. } => Kind::Resume,
                        Internal::Replay { .. } => Kind::Replay,
                        Internal::Missing { .. } => Kind::Missing,
                        Internal::HeldConversation { .. }
                        | Internal::HeldConversations { .. }
                        | Internal::HeldMessage { .. } => Kind::Held,
                        Internal::RecordSignIn(_) => Kind::SignIns,
                    };
                    let (requests, ids) = together.entry(kind).or_default();
                    requests.push(Request { envelope, internal });
                    ids.push(raw.id);
                }
                Err(DecodeError::TooNew { deadline }) if Timestamp::now() <= deadline => {
                    self.app.metrics.too_new_entries.increment(1);
                    tracing::warn!(entry_id = raw.id, "a query of another version is left to another worker");
                    lifecycle.track(put_back(self.app.clone(), stream.clone(), raw));
                }
                Err(error) => {
                    self.app.count_unreadable(&error);
                    tracing::error!(entry_id = raw.id, %error, "an entry of the query lane cannot be read; dropped");
                    sorted.push((Requests::Session(Kind::Receipts, Vec::new()), vec![raw.id]));
                }
            }
        }
        for (kind, (mut requests, mut ids)) in together {
            while !requests.is_empty() {
                let rest = requests.split_off(requests.len().min(kind.most()));
                let rest_ids = ids.split_off(requests.len());
                sorted.push((Requests::Session(kind, requests), ids));
                (requests, ids) = (rest, rest_ids);
            }
        }
        sorted
    }
}

/// This worker's name among the readers of the lane.
fn consumer(app: &App) -> String {
    app.worker_id.0.simple().to_string()
}

/// Puts an entry of another version back, for a worker that knows it. It does not stay pending: that would take
/// seconds, after which any worker could claim it, including this one.
async fn put_back(app: Arc<App>, stream: String, raw: RawEntry) {
    tokio::time::sleep(PUT_BACK_AFTER).await;
    let fields = vec![(stream::FIELD, raw.entry)];
    let put_back = async {
        let () = keyed!(&app.redis, &stream, |sender, stream| {
            let fields = fields.clone();
            async move { sender.xadd(stream, false, None, "*", fields).await }
        })
        .await?;
        app.publisher.settle(&app.redis, &[], &BTreeMap::from([(stream, vec![raw.id])]), Some(GROUP)).await
    };
    if let Err(error) = put_back.await {
        // It is pending, and a worker will claim it.
        tracing::warn!(%error, "a query of another version could not be put back");
    }
}

/// Runs one piece of work, answers, and acknowledges its entries. Even a failure is answered. Returns what it cost.
async fn run(app: Arc<App>, stream: String, work: Requests, taken: Taken, permit: OwnedSemaphorePermit) -> Duration {
    let (started, started_at) = (Instant::now(), SystemTime::now());
    taken.begin();
    let trace = work.trace();
    let cost = async {
        let outcomes = match AssertUnwindSafe(carry_out(&app, work)).catch_unwind().await {
            Ok(outcomes) => outcomes,
            Err(_) => {
                tracing::error!("a query panicked; its sender gets an error at the command's deadline");
                Vec::new()
            }
        };
        let publications = outcomes.iter().flat_map(|outcome| &outcome.publications);
        let bytes: usize = publications.map(|publication| publication.payload.len()).sum();
        let cost = cost(started.elapsed(), bytes);
        finish(&app, stream, outcomes, taken).await;
        cost
    }
    .instrument(log_span(trace))
    .await;
    if let Some(trace) = trace {
        let attributes = vec![KeyValue::new("chat.worker_id", app.worker_id.to_string())];
        let (name, kind, context) = ("query", SpanKind::Consumer, trace.child());
        app.tracer.record(Span { name, kind, context, parent: Some(trace), started_at, attributes });
    }
    app.metrics.query_seconds.record(started.elapsed().as_secs_f64());
    drop(permit);
    cost
}

/// What a query is charged that took so long and whose answers have so many bytes.
fn cost(took: Duration, bytes: usize) -> Duration {
    took + Duration::from_secs_f64(bytes as f64 / f64::from(BYTES_PER_SECOND))
}

/// Answers, and acknowledges the entries.
async fn finish(app: &App, stream: String, mut outcomes: Vec<Outcome>, taken: Taken) {
    app.answer_channels.lead(&app.redis, &app.keys, &mut outcomes).await;
    let publications: Vec<_> = outcomes.into_iter().flat_map(|outcome| outcome.publications).collect();
    let mut messages = publish::messages(app, &publications, |_| None);
    let done = BTreeMap::from([(stream, taken.ids.clone())]);
    let settle = async {
        // The end of a multi-part answer says that everything has arrived: if the connection is lost in between, it
        // must not arrive alone.
        if publications.iter().any(|publication| matches!(publication.header, Header::AnswerPart { .. })) {
            let end = messages.split_off(messages.len() - 1);
            app.publisher.publish(&app.redis, &messages).await?;
            messages = end;
        }
        app.publisher.settle(&app.redis, &messages, &done, Some(GROUP)).await
    };
    if let Err(error) = settle.await {
        // The entries stay pending, and after a while a worker handles them again. Of a slow query nothing is left.
        tracing::warn!(%error, "answers of queries could not be sent");
    }
}

async fn carry_out(app: &App, work: Requests) -> Vec<Outcome> {
    match work {
        Requests::Query(query) => {
            let (envelope, query) = *query;
            vec![answer_query(app, &envelope, query).await]
        }
        Requests::Http(request) => {
            let (envelope, request) = *request;
            vec![api::answer(app, &envelope, request).await]
        }
        Requests::Session(kind, requests) => answer_sessions(app, kind, requests).await,
    }
}

async fn answer_sessions(app: &App, kind: Kind, requests: Vec<Request>) -> Vec<Outcome> {
    match kind {
        Kind::Authenticate => {
            let replies = with_retries(|| async {
                let mut db = app.db.acquire().await?;
                authenticate::authenticate(&mut db, &requests).await
            });
            or_unavailable(replies.await, &requests)
        }
        Kind::Resume => {
            let (received, requests) = apart(requests);
            if !received.is_empty() {
                record_receipts(app, &received).await;
            }
            let replies = with_retries(|| async {
                let mut db = app.db.acquire().await?;
                resume::resume(app, &mut db, &requests).await
            });
            or_unavailable(replies.await, &requests)
        }
        Kind::Replay => {
            let replies = with_retries(|| async {
                let mut db = app.db.acquire().await?;
                replay::replay(app, &mut db, &requests).await
            });
            or_unavailable(replies.await, &requests)
        }
        Kind::Missing => {
            let replies = with_retries(|| async {
                let mut db = app.db.acquire().await?;
                missing::missing(app, &mut db, &requests).await
            });
            or_unavailable(replies.await, &requests)
        }
        Kind::Held => {
            let replies = with_retries(|| async {
                let mut db = app.db.acquire().await?;
                held::look_up(&mut db, &requests).await
            });
            or_unavailable(replies.await, &requests)
        }
        Kind::Receipts => {
            record_receipts(app, &requests).await;
            Vec::new()
        }
        Kind::SignIns => {
            let recorded = with_retries(|| async {
                let mut db = app.db.acquire().await?;
                sign_ins::record(&mut db, &requests).await
            });
            if let Err(error) = recorded.await {
                tracing::warn!(%error, "sign-ins could not be recorded");
            }
            Vec::new()
        }
    }
}

async fn answer_query(app: &App, envelope: &Envelope, query: Query) -> Outcome {
    let result = if Timestamp::now() > envelope.deadline {
        Err(commands::expired().into())
    } else {
        with_retries(|| unpanicked(commands::query(app, envelope, query.clone()))).await
    };
    let rejection = match result {
        Ok(outcome) => {
            app.metrics.commands.with(&envelope.name).with("applied").increment(1);
            return outcome;
        }
        Err(Failure::Reject(rejection)) => rejection,
        Err(Failure::Retry(error)) => {
            tracing::warn!(%error, command = envelope.name, "a query failed and may be tried again");
            Rejection::unavailable("The database is temporarily unavailable", 2)
        }
        Err(error) => {
            let error_id = shared::telemetry::error_id();
            tracing::error!(
                error_id, command_id = %envelope.id, command = envelope.name, user_id = %envelope.user, %error,
                "a query failed"
            );
            Rejection::internal(error_id)
        }
    };
    app.metrics.commands.with(&envelope.name).with("rejected").increment(1);
    app.metrics.rejections.with(rejection.code.as_str()).increment(1);
    commands::rejected(envelope, &rejection)
}

async fn record_receipts(app: &App, requests: &[Request]) {
    let recorded = with_retries(|| async {
        let mut db = app.db.acquire().await?;
        receipts::record(&mut db, app.epoch.current(), requests).await
    });
    if let Err(error) = recorded.await {
        // A lost cursor only causes repetitions.
        tracing::warn!(%error, "receipts could not be recorded");
    }
}

/// Separates the sessions to resume from the receipts, which are recorded first.
fn apart(requests: Vec<Request>) -> (Vec<Request>, Vec<Request>) {
    let (mut received, mut sessions) = (Vec::new(), Vec::with_capacity(requests.len()));
    for Request { envelope, internal } in requests {
        let internal = match internal {
            Internal::ResumeAfter { resume, receipts } => {
                received.push(Request { envelope: envelope.clone(), internal: *receipts });
                *resume
            }
            internal => internal,
        };
        sessions.push(Request { envelope, internal });
    }
    (received, sessions)
}

/// The outcomes, or for each request an answer that it has to be tried again.
fn or_unavailable(result: Result<Vec<Outcome>, Failure>, requests: &[Request]) -> Vec<Outcome> {
    result.unwrap_or_else(|error| {
        tracing::warn!(%error, requests = requests.len(), "sessions could not be looked up");
        let unavailable = InternalReply::Unavailable { retry_after: 2 };
        requests.iter().map(|request| Outcome::reply(&request.envelope, &unavailable)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_costs_its_time_and_the_bytes_of_its_answers() {
        let took = Duration::from_millis(30);
        assert_eq!(cost(took, 0), took);
        assert_eq!(cost(took, 2 * BYTES_PER_SECOND as usize), took + Duration::from_secs(2));
    }
}
