//! Asking the product's own backend before a message is stored (`BEFORE_SEND_URL`): it may allow it, reject it, or change it.
//!
//! entry → [`question`] → [`hook`] → [`answer`] → [`Decision`], which `consume` applies before the message joins a batch
//!
//! This module asks about one message, within bounds on time, concurrency and bytes. `consume` decides what waits in the meantime.

mod answer;
pub mod hook;
mod question;

use std::sync::Arc;
use std::time::Instant;

use fred::prelude::*;
use shared::redis::redirect::keyed;
use shared::telemetry::with_causes;
use tokio::sync::Notify;
use tokio::sync::oneshot::{self, error::TryRecvError};

pub use answer::Decision;
pub use hook::BeforeSend;
pub use question::Subject;

use crate::app::App;

/// How long `chatctl doctor` reports a hook that did not answer.
const TOLD_SECONDS: i64 = 60;

/// A question that is not answered yet.
pub struct Review(oneshot::Receiver<Decision>);

impl Review {
    /// Returns the decision, once there is one.
    pub fn poll(&mut self, hook: &BeforeSend) -> Option<Decision> {
        match self.0.try_recv() {
            Ok(decision) => Some(decision),
            Err(TryRecvError::Empty) => None,
            // The task ended without one, which is a defect of ours.
            Err(TryRecvError::Closed) => Some(hook.without_answer()),
        }
    }
}

/// Starts to ask about a message; `decided` is notified when there is a decision. Returns `None` if no hook is set.
pub fn review(app: &Arc<App>, decided: &Arc<Notify>, subject: impl FnOnce() -> Option<Subject>) -> Option<Review> {
    app.before_send.as_ref()?;
    let subject = subject()?;
    let (tell, told) = oneshot::channel();
    let (app, decided) = (app.clone(), decided.clone());
    tokio::spawn(async move {
        if let Some(hook) = &app.before_send {
            // Nobody listens any more if the partition has moved: its new owner asks again.
            let _ = tell.send(decide(&app, hook, subject).await);
            decided.notify_one();
        }
    });
    Some(Review(told))
}

async fn decide(app: &App, hook: &BeforeSend, subject: Subject) -> Decision {
    let unanswered = |outcome| {
        app.metrics.before_send.with(outcome).increment(1);
        hook.without_answer()
    };
    if !hook.breaker.may_ask() {
        return unanswered("skipped");
    }
    let began = Instant::now();
    let deadline = tokio::time::Instant::now() + hook.timeout;
    let question = match tokio::time::timeout_at(deadline, subject.question(app)).await {
        Ok(Ok(Some(question))) => question,
        Ok(Ok(None)) => return Decision::Allow,
        Ok(Err(error)) => {
            tracing::warn!(%error, "a message could not be read to ask about its edit");
            return unanswered("failed");
        }
        Err(_) => return unanswered("failed"),
    };
    let Ok(Ok(_permit)) = tokio::time::timeout_at(deadline, hook.permits.acquire()).await else {
        // The hook may be healthy and only overloaded.
        return unanswered("busy");
    };
    let within = deadline.saturating_duration_since(tokio::time::Instant::now());
    let answered = hook.ask(&app.settings, within, question.id(), &question).await;
    app.metrics.before_send_seconds.record(began.elapsed().as_secs_f64());
    match answered {
        Ok(decision) => {
            if hook.breaker.succeeded() {
                tracing::info!("the hook before send answers again");
                note(app, None).await;
            }
            app.metrics.before_send.with(decision.name()).increment(1);
            decision
        }
        Err(error) => {
            if hook.breaker.failed() {
                let error = with_causes(&error).to_string();
                tracing::warn!(error, "the hook before send does not answer; it is not asked for some seconds");
                note(app, Some(error)).await;
            }
            unanswered("failed")
        }
    }
}

/// Records in Redis, for `chatctl doctor`, whether the hook answers.
async fn note(app: &App, error: Option<String>) {
    let key = app.keys.before_send_down();
    let noted: Result<(), Error> = match error {
        None => keyed!(&app.redis, key, |sender, key| async move { sender.del(key).await }).await,
        Some(error) => {
            keyed!(&app.redis, key, |sender, key| {
                let error = error.clone();
                async move { sender.set(key, error, Some(Expiration::EX(TOLD_SECONDS)), None, false).await }
            })
            .await
        }
    };
    if let Err(error) = noted {
        tracing::debug!(%error, "the state of the hook before send could not be noted");
    }
}
