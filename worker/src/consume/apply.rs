//! Applies a batch of the ordered lane, in waves: all sends that can go together in one group commit, and the other
//! commands alongside, so that commands with the same route hint keep their order. A command that fails fails alone,
//! and one that is held up by a lock holds up only what comes after it in its conversation.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use shared::clock::Timestamp;
use shared::commands::{Command, Route, Subject};
use shared::events::message::MessageKind;
use shared::protocol::Rejection;
use shared::redis::dead_letters::DeadLetter;
use shared::redis::lanes::RawEntry;
use shared::stream::Envelope;
use shared::telemetry::traces::{KeyValue, Span, SpanKind, TraceContext, log_span};
use shared::telemetry::with_causes;
use shared::wire::DecodeError;
use tokio::sync::Notify;
use tracing::Instrument;

use super::item::{self, Item, Plan, Work};
use super::lease::Assigned;
use super::settle::Settlement;
use crate::app::App;
use crate::before_send;
use crate::commands::{self, Pending};
use crate::error::{Failure, may_spare_others, unpanicked};
use crate::outcome::Outcome;
use crate::sends::{self, Send};
use crate::store::kept_session::KeptSession;
use crate::store::leases::Lease;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// The type under which unreadable entries are counted.
const UNREADABLE: &str = "other";
/// How often a command is passed on to the partition where it belongs.
const MAX_HOPS: u8 = 2;

/// How long commands wait for a lock that another session holds: at the first attempt, and when one was held up by it.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
const LOCK_PATIENCE_ALONE: Duration = Duration::from_millis(50);
/// After this time the rest of a batch is left for the next one, so that a user with many commands in progress does not hold up others.
const BATCH_LASTS: Duration = Duration::from_millis(25);
/// When so many commands of a batch failed alone, the others are left for its next wave.
const MAX_FAILURES: usize = 8;

/// The part of a batch that was not finished.
#[derive(Default)]
pub struct Unfinished {
    /// Partitions whose streams still hold entries of the batch: if we own them again, they have to be read from the
    /// beginning.
    pub left: Vec<Lease>,
    /// Commands that are held up, and those behind them; the next batch begins with them.
    pub held_up: Vec<Item>,
}

pub struct Batch<'a> {
    app: &'a Arc<App>,
    session: &'a KeptSession,
    leases: &'a [Lease],
    /// Notified when the hook before send has decided about one of the commands.
    decided: &'a Arc<Notify>,
    items: Vec<Item>,
    settlement: Settlement,
    /// Partitions with entries that were left in the stream.
    left: Vec<Lease>,
    /// True if some entries were left for a worker that knows them.
    has_too_new: bool,
    started_at: Instant,
    size: usize,
    wave_started_at: SystemTime,
}

impl<'a> Batch<'a> {
    /// Reads the entries, which come after what an earlier batch left held up. One that cannot be read goes to the dead letters.
    pub fn new(
        app: &'a Arc<App>,
        session: &'a KeptSession,
        leases: &'a [Lease],
        decided: &'a Arc<Notify>,
        held_up: Vec<Item>,
        entries: Vec<RawEntry>,
    ) -> Self {
        let mut batch = Batch {
            app,
            session,
            leases,
            decided,
            items: held_up,
            settlement: Settlement::default(),
            left: Vec::new(),
            has_too_new: false,
            started_at: Instant::now(),
            size: entries.len(),
            wave_started_at: SystemTime::now(),
        };
        let mut waited_in_all = Duration::ZERO;
        for raw in entries {
            let lease = leases[raw.stream];
            if batch.left.contains(&lease) {
                // Nothing may overtake an entry that stays.
                continue;
            }
            let stream = app.keys.partition(lease.partition as u32);
            match decode(app, &stream, &raw) {
                Ok((envelope, command, is_systems)) => {
                    let waited = Timestamp::now().since(envelope.ingested_at);
                    app.metrics.wait_seconds.record(waited.as_secs_f64());
                    waited_in_all += waited;
                    batch.push(lease, stream, raw, (envelope, command, is_systems));
                }
                Err(error) => batch.unread(lease, stream, raw, &error),
            }
        }
        app.load.add(batch.size, waited_in_all);
        batch
    }

