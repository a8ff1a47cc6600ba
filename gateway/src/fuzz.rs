//! The entry point for the fuzzer and property tests: sends publications through the router to connections in every
//! kind of state, and compares what each of them got with what the header says. Only compiled with the feature `fuzz`.
//!
//! It panics if an invariant is broken, which the fuzzer then reports.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use shared::auth::TokenHash;
use shared::ids::{GatewayId, GroupId, TokenId, UserId};
use shared::lifecycle::Lifecycle;
use shared::publication::{self, Header, Receipt};
use shared::redis::keys::Channel;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use uuid::Uuid;
use websocket::PreparedText;

use crate::connection::outbox::{BURST, Outgoing};
use crate::connection::{Connection, InFlight};
use crate::core::Core;
use crate::egress::deliver::Deliverer;
use crate::egress::subscriptions::Change;
use crate::gateway::{Gateway, Queues};
use crate::testing;
use crate::testing::OUTBOX_LIMIT_BYTES;

const OWN: GatewayId = GatewayId(Uuid::from_u128(1));
const FRIENDS: GroupId = GroupId(Uuid::from_u128(2));
const OTHERS: GroupId = GroupId(Uuid::from_u128(3));

/// Bits of the flags byte at the start of each publication.
const READS: u8 = 1;
const CATCHES_UP: u8 = 2;
const RUNS_TASKS: u8 = 4;
const SUBSCRIBES: u8 = 8;

/// How many turns spawned tasks get.
const TURNS: usize = 8;

thread_local! {
    /// Made once, because the key derivation takes far longer than one input; the parts are assembled again for each
    /// input.
    static CORE: Cell<Option<Core>> = Cell::new(Some(testing::core(&[("WIRE_FORMAT", "both")])));
}

/// A series of publications: a byte of flags, a byte for the channel, two for the length, and the publication itself.
///
/// # Panics
/// When an invariant is broken.
pub fn fuzz_router(data: &[u8]) {
    let Some(core) = CORE.take() else { panic!("something of the last input is left") };
    let core = Core { id: OWN, lifecycle: Lifecycle::new(Duration::from_secs(1)), ..core };
    let Ok((gateway, mut queues)) = Gateway::assemble(core) else { panic!("the settings are fine") };
    let mut world = World::new(&gateway, &mut queues);
    let mut rest = data;
    while let Some((&[flags, channel, high, low], after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(after.len());
        let (publication, after) = after.split_at(length);
        rest = after;
        world.publish(channel, publication);
        world.go_on(flags);
    }
    drop(world);
    CORE.set(Arc::into_inner(gateway).and_then(|gateway| {
        let core = gateway.core.clone();
        drop((gateway, queues));
        Arc::into_inner(core)
    }));
}

/// The surroundings of the gateway: clients that may or may not read, a Redis that may or may not confirm
/// subscriptions.
struct World<'a> {
    gateway: Arc<Gateway>,
    queues: &'a mut Queues,
    deliverer: Deliverer,
    runtime: Runtime,
    channels: Vec<String>,
    clients: Vec<Client>,
}

struct Client {
    connection: Arc<Connection>,
    token: Option<TokenHash>,
    /// The command that waits for an answer.
    waiting: Option<Uuid>,
    /// Taken out of the outbox and not yet written.
    unread: VecDeque<Outgoing>,
    largest_frame: usize,
    /// What may arrive once nothing is held back any more.
    promised: VecDeque<Bytes>,
}

/// What a publication may deliver to one connection.
#[derive(Default)]
struct Due {
    frames: Vec<Bytes>,
    /// At least these, unless the connection is holding back, closed, or full.
    certain: bool,
    answers: bool,
    may_close: bool,
}

