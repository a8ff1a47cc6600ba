//! Delivers one publication to the connections it concerns. It reads the header and never the JSON: the frame is
//! prepared once and shared by all recipients, without an allocation for each.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use shared::auth::TokenHash;
use shared::dialects::Dialect;
use shared::ids::{ConnectionId, ConnectionRef, UserId};
use shared::publication::{EventHeader, Header, Receipt};
use shared::redis::keys::Channel;
use shared::stream::InternalReply;
use shared::telemetry::traces::{KeyValue, Span, SpanKind, TraceContext};
use tokio::time::Instant;
use uuid::Uuid;
use websocket::PreparedText;

use crate::connection::outbox::{Frame, Outgoing};
use crate::connection::{Connection, Delivered, Translated};
use crate::egress::control;
use crate::egress::positions::SeqCheck;
use crate::egress::presence::Presence;
use crate::egress::unreadable::NotRead;
use crate::gateway::Gateway;

/// Capacity kept for the list of connections to wake after a batch.
const KEPT_CAPACITY: usize = 4096;

/// Delivers batches of publications. Sessions are woken after the batch, so that everything in it for one session goes
/// out in one write.
pub struct Deliverer {
    gateway: Arc<Gateway>,
    to_wake: Vec<Arc<Connection>>,
    /// Tokens revoked in this batch: one pass over all connections serves them all.
    revoked: HashSet<TokenHash>,
    not_read: NotRead,
    is_of_shard: bool,
    presence: Presence,
}

