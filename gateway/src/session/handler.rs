//! What a connection's messages do. An unauthenticated connection has another type than an authenticated one. Answers
//! go into the outbox; slow work becomes the session's job, one at a time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use shared::clock::Timestamp;
use shared::commands::Command;
use shared::events::answer;
use shared::events::session::{Pong, TestResponse};
use shared::ids::{ConversationId, UserId};
use shared::limits::MAX_UNAUTHENTICATED_MESSAGES;
use shared::protocol::{CloseCode, ErrorCode, Rejection, RequestId};
use tokio::time::Instant;
use uuid::Uuid;
use websocket::PreparedText;

use crate::lanes::admit::{Admitted, not_appended};
use crate::lanes::held_ids::KnownIds;

use crate::connection::{Close, Connection, InFlight, Rest};
use crate::gateway::Gateway;
use crate::limits::places::Place;
use crate::session::authenticate::{Attempt, Looked, Verification, count_failure};
use crate::session::decode::{Rejected, Request, decode, decode_known};
use crate::session::lookup::Lookup;
use crate::session::opening;
use crate::session::opening::{Membership, Opened, SessionError};
use crate::session::sign_in::{SignedIn, Source};
use crate::session::waiting::{Next, Waiting, cost};

/// Failed authentications before the connection is closed.
const MAX_FAILURES: u8 = 5;
/// How long after a command's deadline its sender is told that there will be no answer.
const ANSWER_GRACE_MS: u64 = 1_000;
/// Messages with ids that stand for nothing, which a connection may have looked up.
const MAX_UNKNOWN_IDS: u8 = 16;
/// Signs of typing that a connection may give in a second.
const MAX_TYPING_PER_SECOND: u8 = 5;

pub struct Handler {
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    source: Box<Source>,
    state: State,
    job: Option<Job>,
    failures: u8,
    /// Messages before authentication.
    early_messages: u8,
    waiting: Waiting,
    lookup: Option<Box<Lookup>>,
    unknown_ids: u8,
    /// The second of the last sign of typing, and how many there were in it.
    typing: (u64, u8),
}

enum State {
    /// Includes its place among the pending connections.
    Unauthenticated(#[expect(dead_code, reason = "given back when dropped")] Place),
    Authenticated(Box<Authenticated>),
    Ended,
}

struct Authenticated {
    membership: Membership,
    attempt: Attempt,
    /// Waits until the running job is done.
    renewal: Option<Attempt>,
    signed_in: Option<SignedIn>,
}

type Job = Pin<Box<dyn Future<Output = JobResult> + Send>>;

enum JobResult {
    /// A token whose key had to be requested.
    Looked(Box<Looked>),
    Opened(Box<(Attempt, Result<Opened, SessionError>)>),
    Renewed(Box<(Attempt, Result<Vec<u8>, SessionError>)>),
    Replayed(Result<(), SessionError>),
}

impl Handler {
    pub fn new(gateway: Arc<Gateway>, connection: Arc<Connection>, source: Box<Source>, pending: Place) -> Self {
        let state = State::Unauthenticated(pending);
        Handler {
            gateway,
            connection,
            source,
            state,
            job: None,
            failures: 0,
            early_messages: 0,
            waiting: Waiting::default(),
            lookup: None,
            unknown_ids: 0,
            typing: (0, 0),
        }
    }

    pub fn is_authenticated(&self) -> bool {
        matches!(self.state, State::Authenticated(_))
    }

    /// Counts a message; false if it is one too many before authentication.
    fn may_send(&mut self) -> bool {
        if self.is_authenticated() {
            return true;
        }
        self.early_messages = self.early_messages.saturating_add(1);
        let may_send = self.early_messages <= MAX_UNAUTHENTICATED_MESSAGES;
        if !may_send {
            self.connection.close(Close::new(CloseCode::Policy, "Too many messages before authentication"));
        }
        may_send
    }

    fn caller(&self) -> Option<UserId> {
        match &self.state {
            State::Authenticated(session) => Some(session.membership.user),
            State::Unauthenticated(_) | State::Ended => None,
        }
    }

    pub fn on_text(&mut self, text: &str) {
        if !self.may_send() {
            return;
        }
        let Some(lookup) = &mut self.lookup else { return self.take(text, Vec::new()) };
        if !lookup.keep(text) {
            let unavailable = Rejection::unavailable("Too many commands of this connection are waiting", 1);
            let decoded = decode(text, self.connection.dialect, self.caller(), &self.gateway.limits);
            let request_id = decoded.map_or_else(|rejected| rejected.request_id, |decoded| decoded.request_id);
            self.error(&unavailable, None, request_id.as_ref());
        }
    }

