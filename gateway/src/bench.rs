//! The path of one event through a gateway, from its publication to the sessions, for benchmarks and the test that
//! counts allocations. Only compiled with the feature `bench`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use shared::ids::{ConversationId, GroupId, MessageId, UserId};
use shared::publication::{EventHeader, Header, Receipt};
use shared::wire::Wire;
use uuid::Uuid;

use crate::connection::Connection;
use crate::connection::outbox::Outgoing;
use crate::egress::deliver::Deliverer;
use crate::gateway::Queues;
use crate::testing;

pub use crate::session::decode::decode;

const GROUP: GroupId = GroupId(Uuid::from_u128(3));
/// Large enough that every number takes the same number of bytes in a publication.
const FIRST_SEQ: i64 = 1_000_000;

/// A group whose members are all connected here, each with a session that is read immediately.
pub struct FanOut {
    deliverer: Deliverer,
    channel: String,
    wire: Wire,
    connections: Vec<Arc<Connection>>,
    payload: Vec<u8>,
    next_seq: i64,
    /// What a session takes out to write; all share one, since they write one after the other.
    writing: VecDeque<Outgoing>,
    /// Held so that the queues accept what is put into them.
    _queues: Queues,
}

impl FanOut {
    /// Blocks for the key derivation of a gateway.
    pub fn new(connections: usize, payload: &[u8]) -> Self {
        let (gateway, queues) = testing::gateway(&[]);
        let member = |n: usize| {
            let connection = testing::connection(n as u64);
            gateway.registry.insert(&connection);
            gateway.registry.add_user(&connection, UserId(n as i64), 1);
            gateway.registry.add_groups(&connection, &[GROUP]);
            connection.release();
            connection.register(Waker::noop());
            connection
        };
        FanOut {
            channel: gateway.keys.group_channel(GROUP),
            wire: gateway.wire.clone(),
            connections: (1..=connections).map(member).collect(),
            payload: payload.to_vec(),
            next_seq: FIRST_SEQ,
            writing: VecDeque::new(),
            deliverer: Deliverer::new(gateway),
            _queues: queues,
        }
    }

    /// Publishes the group's next message and writes what the sessions then have; returns the number of frames.
    pub fn deliver(&mut self) -> usize {
        let publication = self.publication();
        self.deliverer.publication(&self.channel, &publication);
        self.deliverer.wake();
        self.write()
    }

    /// Gives each publication the next number; a repetition would not be delivered.
    fn publication(&mut self) -> Bytes {
        let seq = self.next_seq;
        self.next_seq += 1;
        let message = MessageId(Uuid::from_u128(5));
        let receipt = Receipt::Message { conversation: ConversationId::Group(GROUP), seq, sender: UserId(1), message };
        Bytes::from(self.wire.publication(&self.channel, &Header::Event(EventHeader::new(receipt)), &self.payload))
    }

    /// Does what sessions do, without their sockets.
    fn write(&mut self) -> usize {
        let mut frames = 0;
        for connection in &self.connections {
            connection.register(Waker::noop());
            connection.take_outgoing(&mut self.writing);
            frames += self.writing.len();
            let bytes = self.writing.iter().map(|item| item.bytes.len()).sum();
            connection.written(bytes, self.writing.len(), &mut self.writing);
        }
        frames
    }
}
