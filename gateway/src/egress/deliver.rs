//! One publication to the connections it concerns. The header is read, the JSON never: its frame is prepared once and shared by
//! all recipients, without an allocation for each.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use shared::auth::TokenHash;
use shared::clock::Timestamp;
use shared::dialects::Dialect;
use shared::events::broadcast;
use shared::events::session::{AuthError, AuthErrorCode, SessionConflict};
use shared::ids::{ConnectionId, ConnectionRef, GroupId, UserId};
use shared::protocol::CloseCode;
use shared::publication::{EventHeader, Header, Receipt};
use shared::redis::keys::Channel;
use shared::stream::InternalReply;
use shared::telemetry::traces::{KeyValue, Span, SpanKind, TraceContext};
use uuid::Uuid;
use websocket::PreparedText;

use crate::connection::outbox::Mark;
use crate::connection::{Close, Connection, Translated};
use crate::egress::positions::SeqCheck;
use crate::egress::unreadable::NotRead;
use crate::gateway::Gateway;

/// Capacity kept for the connections to wake after a batch.
const KEPT_CAPACITY: usize = 4096;

/// Delivers batches of publications: sessions are woken after the batch, so that what it holds for one of them goes out in one
/// write.
pub struct Deliverer {
    gateway: Arc<Gateway>,
    to_wake: Vec<Arc<Connection>>,
    /// Tokens of this batch: one look at all connections serves them all.
    revoked: HashSet<TokenHash>,
    not_read: NotRead,
}