    /// An entry that this version cannot decode stays for one that can; any other goes to the dead letters.
    fn unread(&mut self, lease: Lease, stream: String, raw: RawEntry, error: &DecodeError) {
        let app = self.app;
        if let DecodeError::TooNew { deadline } = error
            && Timestamp::now() <= *deadline
        {
            app.metrics.too_new_entries.increment(1);
            tracing::warn!(entry_id = raw.id, partition = lease.partition, "a command of another version stays");
            self.left.push(lease);
            self.has_too_new = true;
            return app.withdrawal.begin();
        }
        app.count_unreadable(error);
        tracing::error!(entry_id = raw.id, %error, "an entry cannot be read and goes to the dead letters");
        app.metrics.commands.with(UNREADABLE).with("dead_letter").increment(1);
        self.settlement.dead_letters.push(DeadLetter {
            entry: raw.entry,
            lane: stream.clone(),
            subject: None,
            reason: error.to_string(),
            attempts: 1,
        });
        self.settlement.done(stream, raw.id);
    }

    fn push(&mut self, lease: Lease, stream: String, raw: RawEntry, decoded: Decoded) {
        let (envelope, command, is_systems) = decoded;
        let subject = match command.route(envelope.user) {
            Route::Ordered(subject) => subject,
            Route::Query => Subject::User(envelope.user),
        };
        let work = match commands::split(command) {
            Ok(command) => Work::Other(Box::new(Pending { envelope, command, refusal: None })),
            Err(batched) => {
                let send = Send::new(envelope, batched);
                let kind = if is_systems { MessageKind::System } else { send.kind };
                Work::Send(Box::new(Send { kind, ..send }))
            }
        };
        let mut item = Item::new(lease, stream, raw, subject, work);
        item.review = before_send::review(self.app, self.decided, || match &item.work {
            Work::Send(send) => before_send::Subject::send(send),
            Work::Other(other) => {
                let (message, content, metadata) = other.command.edit()?;
                before_send::Subject::edit(&other.envelope, message, content, metadata)
            }
        });
        self.items.push(item);
    }

