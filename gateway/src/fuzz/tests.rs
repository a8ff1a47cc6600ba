//! Runs the router with random series of publications, most of which concern a connection, and with the fuzzer's seeds.

use std::path::Path;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use shared::clock::Timestamp;
use shared::crypto::{EncryptionSettings, Keyring};
use shared::ids::{ConnectionId, ConnectionRef, ConversationId, MessageId, TokenId};
use shared::publication::{EventHeader, Report, ReportedMessages};
use shared::wire::{Wire, WireFormat};

use crate::fuzz::*;

fn user() -> impl Strategy<Value = UserId> {
    (1..=4i64).prop_map(UserId)
}

fn group() -> impl Strategy<Value = GroupId> {
    prop::sample::select(vec![FRIENDS, OTHERS, GroupId(Uuid::from_u128(4))])
}

fn conversation() -> impl Strategy<Value = ConversationId> {
    prop_oneof![
        (user(), user()).prop_map(|(one, other)| ConversationId::direct(one, other)),
        group().prop_map(ConversationId::Group),
    ]
}

fn seq() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 1..6i64, 1 => any::<i64>(), 1 => Just(i64::MAX), 1 => Just(i64::MIN)]
}

fn uuid() -> impl Strategy<Value = Uuid> {
    (1..=5u128).prop_map(Uuid::from_u128)
}

fn reference() -> impl Strategy<Value = ConnectionRef> {
    let gateway = prop_oneof![4 => Just(OWN), 1 => Just(GatewayId(Uuid::from_u128(9)))];
    (gateway, 1..=6u64)
        .prop_map(|(gateway, connection)| ConnectionRef { gateway, connection: ConnectionId(connection) })
}

fn receipt() -> impl Strategy<Value = Receipt> {
    let message = (conversation(), seq(), user(), uuid());
    prop_oneof![
        3 => message.prop_map(|(conversation, seq, sender, message)| {
            Receipt::Message { conversation, seq, sender, message: MessageId(message) }
        }),
        1 => uuid().prop_map(|event| Receipt::Durable { event }),
        1 => Just(Receipt::None),
    ]
}

/// Format 1 can be damaged and still be read.
static WIRE: LazyLock<Wire> = LazyLock::new(|| {
    let settings = EncryptionSettings::single("unused, since format 1 is not authenticated", "salt");
    Wire::new(Keyring::derive(&settings).unwrap(), WireFormat::One)
});

fn event() -> impl Strategy<Value = EventHeader> {
    (receipt(), prop::option::of(reference()), vec(user(), 0..2))
        .prop_map(|(receipt, exclude, exclude_users)| EventHeader { receipt, exclude, exclude_users })
}

fn report() -> impl Strategy<Value = Vec<u8>> {
    let messages = (conversation(), seq(), seq(), any::<u32>()).prop_map(|(conversation, first, last, age_ms)| {
        ReportedMessages { conversation, first, last, first_age_ms: age_ms, last_age_ms: age_ms / 2 }
    });
    (vec(messages, 0..3), vec((user(), uuid()), 0..3)).prop_map(|(messages, events)| {
        let report = Report { messages, events };
        WIRE.publication("", &Header::Report, &postcard::to_stdvec(&report).unwrap())
    })
}

fn header() -> impl Strategy<Value = Header> {
    let answer = (1..=6u64, uuid(), any::<bool>()).prop_map(|(connection, command, is_last)| {
        let connection = ConnectionId(connection);
        if is_last { Header::Answer { connection, command } } else { Header::AnswerPart { connection, command } }
    });
    prop_oneof![
        2 => answer,
        1 => uuid().prop_map(|command| Header::Internal { command }),
        6 => event().prop_map(Header::Event),
        2 => (reference(), uuid(), 0..20u32, event())
            .prop_map(|(to, command, bytes, event)| Header::AnswerAndEvent { to, command, bytes, event }),
        2 => (prop::collection::vec(1..=4i64, 1..3), 0..20u32, event()).prop_map(|(users, bytes, event)| {
            Header::ReducedFor { users: users.into_iter().map(UserId).collect(), bytes, event }
        }),
        1 => group().prop_map(|group| Header::Joined { group }),
        1 => group().prop_map(|group| Header::Left { group }),
        1 => (reference(), 0..3i64).prop_map(|(by, at)| Header::Replaced { by, opened_at: Timestamp(at) }),
        1 => (1..=4u8).prop_map(|user| Header::Revoked { token: TokenHash::of(&TokenId(user.to_string())) }),
        1 => any::<i64>().prop_map(|at| Header::Probe { sent_at: Timestamp(at) }),
        1 => prop::sample::select(vec![Header::Kicked, Header::Drain, Header::Report]),
    ]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    // The long ones are compressed for those who can, and three fill an outbox.
    let length = prop_oneof![8 => 0..30usize, 2 => 400..600usize, 1 => Just(1100usize)];
    (length, any::<u8>()).prop_map(|(length, letter)| vec![b'a' + letter % 26; length])
}

/// A step in the fuzzer's form, sometimes damaged.
fn step() -> impl Strategy<Value = Vec<u8>> {
    let encoded = (header(), payload()).prop_map(|(header, payload)| WIRE.publication("", &header, &payload));
    let publication = prop_oneof![9 => encoded, 1 => report()];
    let damage = prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>(), 0..200usize));
    (any::<u8>(), 0..9u8, publication, damage).prop_map(|(flags, channel, mut publication, damage)| {
        if let Some((at, byte, cut)) = damage {
            let at = at.index(publication.len());
            publication[at] = byte;
            publication.truncate(cut.max(1));
        }
        let length = u16::try_from(publication.len()).unwrap().to_be_bytes();
        [&[flags, channel][..], &length, &publication].concat()
    })
}

proptest! {
    #[test]
    fn everybody_gets_what_is_theirs(steps in vec(step(), 1..40)) {
        fuzz_router(&steps.concat());
    }

    #[test]
    fn garbage_breaks_nothing(data in vec(any::<u8>(), 0..300)) {
        fuzz_router(&data);
    }
}

#[test]
fn the_seeds_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testing/fuzz/seeds/router");
    let seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|seed| seed.unwrap().path()).collect();
    assert!(seeds.len() >= 4);
    seeds.iter().for_each(|seed| fuzz_router(&std::fs::read(seed).unwrap()));
}
