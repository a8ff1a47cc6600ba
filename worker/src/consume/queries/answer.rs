//! Answers the work of the query lane, and acknowledges its entries.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt;
use shared::clock::Timestamp;
use shared::protocol::Rejection;
use shared::publication::Header;
use shared::stream::{Envelope, Internal, InternalReply};
use shared::telemetry::traces::{KeyValue, Span, SpanKind, log_span};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use super::MAX_SKEW;
use super::requests::{Kind, Requests};
use crate::api;
use crate::app::App;
use crate::commands::{self, Query};
use crate::consume::under_way::Taken;
use crate::error::{Failure, unpanicked, with_retries};
use crate::outcome::Outcome;
use crate::publish;
use crate::sessions::{Request, authenticate, held, missing, receipts, replay, resume, sign_ins};

/// The workers' consumer group on the lane's stream.
pub const GROUP: &str = "workers";
/// How many bytes of answers count as one second of database time: what they cost in Redis, the gateway and the
/// network.
const BYTES_PER_SECOND: u32 = 8 * 1024 * 1024;

/// Runs one piece of work, answers, and acknowledges its entries. Even a failure is answered. Returns what it cost.
pub async fn run(
    app: Arc<App>,
    stream: String,
    work: Requests,
    taken: Taken,
    permit: OwnedSemaphorePermit,
) -> Duration {
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

/// The answers to rejected work.
pub fn reject(app: &App, work: &Requests) -> Vec<Outcome> {
    let rejection = Rejection::unavailable("Too many queries are waiting", 2);
    app.metrics.rejections.with(rejection.code.as_str()).increment(1);
    match work {
        Requests::Query(query) => vec![commands::rejected(&query.0, &rejection)],
        Requests::Http(request) => vec![api::rejected(&request.0, &rejection)],
        Requests::Session(..) => Vec::new(),
    }
}

/// The time that a query is charged: what it took, and more for the bytes of its answers.
fn cost(took: Duration, bytes: usize) -> Duration {
    took + Duration::from_secs_f64(bytes as f64 / f64::from(BYTES_PER_SECOND))
}

/// Answers, and acknowledges the entries.
pub async fn finish(app: &App, stream: String, mut outcomes: Vec<Outcome>, taken: Taken) {
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
    let deadline = last_deadline(&requests);
    match kind {
        Kind::Authenticate => {
            let replies = with_retries(deadline, || async {
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
            let replies = with_retries(deadline, || async {
                let mut db = app.db.acquire().await?;
                resume::resume(app, &mut db, &requests).await
            });
            or_unavailable(replies.await, &requests)
        }
        Kind::Replay => {
            let replies = with_retries(deadline, || async {
                let mut db = app.db.acquire().await?;
                replay::replay(app, &mut db, &requests).await
            });
            or_unavailable(replies.await, &requests)
        }
        Kind::Missing => {
            let replies = with_retries(deadline, || async {
                let mut db = app.db.acquire().await?;
                missing::missing(app, &mut db, &requests).await
            });
            or_unavailable(replies.await, &requests)
        }
        Kind::Held => {
            let replies = with_retries(deadline, || async {
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
            let recorded = with_retries(deadline, || async {
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
        with_retries(envelope.deadline, || unpanicked(commands::query(app, envelope, query.clone()))).await
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
    let recorded = with_retries(last_deadline(requests), || async {
        let mut db = app.db.acquire().await?;
        receipts::record(&mut db, app.epoch.current(), requests).await
    });
    if let Err(error) = recorded.await {
        // A lost cursor only causes repetitions.
        tracing::warn!(%error, "receipts could not be recorded");
    }
}

/// From then on, nobody waits for any of them, by whatever clock.
fn last_deadline(requests: &[Request]) -> Timestamp {
    requests.iter().map(|request| request.envelope.deadline.plus(MAX_SKEW)).max().unwrap_or_default()
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
        assert_eq!(cost(took, 16 * 1024 * 1024), took + Duration::from_secs(2));
    }
}
