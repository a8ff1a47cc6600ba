//! What applying a command sends, and to whom: the answer, events, and control publications for gateways. Nothing here
//! sends anything; `publish` does, after the commit.

use serde::{Deserialize, Serialize};
use shared::events::{self, Event};
use shared::ids::{ConnectionRef, ConversationId, GroupId, UserId};
use shared::publication::{EventHeader, Header, Receipt};
use shared::stream::{Envelope, InternalReply, SyncRound};
use uuid::Uuid;

/// Who gets a publication. Stored in outcomes: append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Audience {
    /// One connection's gateway.
    Gateway(shared::ids::GatewayId),
    User(UserId),
    Group(GroupId),
    /// Every connected user.
    Everybody,
    /// Each of these users, on their own channels.
    Users(Vec<UserId>),
    /// One connection's gateway, through the connection reserved for large answers.
    Answers(shared::ids::GatewayId),
}

/// One message for one channel, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    pub audience: Audience,
    pub header: Header,
    pub payload: Vec<u8>,
}

/// Everything that applying one command sends, in order. Stored with the command, so that a redelivery sends it again;
/// therefore the encoding never changes, and the tests of this module pin it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub publications: Vec<Publication>,
}

impl Outcome {
    /// The direct answer to the command.
    pub fn answered<E: Event>(envelope: &Envelope, event: &E) -> Self {
        let mut outcome = Outcome::default();
        outcome.answer(envelope, events::answer(event, envelope.request_id.as_ref()));
        outcome
    }

    /// A direct answer as finished JSON.
    pub fn answer(&mut self, envelope: &Envelope, payload: Vec<u8>) {
        let header = Header::Answer { connection: envelope.reply_to.connection, command: envelope.id };
        self.publications.push(Publication { audience: Audience::Gateway(envelope.reply_to.gateway), header, payload });
    }

    /// The same outcome with the answer sent to the gateway of this envelope, since a backend may repeat a request at
    /// another gateway.
    pub fn readdressed(mut self, envelope: &Envelope) -> Self {
        for publication in &mut self.publications {
            let (Header::Answer { command, .. } | Header::Internal { command }) = publication.header else { continue };
            if command == envelope.id {
                publication.audience = Audience::Gateway(envelope.reply_to.gateway);
            }
        }
        self
    }

    /// One part of a direct answer, as finished JSON; more follows.
    pub fn answer_part(&mut self, envelope: &Envelope, payload: Vec<u8>) {
        let header = Header::AnswerPart { connection: envelope.reply_to.connection, command: envelope.id };
        self.publications.push(Publication { audience: Audience::Gateway(envelope.reply_to.gateway), header, payload });
    }

    /// The rest of a `sync`, which the gateway sends again.
    pub fn answer_continues(&mut self, envelope: &Envelope, left: &SyncRound) {
        let header = Header::AnswerContinues { connection: envelope.reply_to.connection, command: envelope.id };
        // Serialising plain values into memory cannot fail.
        let payload = postcard::to_stdvec(left).unwrap_or_default();
        self.publications.push(Publication { audience: Audience::Gateway(envelope.reply_to.gateway), header, payload });
    }

    /// The reply to a gateway's own request.
    pub fn reply(envelope: &Envelope, reply: &InternalReply) -> Self {
        let publication = Publication {
            audience: Audience::Gateway(envelope.reply_to.gateway),
            header: Header::Internal { command: envelope.id },
            payload: postcard::to_stdvec(reply).unwrap_or_default(),
        };
        Outcome { publications: vec![publication] }
    }

    /// An event as finished JSON. The connection that sent the command, on its user's channel, gets the answer first.
    pub fn answer_and_event(&mut self, envelope: &Envelope, answer: &[u8], receipt: Receipt, event: &[u8]) {
        let header = Header::AnswerAndEvent {
            to: envelope.reply_to,
            command: envelope.id,
            bytes: answer.len() as u32,
            event: EventHeader::new(receipt),
        };
        let payload = [answer, event].concat();
        self.publications.push(Publication { audience: Audience::User(envelope.user), header, payload });
    }

    /// An event that may be lost.
    pub fn ephemeral<E: Event>(&mut self, audience: Audience, event: &E, exclude: Option<ConnectionRef>) {
        self.event(audience, Receipt::None, events::broadcast(event), exclude);
    }