    /// Works until every command is applied, answered, passed to another worker, or held up.
    pub async fn run(mut self, assigned: &Assigned) -> Unfinished {
        let mut pause = FIRST_PAUSE;
        loop {
            let present = assigned.peek();
            for item in self.items.extract_if(.., |item| !present.holds(item.lease)) {
                self.app.metrics.commands.with(&item.envelope().name).with("lease_lost").increment(1);
                self.left.push(item.lease);
            }
            let stored = Instant::now();
            self.wave_started_at = SystemTime::now();
            let progressed = self.wave().await;
            self.app.metrics.store_seconds.record(stored.elapsed().as_secs_f64());
            self.settle(assigned).await;
            if item::are_held_up(&self.items) {
                break;
            }
            if progressed {
                if self.started_at.elapsed() > BATCH_LASTS {
                    break;
                }
                pause = FIRST_PAUSE;
            } else {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
        if self.has_too_new {
            // They are read again immediately.
            tokio::time::sleep(FIRST_PAUSE).await;
        }
        if self.size > 0 {
            self.app.metrics.batch_size.record(self.size as f64);
            self.app.metrics.batch_seconds.record(self.started_at.elapsed().as_secs_f64());
        }
        Unfinished { left: self.left, held_up: self.items }
    }

    /// Publishes and deletes what is finished, unless Redis is away for longer than the leases last. If Redis was away,
    /// the streams have to be read again.
    async fn settle(&mut self, assigned: &Assigned) {
        let settlement = std::mem::take(&mut self.settlement);
        let keep_trying = || assigned.peek().valid_until > tokio::time::Instant::now();
        let trace = log_span(settlement.traced.first().map(|(_, trace)| *trace));
        if !settlement.settle(self.app, keep_trying).instrument(trace).await {
            self.left.extend(self.leases);
        }
    }

    /// Applies what can be applied now and keeps the rest in order. Returns true if anything was finished.
    async fn wave(&mut self) -> bool {
        let app = self.app;
        if let Some(hook) = &app.before_send {
            self.items.iter_mut().for_each(|item| item.hear(hook));
        }
        item::refuse_surplus(&mut self.items, &app.audiences);
        let Plan { sends, others, alone, rest } = Plan::of(std::mem::take(&mut self.items));
        let mut remaining = Vec::new();
        let mut progressed = false;
        // Log lines about all of them together name the first trace.
        let trace = log_span(sends.iter().find_map(|item| item.envelope().trace));
        for (item, result) in self.apply_sends(sends).instrument(trace).await {
            match result {
                Some(result) => progressed |= self.finish(item, result, &mut remaining),
                None => remaining.push(item),
            }
        }
        // A lock that blocks one command may block many.
        let mut patience = LOCK_PATIENCE;
        for item in others {
            if progressed && self.started_at.elapsed() > BATCH_LASTS {
                remaining.push(item);
                continue;
            }
            let result = self.apply_other(&item, patience).await;
            if matches!(&result, Err(Failure::Retry(error)) if may_spare_others(error)) {
                patience = LOCK_PATIENCE_ALONE;
            }
            progressed |= self.finish(item, result, &mut remaining);
        }
        for item in alone {
            let result = self.apply_alone(&item).await;
            progressed |= self.finish(item, result, &mut remaining);
        }
        // Failed commands were in front of those that wait behind them.
        remaining.extend(rest);
        self.items = remaining;
        progressed
    }

    /// Stores the sends together; returns a result for each that was tried.
    async fn apply_sends(&self, items: Vec<Item>) -> Vec<(Item, Option<Result<Outcome, Failure>>)> {
        if items.is_empty() {
            return Vec::new();
        }
        let results = match self.group_commit(&items, LOCK_PATIENCE).await {
            Ok(results) => results.into_iter().map(Some).collect(),
            Err(error) if items.len() == 1 => vec![Some(Err(error))],
            Err(Failure::Fatal(_)) => self.apply_one_by_one(&items).await,
            Err(Failure::Retry(error)) if may_spare_others(&error) => self.apply_one_by_one(&items).await,
            Err(error) => {
                tracing::warn!(%error, commands = items.len(), "a batch could not be stored, trying again");
                items.iter().map(|_| Some(Err(Failure::Retry(anyhow::anyhow!("the batch failed"))))).collect()
            }
        };
        items.into_iter().zip(results).collect()
    }

    /// One of the sends is at fault or held up: tries each alone to find out which. A send behind one that has to be
    /// retried waits for it if both have the same route hint, or it would be overtaken.
    async fn apply_one_by_one(&self, items: &[Item]) -> Vec<Option<Result<Outcome, Failure>>> {
        let mut results = Vec::with_capacity(items.len());
        let mut waiting: HashSet<u16> = HashSet::new();
        let mut failures = 0;
        for item in items {
            let hint = item.subject.route_hint();
            if waiting.contains(&hint) || failures == MAX_FAILURES {
                results.push(None);
                continue;
            }
            let result = self.apply_alone(item).await;
            if matches!(result, Err(Failure::Retry(_) | Failure::Fatal(_))) {
                waiting.insert(hint);
                failures += 1;
            }
            results.push(Some(result));
        }
        results
    }

    async fn apply_alone(&self, item: &Item) -> Result<Outcome, Failure> {
        if matches!(item.work, Work::Other(_)) {
            return self.apply_other(item, LOCK_PATIENCE_ALONE).await;
        }
        let alone = self.group_commit(std::slice::from_ref(item), LOCK_PATIENCE_ALONE).await;
        alone.and_then(|mut one| one.pop().unwrap_or(Err(Failure::LeaseLost)))
    }

    /// Stores the items' messages in one transaction.
    async fn group_commit(
        &self,
        items: &[Item],
        lock_patience: Duration,
    ) -> Result<Vec<Result<Outcome, Failure>>, Failure> {
        let mut leases: Vec<Lease> = Vec::new();
        let mut sends = Vec::with_capacity(items.len());
        for item in items {
            if !leases.contains(&item.lease) {
                leases.push(item.lease);
            }
            if let Work::Send(send) = &item.work {
                sends.push(&**send);
            }
        }
        let stored = async {
            let mut db = self.session.take().await?;
            let results = sends::apply(self.app, &mut db, &leases, &sends, lock_patience).await?;
            self.session.keep(db);
            Ok(results)
        };
        unpanicked(stored).await
    }

    async fn apply_other(&self, item: &Item, lock_patience: Duration) -> Result<Outcome, Failure> {
        let Work::Other(other) = &item.work else { return Err(Failure::LeaseLost) };
        let applied = unpanicked(commands::apply_once(self.app, item.lease, other, lock_patience));
        applied.instrument(log_span(other.envelope.trace)).await
    }

    /// Turns a result into something to settle, or keeps the item for another attempt. Returns true if the item is
    /// finished.
    fn finish(&mut self, mut item: Item, result: Result<Outcome, Failure>, remaining: &mut Vec<Item>) -> bool {
        let _trace = item.envelope().trace.map(|trace| trace.log_span().entered());
        let metrics = &self.app.metrics;
        let outcomes = metrics.commands.with(&item.envelope().name);
        let age = Timestamp::now().since(item.envelope().ingested_at);
        let is_error = result.is_err();
        match result {
            Ok(outcome) => {
                outcomes.with("applied").increment(1);
                if matches!(item.work, Work::Send(_)) {
                    metrics.messages.increment(1);
                }
                let first = self.settlement.publications.len();
                self.settlement.publications.extend(outcome.publications);
                if let Some(trace) = item.envelope().trace {
                    let applied = self.applied(&item, trace);
                    self.settlement.traced.push((first..self.settlement.publications.len(), applied));
                }
            }
            Err(Failure::Reject(rejection)) => {
                outcomes.with("rejected").increment(1);
                self.reject(&item, &rejection);
            }
            Err(Failure::LeaseLost) => {
                outcomes.with("lease_lost").increment(1);
                self.left.push(item.lease);
                return true;
            }
            Err(Failure::Elsewhere(conversation)) => return self.pass_on(item, conversation),
            Err(Failure::Retry(error)) => {
                outcomes.with("retried").increment(1);
                tracing::warn!(error = %with_causes(&error), command_id = %item.envelope().id, "a command will be tried again");
                if item.is_held_up() || may_spare_others(&error) {
                    item.hold_up();
                }
                remaining.push(item);
                return false;
            }
            Err(Failure::Fatal(error)) => {
                item.tries += 1;
                if item.tries < self.app.settings.dlq_attempts {
                    outcomes.with("retried").increment(1);
                    remaining.push(item);
                    return false;
                }
                outcomes.with("dead_letter").increment(1);
                self.give_up(&item, &error);
            }
        }
        metrics.command_seconds.record(age.as_secs_f64());
        self.app.counts.add_command(age, is_error);
        self.settlement.done(item.stream, item.raw.id);
        true
    }

    fn give_up(&mut self, item: &Item, error: &anyhow::Error) {
        let error_id = shared::telemetry::error_id();
        let envelope = item.envelope();
        tracing::error!(
            error_id, command_id = %envelope.id, command = envelope.name, user_id = %envelope.user,
            gateway_id = %envelope.reply_to.gateway, error = %with_causes(error), "a command failed for good"
        );
        self.settlement.dead_letters.push(DeadLetter {
            entry: item.raw.entry.clone(),
            lane: item.stream.clone(),
            subject: Some(item.subject.to_string()),
            reason: format!("{error:#}"),
            attempts: item.tries,
        });
        self.reject(item, &Rejection::internal(error_id));
    }

    /// Records in a command's trace that it is stored. Returns the span that its publications belong to.
    fn applied(&self, item: &Item, command: TraceContext) -> TraceContext {
        let context = command.child();
        self.app.tracer.record(Span {
            name: "apply",
            kind: SpanKind::Consumer,
            context,
            parent: Some(command),
            started_at: SystemTime::now() - self.started_at.elapsed(),
            attributes: vec![
                KeyValue::new("chat.command_id", item.envelope().id.to_string()),
                KeyValue::new("chat.worker_id", self.app.worker_id.to_string()),
                KeyValue::new("chat.partition", i64::from(item.lease.partition)),
                KeyValue::new("chat.entry_id", item.raw.id.clone()),
                KeyValue::new("chat.batch_size", self.size as i64),
            ],
        });
        self.app.tracer.record(Span {
            name: "store",
            kind: SpanKind::Internal,
            context: context.child(),
            parent: Some(context),
            started_at: self.wave_started_at,
            attributes: Vec::new(),
        });
        context
    }

    fn reject(&mut self, item: &Item, rejection: &Rejection) {
        self.app.metrics.rejections.with(rejection.code.as_str()).increment(1);
        self.settlement.publications.extend(commands::rejected(item.envelope(), rejection).publications);
    }

    /// The message that the command names belongs to another partition, because its id was not made by this server.
    fn pass_on(&mut self, item: Item, conversation: shared::ids::ConversationId) -> bool {
        let envelope = item.envelope();
        if envelope.hops >= MAX_HOPS {
            self.reject(&item, &Rejection::not_found("messageId", "There is no such message"));
        } else if let Ok((_, body)) = self.app.wire.open_entry(&item.stream, &item.raw.entry) {
            let partition = u32::from(conversation.route_hint()) % u32::from(self.app.settings.common.partitions);
            let moved = Envelope { hops: envelope.hops + 1, ..envelope.clone() };
            let stream = self.app.keys.partition(partition);
            let entry = self.app.wire.entry(&stream, &moved, &body);
            self.settlement.passed_on.push((stream, entry));
            self.app.metrics.commands.with(&moved.name).with("passed_on").increment(1);
        }
        self.settlement.done(item.stream, item.raw.id);
        true
    }
}

/// The flag is true for a system message.
type Decoded = (Envelope, Command, bool);

fn decode(app: &App, stream: &str, raw: &RawEntry) -> Result<Decoded, DecodeError> {
    let (envelope, body) = app.wire.open_entry(stream, &raw.entry)?;
    match body.into_command() {
        Some((command, is_systems)) if !is_systems || command.is_message() => Ok((envelope, command, is_systems)),
        // Neither a gateway's request nor a `sync` belongs in the ordered lane.
        _ => Err(DecodeError::Malformed),
    }
}