    /// Does what a message asks for; `known` are ids in it that were looked up.
    fn take(&mut self, text: &str, known: Vec<KnownIds>) {
        let caller = self.caller();
        let decoded = match decode_known(text, &known, self.connection.dialect, caller, &self.gateway.limits) {
            Ok(decoded) => decoded,
            Err(mut rejected) => match (rejected.held.take(), caller) {
                (Some(held), Some(caller)) if self.unknown_ids < MAX_UNKNOWN_IDS => {
                    let lookup = Lookup::begin(&self.gateway, caller, held, text, known, rejected);
                    self.lookup = Some(Box::new(lookup));
                    return;
                }
                _ => return self.reject(&rejected),
            },
        };
        let request_id = decoded.request_id;
        let count = |name| self.gateway.metrics.commands.with(name).increment(1);
        match decoded.request {
            Request::Ping => {
                count("ping");
                let pong = Pong { timestamp: Timestamp::now().0 };
                self.connection.push_json(&answer(&pong, request_id.as_ref()));
            }
            Request::Test => {
                count("test");
                let response = TestResponse { message: "The connection works", timestamp: Timestamp::now().0 };
                self.connection.push_json(&answer(&response, request_id.as_ref()));
            }
            Request::Authenticate { token, wants } => {
                count("authenticate");
                match Attempt::verify(&self.gateway, token, wants, request_id.clone()) {
                    Verification::Done(attempt) => self.begin(attempt),
                    Verification::Refused(auth_error) => self.failed(&auth_error),
                    Verification::Waits(looking) if self.job.is_none() => {
                        self.job = Some(Box::pin(async { JobResult::Looked(Box::new(looking.await)) }));
                    }
                    Verification::Waits(_) => self.error(&under_way(), Some("authenticate"), request_id.as_ref()),
                }
            }
            Request::Ack { conversations, events } => {
                count("ack");
                self.acknowledge(conversations, events);
            }
            Request::Command(command) => {
                count(command.name());
                if let Some(user) = caller {
                    if let Some(confirmation) = decoded.confirmation {
                        self.connection.push(PreparedText::new(&confirmation).frame(self.connection.deflate));
                    }
                    self.take_in(user, command, request_id);
                }
            }
        }
    }

    pub fn on_binary(&mut self) {
        if !self.may_send() {
            return;
        }
        let rejection = Rejection::new(ErrorCode::ValidationError, "Messages must be text, not binary");
        self.error(&rejection, None, None);
    }

    fn reject(&self, rejected: &Rejected) {
        self.error(&rejected.rejection, rejected.request_type.as_deref(), rejected.request_id.as_ref());
    }

    /// Drives the lookup; true if it ended.
    fn poll_lookup(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(lookup) = &mut self.lookup else { return false };
        let Poll::Ready(found) = lookup.poll(cx) else { return false };
        let Some(mut lookup) = self.lookup.take() else { return false };
        match found {
            Ok(Some(ids)) => {
                lookup.known.push(ids);
                self.take(&lookup.text, lookup.known);
            }
            Ok(None) => {
                self.unknown_ids += 1;
                self.reject(&lookup.rejected);
            }
            Err(rejection) => self.reject(&Rejected { rejection, ..*lookup.rejected }),
        }
        lookup.later.iter().for_each(|text| self.on_text(text));
        true
    }

    fn error(&self, rejection: &Rejection, request_type: Option<&str>, request_id: Option<&RequestId>) {
        self.gateway.push_error(&self.connection, rejection, request_type, request_id);
    }

    /// Passes a command on, or keeps it until there is room for it.
    fn take_in(&mut self, user: UserId, command: Command, request_id: Option<RequestId>) {
        if matches!(command, Command::Typing(_)) && !self.may_type() {
            // The client does not wait for an answer, and a typing state expires by itself.
            return;
        }
        let next = self.waiting.take_in(&self.gateway, &self.connection, user, (command, request_id));
        self.go_on(user, next);
    }

    /// False if there is nothing to do for now.
    fn go_on(&mut self, user: UserId, next: Next) -> bool {
        match next {
            Next::Pass((command, request_id)) => self.command(user, command, request_id),
            Next::Refuse((command, request_id), rejection) => {
                self.error(&rejection, Some(command.name()), request_id.as_ref());
            }
            Next::Wait => return false,
        }
        true
    }

    /// Counts a typing sign; more per second than a person produces are dropped.
    fn may_type(&mut self) -> bool {
        let second = self.gateway.clock.now_ms() / 1000;
        let (last, count) = &mut self.typing;
        if *last != second {
            (*last, *count) = (second, 0);
        }
        *count = count.saturating_add(1);
        *count <= MAX_TYPING_PER_SECOND
    }

    /// True if commands wait for room, or for a conversation to be looked up; nothing more is read meanwhile.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.lookup.is_some()
    }

