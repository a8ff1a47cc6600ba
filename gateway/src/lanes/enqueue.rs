//! Appends admitted commands to their streams: one task, in batches of what is waiting, strictly one batch after the other, so
//! that what one connection sends stays in order. At low load a batch is one command and nothing waits.

use std::sync::Arc;

use fred::prelude::Client;
use shared::protocol::{ErrorCode, Rejection};
use shared::redis::admit::{Admission, Append};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::gateway::Gateway;
use crate::lanes::admit::{Admitted, Origin, command_rate_limit, not_appended};
use crate::metrics::Totals;

const BATCH: usize = 256;
const QUEUE: usize = 16_384;

/// Where admitted commands go.
#[derive(Clone)]
pub struct Enqueue {
    sender: mpsc::Sender<Admitted>,
}

/// Too many commands are waiting for Redis.
#[derive(Debug)]
pub struct Full;

impl Enqueue {
    pub fn new() -> (Self, mpsc::Receiver<Admitted>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Enqueue { sender }, receiver)
    }

    /// Hands a command over; what becomes of it is told to its origin.
    pub fn submit(&self, admitted: Admitted) -> Result<(), Full> {
        self.sender.try_send(admitted).map_err(|_| Full)
    }
}

/// Appends until the process stops.
pub async fn run(gateway: Arc<Gateway>, client: Client, mut queue: mpsc::Receiver<Admitted>) {
    let stopped = gateway.lifecycle.stopped();
    let mut taken: Vec<Admitted> = Vec::with_capacity(BATCH);
    let mut appends: Vec<Append> = Vec::with_capacity(BATCH);
    let mut origins: Vec<(Origin, Uuid)> = Vec::with_capacity(BATCH);
    loop {
        let count = tokio::select! {
            count = queue.recv_many(&mut taken, BATCH) => count,
            () = stopped.cancelled() => return,
        };
        if count == 0 {
            return;
        }
        gateway.metrics.append_queue.set(queue.len() as f64);
        for admitted in taken.drain(..) {
            let (append, origin, command) = admitted.into_parts();
            appends.push(append);
            origins.push((origin, command));
        }
        let started = tokio::time::Instant::now();
        let admissions = gateway.admit.run(&client, &appends).await;
        gateway.metrics.append_seconds.record(started.elapsed());
        gateway.metrics.append_batch_size.record(appends.len() as f64);
        appends.clear();
        let mut errors = Vec::new();
        for ((origin, command), admission) in origins.drain(..).zip(admissions) {
            match admission {
                Ok(Admission::Appended) => {}
                Ok(Admission::RateLimited { retry_after }) => rate_limited(&gateway, &origin, command, retry_after),
                Err(error) => {
                    fail(&gateway, &origin, command);
                    errors.push(error);
                }
            }
        }
        if let Some(error) = errors.first() {
            tracing::warn!(%error, commands = errors.len(), "commands could not be appended");
        }
    }
}

fn rate_limited(gateway: &Gateway, origin: &Origin, command: Uuid, retry_after: u32) {
    Totals::add(&gateway.totals.rate_limited, 1);
    gateway.metrics.rate_limited.with("messages").increment(1);
    if let Origin::Client(connection) = origin {
        let (messages, others) = (gateway.settings.message_rate_limit, command_rate_limit(&gateway.settings));
        let details = format!("at most {messages} messages and {others} other commands per minute");
        let rejection =
            Rejection { retry_after: Some(retry_after), ..Rejection::new(ErrorCode::RateLimitExceeded, details) };
        gateway.refuse(connection, command, &rejection);
    }
}

fn fail(gateway: &Gateway, origin: &Origin, command: Uuid) {
    match origin {
        Origin::Client(connection) => gateway.refuse(connection, command, &not_appended()),
        Origin::Internal => gateway.requests.fail(command),
    }
}