impl<'a> World<'a> {
    fn new(gateway: &Arc<Gateway>, queues: &'a mut Queues) -> Self {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
            panic!("no runtime");
        };
        let keys = &gateway.keys;
        let channels = vec![
            keys.gateway_channel(OWN),
            keys.user_channel(UserId(1)),
            keys.user_channel(UserId(2)),
            keys.user_channel(UserId(3)),
            keys.group_channel(FRIENDS),
            keys.group_channel(OTHERS),
            keys.presence_channel(),
            keys.report_channel(),
            "user:x".to_owned(),
        ];
        let client = |id: u64, user: Option<i64>, groups: &[GroupId], is_open: bool| {
            let connection = if id == 2 { testing::deflating(id) } else { testing::connection(id) };
            gateway.registry.insert(&connection);
            let command = Uuid::from_u128(u128::from(id));
            connection.expect_answer(InFlight {
                command,
                name: "ping",
                request_id: None,
                deadline_ms: u64::MAX,
                started: Instant::now(),
                has_answer: true,
                cost: 0,
                waiting: None,
                rest: crate::connection::Rest::None,
            });
            let token = user.map(|user| TokenHash::of(&TokenId(user.to_string())));
            if let Some(user) = user {
                gateway.registry.add_user(&connection, UserId(user), 9);
                gateway.registry.add_groups(&connection, groups);
                token.into_iter().for_each(|token| connection.expect_token(token));
                if is_open {
                    connection.timers.opened_at_ms.store(1, Ordering::Relaxed);
                    connection.release();
                }
            }
            let (unread, promised) = (VecDeque::new(), VecDeque::new());
            Client { connection, token, waiting: Some(command), unread, largest_frame: 0, promised }
        };
        let clients = vec![
            client(1, Some(1), &[FRIENDS], true),
            // Of the same user, with compression.
            client(2, Some(1), &[FRIENDS], true),
            client(3, Some(2), &[FRIENDS, OTHERS], true),
            // Its session is still opening.
            client(4, Some(3), &[OTHERS], false),
            // Not authenticated.
            client(5, None, &[], false),
        ];
        let deliverer = Deliverer::new(gateway.clone());
        World { gateway: gateway.clone(), queues, deliverer, runtime, channels, clients }
    }

    /// Delivers one publication and checks its effect on every connection.
    fn publish(&mut self, channel: u8, publication: &[u8]) {
        let name = &self.channels[usize::from(channel) % self.channels.len()];
        let channel = self.gateway.keys.parse_channel(name);
        let decoded = self.gateway.wire.open_publication(name, publication).ok();
        let decoded = decoded.map(|(header, offset)| (header, publication.get(offset..).unwrap_or_default()));
        let due: Vec<Due> = self
            .clients
            .iter_mut()
            .map(|client| match (channel, &decoded) {
                (Some(channel), Some((header, payload))) => client.due(channel, header, payload),
                _ => Due::default(),
            })
            .collect();
        let before: Vec<ClientState> = self.clients.iter().map(Client::state).collect();
        let _entered = self.runtime.enter();
        self.deliverer.publication(name, &Bytes::copy_from_slice(publication));
        self.deliverer.wake();
        while self.deliverer.presence_due().is_some() {
            self.deliverer.send_presence();
        }
        for ((client, due), before) in self.clients.iter_mut().zip(due).zip(before) {
            client.check(due, &before);
        }
    }

    /// Does what happens around the router until the next publication.
    fn go_on(&mut self, flags: u8) {
        while let Ok(change) = self.queues.changes.try_recv() {
            if let (Change::Subscribe { done, .. }, true) = (change, flags & SUBSCRIBES != 0) {
                let _ = done.send(());
            }
        }
        // Nothing fills gaps here: connections wait for a replay instead.
        while self.queues.gaps.try_recv().is_ok() {}
        if flags & RUNS_TASKS != 0 {
            self.runtime.block_on(async {
                for _ in 0..TURNS {
                    tokio::task::yield_now().await;
                }
            });
        }
        for client in &mut self.clients {
            if flags & CATCHES_UP != 0 {
                client.catch_up();
            }
            if flags & READS != 0 {
                client.read();
            }
        }
    }
}

/// A connection before a publication.
struct ClientState {
    holds: bool,
    is_closed: bool,
    unread_bytes: usize,
}

impl Client {
    fn state(&self) -> ClientState {
        let signals = self.connection.signals();
        let holds = self.connection.is_holding();
        ClientState { holds, is_closed: signals.close.is_some(), unread_bytes: signals.unwritten_bytes }
    }