    /// A durable event; its rows must be in the queue already, see [`crate::store::events`].
    pub fn durable<E: Event>(&mut self, audience: Audience, event_id: Uuid, event: &E, exclude: Option<ConnectionRef>) {
        self.event(audience, Receipt::Durable { event: event_id }, events::durable(event, event_id), exclude);
    }

    /// An event as finished JSON.
    pub fn event(&mut self, audience: Audience, receipt: Receipt, payload: Vec<u8>, exclude: Option<ConnectionRef>) {
        let header = Header::Event(EventHeader { exclude, ..EventHeader::new(receipt) });
        self.publications.push(Publication { audience, header, payload });
    }

    /// An event as finished JSON, of which these users get a reduced form.
    pub fn reduced_for(
        &mut self,
        audience: Audience,
        receipt: Receipt,
        users: Vec<UserId>,
        reduced: &[u8],
        whole: &[u8],
    ) {
        let header = Header::ReducedFor { users, bytes: reduced.len() as u32, event: EventHeader::new(receipt) };
        self.publications.push(Publication { audience, header, payload: [reduced, whole].concat() });
    }

    /// A durable event for an audience except some of its users, who get it in another way or must not get it.
    pub fn durable_except<E: Event>(
        &mut self,
        audience: Audience,
        event_id: Uuid,
        event: &E,
        exclude: Option<ConnectionRef>,
        exclude_users: Vec<UserId>,
    ) {
        let header = EventHeader { receipt: Receipt::Durable { event: event_id }, exclude, exclude_users };
        let payload = events::durable(event, event_id);
        self.publications.push(Publication { audience, header: Header::Event(header), payload });
    }

    /// Makes these users' gateways follow the group's channel.
    pub fn joined(&mut self, group: GroupId, users: Vec<UserId>) {
        self.control(users, Header::Joined { group });
    }

    /// Makes these users' gateways leave the group's channel.
    pub fn left(&mut self, group: GroupId, users: Vec<UserId>) {
        self.control(users, Header::Left { group });
    }

    fn control(&mut self, users: Vec<UserId>, header: Header) {
        if !users.is_empty() {
            self.publications.push(Publication { audience: Audience::Users(users), header, payload: Vec::new() });
        }
    }
}

/// The audiences that together are all participants of a conversation.
pub fn participants(conversation: ConversationId) -> Vec<Audience> {
    match conversation {
        ConversationId::Direct(a, b) => vec![Audience::User(a), Audience::User(b)],
        ConversationId::Group(group) => vec![Audience::Group(group)],
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::{ConnectionId, GatewayId};

    use super::*;
    use crate::golden;

    /// Outcomes are kept for days, and a redelivery to a worker of another version publishes them again.
    #[test]
    fn outcomes_keep_their_golden_bytes() {
        let id = Uuid::from_u128(0x0190_a1b2_c3d4_7e5f_8a9b_0c1d_2e3f_4a5b);
        let (gateway, group, user) = (GatewayId(id), GroupId(id), UserId(17));
        let to = |audience, header: Header| Outcome {
            publications: vec![Publication { audience, header, payload: b"{}".to_vec() }],
        };
        let answer = Header::Answer { connection: ConnectionId(9), command: id };
        let mut several = to(Audience::Gateway(gateway), answer.clone());
        several.joined(group, vec![user]);
        let outcomes = [
            ("Gateway", to(Audience::Gateway(gateway), answer.clone())),
            ("User", to(Audience::User(user), Header::Kicked)),
            ("Group", to(Audience::Group(group), Header::Left { group })),
            ("Everybody", to(Audience::Everybody, Header::Event(EventHeader::new(Receipt::None)))),
            ("Users", to(Audience::Users(vec![user, UserId(300)]), Header::Joined { group })),
            ("several", several),
            ("none", Outcome::default()),
            ("Answers", to(Audience::Answers(gateway), answer)),
        ];
        for (name, outcome) in &outcomes {
            // Fails to compile if an audience is missing above.
            let first = outcome.publications.first().map(|publication| match publication.audience {
                Audience::Gateway(_) => "Gateway",
                Audience::User(_) => "User",
                Audience::Group(_) => "Group",
                Audience::Everybody => "Everybody",
                Audience::Users(_) => "Users",
                Audience::Answers(_) => "Answers",
            });
            assert!(first.is_none_or(|first| first == *name || *name == "several"), "{name}");
        }
        let encode = |outcome: &Outcome| postcard::to_stdvec(outcome).unwrap_or_default();
        golden::pin("outcome.txt", &outcomes, encode, |bytes| postcard::from_bytes(bytes).ok());
    }
}