impl Deliverer {
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Deliverer {
            gateway,
            to_wake: Vec::new(),
            revoked: HashSet::new(),
            not_read: NotRead::default(),
            is_of_shard: false,
            presence: Presence::default(),
        }
    }

    /// Delivers what comes on sharded channels, which keep no order between each other.
    pub fn of_shard(gateway: Arc<Gateway>) -> Self {
        Deliverer { is_of_shard: true, ..Deliverer::new(gateway) }
    }

    pub fn publication(&mut self, name: &str, bytes: &Bytes) {
        let Some(channel) = self.gateway.keys.parse_channel(name) else {
            return;
        };
        let (header, payload) = match self.gateway.wire.open_publication(name, bytes) {
            Ok(read) => read,
            Err(error) => {
                return self.not_read.publication(&self.gateway.core, &self.gateway.registry, channel, &error);
            }
        };
        self.deliver(header, channel, bytes.slice(payload..));
    }

    fn deliver(&mut self, header: Header, channel: Channel, payload: Bytes) {
        match (header, channel) {
            (Header::Traced { trace, header }, channel) => self.traced(trace, *header, channel, payload),
            (Header::Event(header), Channel::Presence) if header.exclude.is_none() => {
                self.count("event");
                self.presence.add(payload, header.exclude_users);
            }
            (Header::Event(header), channel @ (Channel::User(_) | Channel::Group(_))) => {
                self.count("event");
                if self.is_new(channel, &header.receipt) {
                    self.event(&header, channel, &payload, None);
                }
            }
            (Header::AnswerAndEvent { to, command, bytes, event }, channel @ Channel::User(_)) => {
                self.count("event");
                self.answer_and_event(to, command, bytes as usize, &event, channel, &payload);
            }
            (Header::ReducedFor { users, bytes, event }, channel @ (Channel::User(_) | Channel::Group(_))) => {
                self.count("event");
                self.in_two_forms(users, bytes as usize, event, channel, &payload);
            }
            (Header::Answer { connection, command }, Channel::Gateway) => {
                self.count("answer");
                self.answer(connection, command, &payload, true);
            }
            (Header::AnswerPart { connection, command }, Channel::Gateway) => {
                self.count("answer");
                self.answer(connection, command, &payload, false);
            }
            (Header::AnswerContinues { connection, command }, Channel::Gateway) => {
                self.count("answer");
                self.answer_continues(connection, command, &payload);
            }
            (Header::Internal { command }, Channel::Gateway) => {
                self.count("internal");
                self.internal(command, &payload);
            }
            (Header::Revoked { token }, Channel::Presence) => {
                self.count("revocation");
                self.revoked.insert(token);
            }
            (Header::Left { group }, Channel::User(user)) if self.is_of_shard => {
                self.count("membership");
                control::leave_later(&self.gateway, user, group);
            }
            (header, channel) => control::obey(&self.gateway, header, channel, &payload),
        }
    }

    fn count(&self, kind: &'static str) {
        self.gateway.metrics.publications.with(kind).increment(1);
    }

    /// The first `bytes` of the payload answer the sender's connection, wherever it is; the rest is the event.
    fn answer_and_event(
        &mut self,
        to: ConnectionRef,
        command: Uuid,
        bytes: usize,
        event: &EventHeader,
        channel: Channel,
        payload: &Bytes,
    ) {
        if bytes > payload.len() {
            self.gateway.metrics.unreadable.increment(1);
            return;
        }
        if to.gateway == self.gateway.id {
            self.answer(to.connection, command, &payload.slice(..bytes), true);
        }
        if self.is_new(channel, &event.receipt) {
            self.event(event, channel, &payload[bytes..], None);
        }
    }

    /// The first `bytes` of the payload are what these users may see of the event; the rest is for everybody else.
    fn in_two_forms(
        &mut self,
        users: Vec<UserId>,
        bytes: usize,
        mut event: EventHeader,
        channel: Channel,
        payload: &[u8],
    ) {
        let Some((reduced, whole)) = payload.split_at_checked(bytes) else {
            self.gateway.metrics.unreadable.increment(1);
            return;
        };
        if self.is_new(channel, &event.receipt) {
            self.event(&event, channel, reduced, Some(&users));
            event.exclude_users.extend(users);
            self.event(&event, channel, whole, None);
        }
    }

    /// Records what arrives on a channel. A message that arrived before is a repetition by a worker that took over; a
    /// number that jumps ahead shows that messages were lost.
    fn is_new(&self, channel: Channel, receipt: &Receipt) -> bool {
        let gateway = &self.gateway;
        match *receipt {
            Receipt::Message { conversation, seq, .. } => {
                match gateway.positions.message(channel, conversation, seq, gateway.clock.now_ms()) {
                    SeqCheck::Next => {}
                    SeqCheck::Again => {
                        gateway.metrics.repetitions.increment(1);
                        return false;
                    }
                    SeqCheck::Gap { from } => gateway.gaps.fill(channel, conversation, (from, seq - 1)),
                }
            }
            Receipt::Durable { event } => gateway.positions.event(channel, event),
            Receipt::None => {}
        }
        true
    }

    /// Wakes the sessions that got something since the last call.
    pub fn wake(&mut self) {
        if !self.revoked.is_empty() {
            control::end_revoked(&self.gateway, &self.revoked);
            self.revoked.clear();
        }
        for connection in self.to_wake.drain(..) {
            connection.wake();
        }
        self.to_wake.shrink_to(KEPT_CAPACITY);
    }

    /// Delivers a publication caused by a traced command. A traced publication inside another one must be forged.
    fn traced(&mut self, trace: TraceContext, header: Header, channel: Channel, payload: Bytes) {
        if matches!(header, Header::Traced { .. }) {
            return self.gateway.metrics.unreadable.increment(1);
        }
        let (started_at, woken) = (SystemTime::now(), self.to_wake.len());
        trace.log_span().in_scope(|| self.deliver(header, channel, payload));
        self.gateway.tracer.record(Span {
            name: "deliver",
            kind: SpanKind::Consumer,
            context: trace.child(),
            parent: Some(trace),
            started_at,
            attributes: vec![
                KeyValue::new("chat.gateway_id", self.gateway.id.to_string()),
                KeyValue::new("chat.connections", (self.to_wake.len() - woken) as i64),
            ],
        });
    }

    fn answer(&mut self, id: ConnectionId, command: Uuid, payload: &Bytes, last: bool) {
        let Some(connection) = self.gateway.registry.get(id) else {
            // The gateway itself ran the command, for a backend.
            if id == ConnectionId(0) && last {
                let reply = InternalReply::Http { status: 200, json: payload.to_vec() };
                self.gateway.requests.answer(command, reply);
            }
            return;
        };
        let taken = if last {
            let entry = connection.answer(command, payload);
            entry.inspect(|entry| self.gateway.answered(entry)).is_some()
        } else {
            connection.answer_part(command, payload)
        };
        if taken {
            self.to_wake.push(connection);
        }
    }

    fn answer_continues(&mut self, id: ConnectionId, command: Uuid, payload: &[u8]) {
        let Some(connection) = self.gateway.registry.get(id) else {
            return;
        };
        let Ok(round) = postcard::from_bytes(payload) else {
            // The client is told once the command's deadline has passed.
            self.gateway.metrics.unreadable.increment(1);
            return;
        };
        if connection.hold_rest(command, round) {
            self.to_wake.push(connection);
        }
    }

    fn internal(&self, command: Uuid, payload: &[u8]) {
        match postcard::from_bytes::<InternalReply>(payload) {
            Ok(reply) => self.gateway.requests.answer(command, reply),
            // It is from another version; a repeated request may be answered by a worker of this version.
            Err(_) => {
                self.gateway.metrics.unreadable.increment(1);
                self.gateway.requests.fail(command);
            }
        }
    }

    /// Delivers an event to the subscribers of its channel, restricted to the users in `only` if given.
    fn event(&mut self, header: &EventHeader, channel: Channel, payload: &[u8], only: Option<&[UserId]>) {
        let prepared = PreparedText::new(payload);
        let mut translated = Translated::new(payload);
        let mut frames: [Option<Outgoing>; 2] = [None, None];
        let excluded = header.exclude.filter(|exclude| exclude.gateway == self.gateway.id);
        let excluded = excluded.map(|exclude| exclude.connection);
        let (gateway, to_wake) = (&self.gateway, &mut self.to_wake);
        let deliver = |connection: &Arc<Connection>| {
            let is_excluded = excluded == Some(connection.id)
                || (!header.exclude_users.is_empty()
                    && connection.user().is_some_and(|user| header.exclude_users.contains(&user)));
            let is_meant = only.is_none_or(|users| connection.user().is_some_and(|user| users.contains(&user)));
            if is_excluded || !is_meant {
                return;
            }
            let deflate = connection.deflate;
            let delivered = if connection.dialect == Dialect::ChatV1 {
                let frame = frames[usize::from(deflate)]
                    .get_or_insert_with(|| Frame::new(prepared.frame(deflate), header.receipt));
                connection.deliver(frame)
            } else {
                connection.deliver(translated.outgoing(connection, header.receipt))
            };
            note(gateway, to_wake, connection, delivered);
        };
        gateway.registry.for_channel(channel, deliver);
    }

    /// When [`Self::send_presence`] should be called next.
    pub fn presence_due(&self) -> Option<Instant> {
        self.presence.due()
    }

    /// Sends comings and goings to the next connections, and wakes their sessions.
    pub fn send_presence(&mut self) {
        let Deliverer { gateway, to_wake, presence, .. } = self;
        presence.step(gateway, |connection, frames| {
            note(gateway, to_wake, connection, connection.deliver(frames));
        });
        self.wake();
    }
}