impl Deliverer {
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Deliverer { gateway, to_wake: Vec::new(), revoked: HashSet::new(), not_read: NotRead::default() }
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
        let count = |kind| self.gateway.metrics.publications.with(kind).increment(1);
        match (header, channel) {
            (Header::Traced { trace, header }, channel) => self.traced(trace, *header, channel, payload),
            (Header::Answer { connection, command }, Channel::Gateway) => {
                count("answer");
                self.answer(connection, command, &payload, true);
            }
            (Header::AnswerPart { connection, command }, Channel::Gateway) => {
                count("answer");
                self.answer(connection, command, &payload, false);
            }
            (Header::AnswerContinues { connection, command }, Channel::Gateway) => {
                count("answer");
                self.answer_continues(connection, command, &payload);
            }
            (Header::Internal { command }, Channel::Gateway) => {
                count("internal");
                self.internal(command, &payload);
            }
            (Header::Event(header), channel) => {
                count("event");
                if self.is_new(channel, &header.receipt) {
                    self.event(&header, channel, &payload, None);
                }
            }
            (Header::ReducedFor { users, bytes, mut event }, channel) => {
                count("event");
                let Some((reduced, whole)) = payload.split_at_checked(bytes as usize) else {
                    self.gateway.metrics.unreadable.increment(1);
                    return;
                };
                if self.is_new(channel, &event.receipt) {
                    self.event(&event, channel, reduced, Some(&users));
                    event.exclude_users.extend(users);
                    self.event(&event, channel, whole, None);
                }
            }
            (Header::AnswerAndEvent { to, command, bytes, event }, channel @ Channel::User(_)) => {
                count("event");
                if bytes as usize > payload.len() {
                    self.gateway.metrics.unreadable.increment(1);
                    return;
                }
                if to.gateway == self.gateway.id {
                    self.answer(to.connection, command, &payload.slice(..bytes as usize), true);
                }
                if self.is_new(channel, &event.receipt) {
                    self.event(&event, channel, &payload[bytes as usize..], None);
                }
            }
            (Header::Report, Channel::Report) => {
                count("report");
                match postcard::from_bytes(&payload) {
                    Ok(report) => self.gateway.gaps.compare(&report),
                    Err(_) => self.gateway.metrics.unreadable.increment(1),
                }
            }
            (Header::Joined { group }, Channel::User(user)) => {
                count("membership");
                self.joined(user, group);
            }
            (Header::Left { group }, Channel::User(user)) => {
                count("membership");
                let connections = self.gateway.registry.leave(user, group);
                let channel = self.gateway.keys.group_channel(group);
                self.gateway.subscriptions.unsubscribe(vec![channel; connections]);
            }
            (Header::Replaced { by, opened_at }, Channel::User(user)) => {
                count("membership");
                self.replaced(user, by, opened_at, None);
            }
            (Header::ReplacedIn { by, opened_at, dialect }, Channel::User(user)) => {
                count("membership");
                self.replaced(user, by, opened_at, Some(dialect));
            }
            (Header::Revoked { token }, Channel::Presence) => {
                count("revocation");
                self.revoked.insert(token);
            }
            (Header::Kicked, Channel::User(user)) => {
                count("operator");
                self.gateway.registry.for_user(user, |connection| {
                    connection.close(Close::new(CloseCode::Policy, "Closed by an operator"));
                });
            }
            (Header::Departed, Channel::User(user)) => {
                count("membership");
                self.departed(user);
            }
            (Header::ReceiptsWanted { by, request }, Channel::User(user)) => {
                count("receipts");
                if by != self.gateway.id {
                    let (epoch, receipts) = self.gateway.unrecorded(user);
                    self.gateway.elsewhere.answer(by, request, epoch, &receipts);
                }
            }
            (Header::ReceiptsGiven { request }, Channel::Gateway) => {
                count("receipts");
                self.gateway.elsewhere.answered(request, &payload);
            }
            (Header::Drain, Channel::Gateway) => {
                count("operator");
                tracing::info!("an operator ends this gateway");
                self.gateway.lifecycle.start_draining();
            }
            (Header::Probe { sent_at }, Channel::Gateway) => {
                count("probe");
                self.gateway.metrics.subscription_lag_seconds.record(Timestamp::now().since(sent_at));
            }
            _ => self.gateway.metrics.unreadable.increment(1),
        }
    }

    /// Notes what comes on a channel. A message that came before is a repetition by a worker that took over and knows no
    /// better; one that comes too early shows that others were lost.
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

    /// Wakes the sessions that got something since the last time.
    pub fn wake(&mut self) {
        if !self.revoked.is_empty() {
            self.end_revoked();
        }
        for connection in self.to_wake.drain(..) {
            connection.wake();
        }
        self.to_wake.shrink_to(KEPT_CAPACITY);
    }

    /// A publication that a traced command caused. Those that come in a traced one would be forged.
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
            // The gateway itself had the command carried out, for a backend.
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
            // The client is told when the command's time is over.
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
            // Of another version: whoever asks again may be answered by a worker of this one.
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
        let mark = Mark::from(header.receipt);
        let mut frames: [Option<Bytes>; 2] = [None, None];
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
                let frame = frames[usize::from(deflate)].get_or_insert_with(|| prepared.frame(deflate));
                connection.deliver(frame, &mark)
            } else {
                connection.deliver(&translated.frame(connection), &mark)
            };
            if delivered.wake {
                to_wake.push(connection.clone());
            }
            if delivered.dropped > 0 {
                gateway.metrics.outbox_dropped.increment(u64::from(delivered.dropped));
            }
            if delivered.too_slow {
                gateway.metrics.slow_consumers.increment(1);
            }
        };
        match channel {
            Channel::User(_) | Channel::Group(_) => gateway.registry.for_channel(channel, deliver),
            Channel::Presence => gateway.registry.for_everybody(deliver),
            Channel::Gateway | Channel::Report => gateway.metrics.unreadable.increment(1),
        }
    }

    /// The user's connections follow the group from now on, and catch up on what was said before the subscription stood.
    fn joined(&self, user: UserId, group: GroupId) {
        let connections = self.gateway.registry.join(user, group);
        if connections.is_empty() {
            return;
        }
        connections.iter().for_each(|connection| connection.interrupt());
        let channel = self.gateway.keys.group_channel(group);
        let subscribed = self.gateway.subscriptions.subscribe(vec![channel; connections.len()]);
        self.gateway.lifecycle.spawn_until_stopped("joined", async move {
            let subscribed = subscribed.await;
            for connection in connections {
                match subscribed {
                    Ok(()) => connection.catch_up(),
                    // It subscribes anew when it comes back.
                    Err(_) => connection.close(Close::new(CloseCode::TryLater, "Temporarily unavailable")),
                }
            }
            Ok::<_, Infallible>(())
        });
    }

    /// Sessions that are still opening end, too: a worker may have looked before the revocation.
    fn end_revoked(&mut self) {
        let error = AuthError {
            message: "The token was revoked",
            details: "Log in again",
            code: AuthErrorCode::TokenRevoked,
            retry_after: None,
            timestamp: Timestamp::now(),
        };
        let error = broadcast(&error);
        self.gateway.registry.for_everybody(|connection| {
            if connection.lives_by(|token| self.revoked.contains(token)) {
                connection.push_json(&error);
                connection.close(Close::new(CloseCode::Policy, "Token revoked"));
            }
        });
        self.revoked.clear();
    }

    fn departed(&self, user: UserId) {
        let error = broadcast(&AuthError {
            message: "User not found",
            details: "The account was deleted or deactivated",
            code: AuthErrorCode::UserNotFound,
            retry_after: None,
            timestamp: Timestamp::now(),
        });
        self.gateway.registry.for_user(user, |connection| {
            connection.push_json(&error);
            connection.close(Close::new(CloseCode::Policy, "Account deleted"));
        });
    }

    /// Only older connections go (of one dialect, if one is given): two that open at the same time must not close each other.
    fn replaced(&self, user: UserId, by: ConnectionRef, opened_at: Timestamp, only: Option<Dialect>) {
        let conflict = broadcast(&SessionConflict {
            message: "A newer connection replaced this one",
            timestamp: Timestamp::now(),
        });
        self.gateway.registry.for_user(user, |connection| {
            let own = self.gateway.reference(connection.id);
            let order = |at: Timestamp, id: ConnectionRef| (at, id.gateway.0, id.connection.0);
            let concerned = only.is_none_or(|dialect| dialect == connection.dialect);
            if concerned && connection.opened_at().is_some_and(|at| order(at, own) < order(opened_at, by)) {
                connection.push_json(&conflict);
                connection.close(Close::new(CloseCode::Normal, "Session conflict"));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    use shared::ids::{ConversationId, MessageId, TokenId};

    use crate::testing::{connection, gateway, speaking};

    const ALICE: UserId = UserId(1);

    #[tokio::test]
    async fn the_connections_of_a_deleted_account_end() {
        let (gateway, _queues) = gateway(&[]);
        let [hers, his] = [connection(1), connection(2)];
        gateway.registry.insert(&hers);
        gateway.registry.add_user(&hers, ALICE, 9);
        gateway.registry.insert(&his);
        gateway.registry.add_user(&his, UserId(2), 9);
        let mut deliverer = Deliverer::new(gateway.clone());
        let channel = gateway.keys.user_channel(ALICE);
        let departed = gateway.wire.publication(&channel, &Header::Departed, &[]);
        deliverer.publication(&channel, &Bytes::from(departed));
        assert_eq!(hers.signals().close, Some(Close::new(CloseCode::Policy, "Account deleted")));
        assert_eq!(his.signals().close, None);
    }

    #[tokio::test]
    async fn only_the_connections_of_a_revoked_token_end() {
        let (gateway, _queues) = gateway(&[]);
        let [ending, renewed, other] = [connection(1), connection(2), connection(3)];
        for (connection, token) in [(&ending, "revoked"), (&renewed, "revoked"), (&other, "other")] {
            gateway.registry.insert(connection);
            gateway.registry.add_user(connection, ALICE, 9);
            connection.expect_token(TokenHash::of(&TokenId(token.to_owned())));
        }
        renewed.expect_token(TokenHash::of(&TokenId("next".to_owned())));
        renewed.end_renewal(true);
        let mut deliverer = Deliverer::new(gateway.clone());
        let channel = gateway.keys.presence_channel();
        let revoked = gateway.wire.publication(
            &channel,
            &Header::Revoked { token: TokenHash::of(&TokenId("revoked".to_owned())) },
            &[],
        );
        deliverer.publication(&channel, &Bytes::from(revoked));
        deliverer.wake();
        assert_eq!(ending.signals().close, Some(Close::new(CloseCode::Policy, "Token revoked")));
        assert_eq!((renewed.signals().close, other.signals().close), (None, None));
    }

    /// Of a group of both dialects, with the sender among those of the older one.
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
            outgoing[0].frame.clone()
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