    /// Passes on the waiting commands that there is room for now, and whose turn has come.
    pub fn pass_waiting_on(&mut self, cx: &mut Context<'_>) {
        let State::Authenticated(session) = &self.state else {
            self.waiting.clear();
            return;
        };
        let user = session.membership.user;
        loop {
            let next = self.waiting.poll_next(&self.gateway, &self.connection, user, cx);
            if !self.go_on(user, next) {
                return;
            }
        }
    }

    fn command(&mut self, user: UserId, command: Command, request_id: Option<RequestId>) {
        let gateway = &self.gateway;
        let (name, has_answer, cost) = (command.name(), command.has_answer(), cost(&command, user));
        let admitted =
            match Admitted::client(gateway, &gateway.lanes, &self.connection, user, command, request_id.clone()) {
                Ok(admitted) => admitted,
                Err(rejection) => return self.error(&rejection, Some(name), request_id.as_ref()),
            };
        let id = admitted.command();
        let timeout_ms = gateway.settings.common.command_timeout.as_millis() as u64;
        // Before it is handed over, because the answer may be quick.
        self.connection.expect_answer(InFlight {
            command: id,
            name,
            request_id,
            deadline_ms: gateway.clock.now_ms() + timeout_ms + ANSWER_GRACE_MS,
            started: Instant::now(),
            has_answer,
            cost,
            waiting: has_answer.then(|| gateway.lanes.enter(admitted.partition())),
            rest: Rest::None,
        });
        if gateway.enqueue.submit(admitted).is_err() {
            gateway.reject(&self.connection, id, &not_appended());
        }
    }

    /// Requests what is left of an answer, once the client has taken what was sent.
    pub fn ask_for_rest(&self) {
        let State::Authenticated(session) = &self.state else { return };
        let gateway = &self.gateway;
        let timeout_ms = gateway.settings.common.command_timeout.as_millis() as u64;
        let deadline_ms = gateway.clock.now_ms() + timeout_ms + ANSWER_GRACE_MS;
        let Some(next) = self.connection.take_rest(deadline_ms, || gateway.lanes.enter(None)) else { return };
        let command = next.command;
        let admitted = Admitted::next_round(gateway, &self.connection, session.membership.user, next);
        if gateway.enqueue.submit(admitted).is_err() {
            gateway.reject(&self.connection, command, &not_appended());
        }
    }

    fn acknowledge(&self, conversations: Vec<(ConversationId, i64)>, events: Vec<Uuid>) {
        if let State::Authenticated(session) = &self.state
            && session.attempt.opener.wants.acks
        {
            self.connection.acknowledge(conversations, events);
        }
    }

    // Authentication.

    fn begin(&mut self, attempt: Attempt) {
        let request_id = attempt.opener.request_id.clone();
        let refusal = match &mut self.state {
            State::Ended => return,
            State::Unauthenticated(_) if self.job.is_none() => return self.open(attempt),
            State::Authenticated(session) if session.membership.user != attempt.opener.user => {
                Rejection::invalid("token", "The connection belongs to another user; open a new one")
            }
            State::Authenticated(session) if session.renewal.is_none() => {
                session.renewal = Some(attempt);
                return self.next_job();
            }
            State::Unauthenticated(_) | State::Authenticated(_) => under_way(),
        };
        self.error(&refusal, Some("authenticate"), request_id.as_ref());
    }

    fn open(&mut self, attempt: Attempt) {
        let opening = opening::open(self.gateway.clone(), self.connection.clone(), attempt.opener.clone());
        self.job = Some(Box::pin(async { JobResult::Opened(Box::new((attempt, opening.await))) }));
    }

    fn opened(&mut self, attempt: Attempt, opened: Opened) {
        let Opened { membership, auth_success, replay: page, history } = opened;
        let timers = &self.connection.timers;
        let opened_at = Timestamp::now();
        timers.opened_at_ms.store(opened_at.0, Ordering::Relaxed);
        timers.authenticate_by_ms.store(u64::MAX, Ordering::Relaxed);
        timers.expires_unix.store(attempt.expires_unix, Ordering::Relaxed);
        self.gateway.metrics.authenticate_seconds.record(attempt.started.elapsed());
        let user = membership.user;
        let signed_in = SignedIn::begin(&self.gateway, &attempt, &self.source);
        self.state = State::Authenticated(Box::new(Authenticated { membership, attempt, renewal: None, signed_in }));
        self.connection.push_json(&auth_success);
        self.gateway.replace_older(user, &self.connection, opened_at);
        if page.events.is_empty() && page.next.is_none() {
            self.connection.release();
            return;
        }
        let replaying = opening::replay(self.gateway.clone(), self.connection.clone(), user, page, history);
        self.job = Some(Box::pin(async { JobResult::Replayed(replaying.await) }));
    }