    /// What the header promises to this connection, determined without the router's help.
    fn due(&mut self, channel: Channel, header: &Header, payload: &[u8]) -> Due {
        let user = self.connection.user();
        let is_listening = match channel {
            Channel::User(named) => user == Some(named),
            Channel::Group(group) => user.is_some() && self.connection.groups().contains(&group),
            // Comings and goings are nobody's answer.
            Channel::Presence => user.is_some() && !matches!(header, Header::Event(event) if event.exclude.is_some()),
            Channel::Gateway | Channel::Report => false,
        };
        let frame = |payload: &[u8]| PreparedText::new(payload).frame(self.connection.deflate);
        let mut due = Due::default();
        match (header, channel) {
            (Header::Answer { connection, command }, Channel::Gateway)
                if *connection == self.connection.id && self.waiting == Some(*command) =>
            {
                self.waiting = None;
                due = Due { frames: vec![frame(payload)], certain: true, answers: true, ..due };
            }
            (Header::AnswerPart { connection, command }, Channel::Gateway)
                if *connection == self.connection.id && self.waiting == Some(*command) =>
            {
                due = Due { frames: vec![frame(payload)], certain: true, answers: true, ..due };
            }
            (Header::Event(event), _) if is_listening && !self.is_excluded(event) => {
                let certain = matches!(event.receipt, Receipt::None | Receipt::Durable { .. });
                due = Due { frames: vec![frame(payload)], certain, ..due };
            }
            (Header::AnswerAndEvent { to, command, bytes, event }, Channel::User(_)) => {
                let Some((answer, payload)) = payload.split_at_checked(*bytes as usize) else { return due };
                let is_asked = to.gateway == OWN && to.connection == self.connection.id;
                if is_asked && self.waiting == Some(*command) {
                    self.waiting = None;
                    due.frames.push(frame(answer));
                }
                if is_listening && !self.is_excluded(event) {
                    due.frames.push(frame(payload));
                }
            }
            (Header::ReducedFor { users, bytes, event }, _) if is_listening && !self.is_excluded(event) => {
                let Some((reduced, whole)) = payload.split_at_checked(*bytes as usize) else { return due };
                let shown = if user.is_some_and(|user| users.contains(&user)) { reduced } else { whole };
                due.frames.push(frame(shown));
            }
            (
                Header::Kicked | Header::Replaced { .. } | Header::ReplacedIn { .. } | Header::Departed,
                Channel::User(_),
            ) => due.may_close = is_listening,
            (Header::Revoked { token }, Channel::Presence) => due.may_close = self.token == Some(*token),
            _ => {}
        }
        due
    }

    fn is_excluded(&self, event: &publication::EventHeader) -> bool {
        let excluded = event.exclude.is_some_and(|to| to.gateway == OWN && to.connection == self.connection.id);
        excluded || self.connection.user().is_some_and(|user| event.exclude_users.contains(&user))
    }

    /// Checks that connections get only what is theirs, none is closed without a reason, and what can go out
    /// immediately does.
    fn check(&mut self, due: Due, before: &ClientState) {
        let got = self.take();
        let signals = self.connection.signals();
        let closes = signals.close.is_some() && !before.is_closed;
        if due.frames.is_empty() {
            assert!(got.is_empty() || (due.may_close && got.len() == 1), "frames for another connection");
            assert!(!closes || due.may_close, "closed for no reason");
        } else {
            let mut wanted = due.frames.iter();
            assert!(got.iter().all(|frame| wanted.any(|due| due == frame)), "not what was published");
            let bytes: usize = due.frames.iter().map(Bytes::len).sum();
            let has_room = before.unread_bytes + bytes <= OUTBOX_LIMIT_BYTES;
            let is_free = due.answers || !before.holds;
            if due.certain && has_room && is_free && !before.is_closed {
                assert_eq!(got.len(), due.frames.len(), "it did not arrive");
            }
            assert!(!closes || !has_room || !is_free || self.connection.is_holding(), "closed, though there was room");
            self.promised.extend(due.frames.into_iter().filter(|frame| !got.contains(frame)));
        }
        assert_eq!(signals.in_flight, usize::from(self.waiting.is_some()), "each command has one answer");
        assert!(
            signals.unwritten_bytes <= (BURST * OUTBOX_LIMIT_BYTES).max(self.largest_frame),
            "the outbox has no bound"
        );
    }

    /// Delivers the replay, which is empty here.
    fn catch_up(&mut self) {
        if self.connection.user().is_some() {
            self.connection.begin_catch_up();
            self.connection.release();
        }
        let got = self.take();
        let mut promised = self.promised.drain(..);
        assert!(
            got.iter().all(|frame| promised.any(|due| due == frame)),
            "held back although it is not for this connection"
        );
    }

    fn take(&mut self) -> Vec<Bytes> {
        let mut taken = VecDeque::new();
        self.connection.take_outgoing(&mut taken);
        let frames: Vec<Bytes> = taken.iter().map(|item| item.bytes.clone()).collect();
        self.largest_frame = frames.iter().map(Bytes::len).fold(self.largest_frame, usize::max);
        self.unread.append(&mut taken);
        frames
    }

    fn read(&mut self) {
        let bytes = self.unread.iter().map(|item| item.bytes.len()).sum();
        if self.connection.written(bytes, self.unread.len(), &mut self.unread) {
            self.connection.take_receipts();
        }
        assert_eq!(self.connection.signals().unwritten_bytes, 0);
    }
}

#[cfg(test)]
mod tests;