/// Counts what happened to an event at a connection, which is woken after the batch.
fn note(gateway: &Gateway, to_wake: &mut Vec<Arc<Connection>>, connection: &Arc<Connection>, delivered: Delivered) {
    if delivered.wake {
        to_wake.push(connection.clone());
    }
    if delivered.dropped > 0 {
        gateway.metrics.outbox_dropped.increment(u64::from(delivered.dropped));
    }
    if delivered.too_slow {
        gateway.metrics.slow_consumers.increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    use shared::ids::{ConversationId, GroupId, MessageId};

    use crate::testing::{gateway, speaking};

    /// In a group with both dialects, whose sender is among the connections of the older one.
    #[tokio::test]
    async fn an_event_is_made_once_for_each_dialect_and_part_in_it() {
        let (gateway, _queues) = gateway(&[]);
        let group = GroupId(Uuid::from_u128(3));
        let connections: Vec<_> = [Dialect::ChatV1, Dialect::Original]
            .into_iter()
            .flat_map(|dialect| [dialect; 3])
            .zip(1..)
            .map(|(dialect, n)| {
                let connection = speaking(n, dialect);
                gateway.registry.insert(&connection);
                gateway.registry.add_user(&connection, UserId(n as i64), 9);
                gateway.registry.add_groups(&connection, &[group]);
                connection.release();
                connection
            })
            .collect();
        let message = MessageId(Uuid::from_u128(5));
        let receipt =
            Receipt::Message { conversation: ConversationId::Group(group), seq: 1, sender: UserId(6), message };
        let json = br#"{"type":"new_group_message","senderId":"6","content":"hi"}"#;
        let channel = gateway.keys.group_channel(group);
        let publication = gateway.wire.publication(&channel, &Header::Event(EventHeader::new(receipt)), json);
        let mut deliverer = Deliverer::new(gateway.clone());
        deliverer.publication(&channel, &Bytes::from(publication));
        let frame = |connection: &Arc<Connection>| {
            let mut outgoing = VecDeque::new();
            connection.take_outgoing(&mut outgoing);
            outgoing[0].bytes.clone()
        };
        let frames: Vec<Bytes> = connections.iter().map(frame).collect();
        let is_shared = |a: usize, b: usize| frames[a].as_ptr() == frames[b].as_ptr();
        assert!(is_shared(0, 1) && is_shared(1, 2) && is_shared(3, 4));
        assert!(!is_shared(2, 3) && !is_shared(4, 5));
        let text = |at: usize| String::from_utf8_lossy(&frames[at][2..]).into_owned();
        assert!(text(0).contains(r#""type":"new_group_message""#) && !text(0).contains("message\":{"));
        assert!(text(3).contains(r#""type":"new_group_message""#) && text(3).contains(r#""message":{"#), "{}", text(3));
        assert!(text(5).contains(r#""type":"group_message_sent""#), "{}", text(5));
    }
}