    /// True if the connection is being closed for its failures: the rest of the input read with the last one is
    /// ignored.
    pub fn has_given_up(&self) -> bool {
        self.failures >= MAX_FAILURES || self.early_messages > MAX_UNAUTHENTICATED_MESSAGES
    }

    /// Handles a token that did not open or renew a session.
    fn failed(&mut self, auth_error: &[u8]) {
        self.connection.push_json(auth_error);
        self.failures = self.failures.saturating_add(1);
        tokio::spawn(count_failure(self.gateway.clone(), self.connection.clone(), self.source.address));
        if self.has_given_up() {
            self.connection.close(Close::new(CloseCode::Policy, "Too many failed authentications"));
        }
    }

    fn token_rejected(&mut self, attempt: &Attempt, refusal: SessionError) {
        match refusal {
            SessionError::Unauthenticated(auth_error) => self.failed(&auth_error),
            // The failure is on our side and does not count against the client.
            SessionError::Unavailable { retry_after } => {
                self.connection.push_json(&attempt.unavailable(retry_after));
            }
            SessionError::TooManyConnections => {
                let details = "This user has too many connections";
                let rejection = Rejection::too_many_connections(details);
                self.error(&rejection, Some("authenticate"), attempt.opener.request_id.as_ref());
                self.connection.close(Close::new(CloseCode::Policy, "Too many connections"));
            }
        }
    }

    // The job.

    pub fn has_job(&self) -> bool {
        self.job.is_some()
    }

    /// Drives the job; true if it ended, since there may then be something new to write or to do.
    pub fn poll_job(&mut self, cx: &mut Context<'_>) -> bool {
        let looked_up = self.poll_lookup(cx);
        if self.job.is_none() {
            self.next_job();
        }
        let Some(job) = &mut self.job else {
            return looked_up;
        };
        let Poll::Ready(outcome) = job.as_mut().poll(cx) else {
            return looked_up;
        };
        self.job = None;
        match outcome {
            JobResult::Looked(looked) => match *looked {
                Looked::Valid(attempt) => self.begin(attempt),
                Looked::Refused(auth_error) => self.failed(&auth_error),
                Looked::Unavailable(auth_error) => self.connection.push_json(&auth_error),
            },
            JobResult::Opened(opened) => match *opened {
                (attempt, Ok(opened)) => self.opened(attempt, opened),
                (attempt, Err(refusal)) => self.token_rejected(&attempt, refusal),
            },
            JobResult::Renewed(renewed) => self.renewed(*renewed),
            JobResult::Replayed(Ok(())) => {}
            JobResult::Replayed(Err(SessionError::Unauthenticated(auth_error))) => {
                self.connection.push_json(&auth_error);
                self.connection.close(Close::new(CloseCode::Policy, "The token is no longer valid"));
            }
            JobResult::Replayed(Err(_)) => {
                self.connection.close(Close::new(CloseCode::TryLater, "Temporarily unavailable"));
            }
        }
        true
    }

    fn next_job(&mut self) {
        if self.job.is_some() {
            return;
        }
        let State::Authenticated(session) = &mut self.state else {
            return;
        };
        let (gateway, connection) = (self.gateway.clone(), self.connection.clone());
        if let Some(attempt) = session.renewal.take() {
            let renewing = opening::renew(gateway, connection, attempt.opener.clone());
            self.job = Some(Box::pin(async { JobResult::Renewed(Box::new((attempt, renewing.await))) }));
        } else if self.connection.signals().catch_up {
            let catching_up = opening::catch_up(gateway, connection, session.attempt.opener.quiet());
            self.job = Some(Box::pin(async { JobResult::Replayed(catching_up.await) }));
        }
    }

    fn renewed(&mut self, (attempt, result): (Attempt, Result<Vec<u8>, SessionError>)) {
        match result {
            Ok(auth_success) => {
                self.connection.timers.expires_unix.store(attempt.expires_unix, Ordering::Relaxed);
                self.connection.set_wants(attempt.opener.wants);
                if let State::Authenticated(session) = &mut self.state {
                    session.signed_in = SignedIn::begin(&self.gateway, &attempt, &self.source);
                    session.attempt = attempt;
                }
                self.connection.push_json(&auth_success);
            }
            Err(refusal) => self.token_rejected(&attempt, refusal),
        }
    }

    /// Releases whatever the session holds.
    pub fn end(&mut self) {
        self.job = None;
        self.lookup = None;
        self.state = State::Ended;
    }
}

fn under_way() -> Rejection {
    Rejection::new(ErrorCode::ValidationError, "An `authenticate` command is already in progress")
}
