//! Appends admitted commands to their streams: one task that takes what is waiting in batches, strictly one batch after
//! the other, so that what one connection sends stays in order. At low load a batch is one command and nothing waits.

use std::sync::Arc;

use fred::prelude::Client;
use shared::redis::admit::{Admission, Append, Rate};
use shared::telemetry::traces::log_span;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::core::Core;
use crate::lanes::admit::{Admitted, Origin, Traced, not_appended, over_rate_limit};
use crate::lanes::ask::Requests;

const BATCH: usize = 256;

/// Appends until the process stops.
pub async fn run(core: Arc<Core>, requests: Arc<Requests>, client: Client, mut queue: mpsc::Receiver<Admitted>) {
    let stopped = core.lifecycle.stopped();
    let mut taken: Vec<Admitted> = Vec::with_capacity(BATCH);
    let mut appends: Vec<Append> = Vec::with_capacity(BATCH);
    let mut origins: Vec<(Origin, Uuid, Option<Box<Traced>>)> = Vec::with_capacity(BATCH);
    loop {
        let count = tokio::select! {
            count = queue.recv_many(&mut taken, BATCH) => count,
            () = stopped.cancelled() => return,
        };
        if count == 0 {
            return;
        }
        core.metrics.append_queue.set(queue.len() as f64);
        for admitted in taken.drain(..) {
            let (append, origin, command, traced) = admitted.into_parts();
            appends.push(append);
            origins.push((origin, command, traced));
        }
        let started = tokio::time::Instant::now();
        let admissions = core.admit.run(&client, &appends).await;
        core.metrics.append_seconds.record(started.elapsed());
        core.metrics.append_batch_size.record(appends.len() as f64);
        let (mut errors, mut failed_trace) = (Vec::new(), None);
        let sent = appends.drain(..).zip(origins.drain(..));
        for ((append, (origin, command, traced)), admission) in sent.zip(admissions) {
            if let Some(traced) = traced {
                failed_trace = failed_trace.or(admission.is_err().then_some(traced.context()));
                traced.appended(&core, command, matches!(admission, Ok(Admission::Appended)));
            }
            match admission {
                Ok(Admission::Appended) => {}
                Ok(Admission::RateLimited { retry_after }) => {
                    rate_limited(&core, &origin, command, append.rate, retry_after)
                }
                Err(error) => {
                    fail(&core, &requests, &origin, command);
                    errors.push(error);
                }
            }
        }
        if let Some(error) = errors.first() {
            let commands = errors.len();
            log_span(failed_trace).in_scope(|| tracing::warn!(%error, commands, "commands could not be appended"));
        }
    }
}

fn rate_limited(core: &Core, origin: &Origin, command: Uuid, rate: Option<Rate>, retry_after: u32) {
    if let Some(Rate { key, limit }) = rate {
        core.spent.note(key, limit, retry_after, core.clock.now_ms());
    }
    let rejection = over_rate_limit(core, retry_after);
    if let Origin::Client(connection) = origin {
        core.reject(connection, command, &rejection);
    }
}

fn fail(core: &Core, requests: &Requests, origin: &Origin, command: Uuid) {
    match origin {
        Origin::Client(connection) => core.reject(connection, command, &not_appended()),
        Origin::Internal => requests.fail(command),
    }
}
