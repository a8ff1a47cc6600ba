//! Entries and publications: who can read which format, and that no byte of them can be changed.

use super::*;
use crate::commands::{Command, SendPrivateMessage};
use crate::crypto::EncryptionSettings;
use crate::ids::{ConnectionId, GatewayId};
use crate::metadata::MetadataField;
use crate::publication::{EventHeader, Receipt};

const STREAM: &str = "stream";
const CHANNEL: &str = "channel";

fn keyring(keys: &str) -> Keyring {
    Keyring::derive(&EncryptionSettings::list(keys, "salt", None).unwrap()).unwrap()
}

fn wire(keys: &str, format: WireFormat) -> Wire {
    Wire::new(keyring(keys), format)
}

fn command() -> (Envelope, Body) {
    let send = SendPrivateMessage {
        recipient: UserId(2),
        content: "hello".to_owned(),
        reply_to: None,
        client_message_id: None,
        metadata: MetadataField::Absent,
    };
    let body = Body::Client(Command::SendPrivateMessage(send));
    let envelope = Envelope {
        id: Uuid::from_u128(7),
        name: body.name().to_owned(),
        user: UserId(1),
        reply_to: ConnectionRef { gateway: GatewayId(Uuid::from_u128(8)), connection: ConnectionId(9) },
        request_id: None,
        ingested_at: Timestamp(1),
        deadline: Timestamp(2),
        hops: 0,
        trace: None,
    };
    (envelope, body)
}

fn event() -> Header {
    Header::Event(EventHeader::new(Receipt::None))
}

/// Signs bytes like a version of the program that writes `format`.
fn signed(wire: &Wire, medium: Medium<'_>, format: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = wire.begin(0);
    bytes[0] = format;
    bytes.extend_from_slice(rest);
    wire.sign(medium, &mut bytes);
    bytes
}

#[test]
fn each_format_is_read_by_those_who_may() {
    let [one, both, two] = [WireFormat::One, WireFormat::Both, WireFormat::Two].map(|format| wire("1:key", format));
    let (envelope, body) = command();
    for writer in [&one, &both, &two] {
        let entry = writer.entry(STREAM, &envelope, &body);
        let publication = writer.publication(CHANNEL, &event(), b"{}");
        assert_eq!(peek_envelope(&entry).as_ref(), Ok(&envelope));
        for reader in [&one, &both] {
            assert_eq!(reader.open_entry(STREAM, &entry), Ok((envelope.clone(), body.clone())));
            let (header, offset) = reader.open_publication(CHANNEL, &publication).unwrap();
            assert_eq!((header, &publication[offset..]), (event(), &b"{}"[..]));
        }
    }
    assert_eq!(two.open_entry(STREAM, &one.entry(STREAM, &envelope, &body)), Err(DecodeError::Unverified));
    let publication = one.publication(CHANNEL, &event(), b"{}");
    assert_eq!(two.open_publication(CHANNEL, &publication), Err(Unreadable::Unverified));
    assert!(two.open_entry(STREAM, &both.entry(STREAM, &envelope, &body)).is_ok());
}

#[test]
fn no_byte_of_an_entry_or_publication_can_be_changed() {
    let wire = wire("1:key", WireFormat::Two);
    let (envelope, body) = command();
    let entry = wire.entry(STREAM, &envelope, &body);
    let publication = wire.publication(CHANNEL, &event(), b"{}");
    for at in 0..entry.len() {
        let mut changed = entry.clone();
        changed[at] ^= 1;
        assert!(matches!(wire.open_entry(STREAM, &changed), Err(DecodeError::Forged(_))), "byte {at}");
        assert!(wire.open_entry(STREAM, &entry[..at]).is_err(), "cut at {at}");
    }
    for at in 0..publication.len() {
        let mut changed = publication.clone();
        changed[at] ^= 1;
        assert!(matches!(wire.open_publication(CHANNEL, &changed), Err(Unreadable::Forged(_))), "byte {at}");
        assert!(wire.open_publication(CHANNEL, &publication[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn nothing_is_valid_in_another_place() {
    let wire = wire("1:key", WireFormat::Two);
    let (envelope, body) = command();
    let entry = wire.entry(STREAM, &envelope, &body);
    let publication = wire.publication(CHANNEL, &event(), b"{}");
    let moved = Err(DecodeError::Forged(TagError::Mismatch));
    assert_eq!(wire.open_entry("other", &entry), moved);
    assert_eq!(wire.open_publication("other", &publication), Err(Unreadable::Forged(TagError::Mismatch)));
    // Not even under the same name.
    assert_eq!(wire.open_publication(STREAM, &entry), Err(Unreadable::Forged(TagError::Mismatch)));
    assert_eq!(wire.open_entry(CHANNEL, &publication), Err(DecodeError::Forged(TagError::Mismatch)));
}

#[test]
fn no_member_of_a_set_can_be_made_changed_or_moved() {
    let [wire, other] = ["1:key", "1:other"].map(|keys| wire(keys, WireFormat::Two));
    let (set, text) = ("typing", "1:conv_1_2:a:b_\u{fc} ");
    let member = wire.member(set, text);
    assert_eq!((wire.member_text(set, &member), &wire.member(set, text)), (Some(text), &member));
    assert_eq!(wire.member_text("other", &member), None);
    assert_eq!(other.member_text(set, &member), None);
    for made_up in
        [text, "", ":", ".:", "1.:x", &format!("1.{}:{text}", "0".repeat(32)), &member.replace("conv_1", "conv_3")]
    {
        assert_eq!(wire.member_text(set, made_up), None, "{made_up}");
    }
    for (at, byte) in member.bytes().enumerate().filter(|(_, byte)| byte.is_ascii()) {
        let mut changed = member.clone().into_bytes();
        changed[at] = byte ^ 1;
        assert_eq!(wire.member_text(set, &String::from_utf8(changed).unwrap()), None, "byte {at}");
    }
    // What else is tagged under the same name is no member.
    let [member, entry] = [Medium::Member(set), Medium::Stream(set)].map(|medium| wire.keyring.tag(medium, &[b"x"]));
    assert_ne!(member, entry);
    let [old, prepared, new] = ["1:key", "1:key,2:new", "2:new,1:key"].map(|keys| self::wire(keys, WireFormat::Two));
    assert!(
        new.member_text(set, &old.member(set, text)).is_some()
            && prepared.member_text(set, &new.member(set, text)).is_some()
    );
}

#[test]
fn keys_are_rotated_as_those_at_rest() {
    let [old, prepared, new] = ["1:old", "1:old,2:new", "2:new,1:old"].map(|keys| wire(keys, WireFormat::Two));
    let (envelope, body) = command();
    let entry = new.entry(STREAM, &envelope, &body);
    assert!(prepared.open_entry(STREAM, &entry).is_ok());
    assert!(new.open_entry(STREAM, &old.entry(STREAM, &envelope, &body)).is_ok());
    assert_eq!(old.open_entry(STREAM, &entry), Err(DecodeError::Forged(TagError::UnknownKey(2))));
}

#[test]
fn what_a_later_version_wrote_is_told_from_a_forgery() {
    let [wire, other] = ["1:key", "1:other"].map(|keys| wire(keys, WireFormat::Two));
    let rest = [&5i64.to_be_bytes()[..], b"whatever it may be"].concat();
    let entry = signed(&wire, Medium::Stream(STREAM), 3, &rest);
    assert_eq!(wire.open_entry(STREAM, &entry), Err(DecodeError::TooNew { deadline: Timestamp(5) }));
    assert_eq!(other.open_entry(STREAM, &entry), Err(DecodeError::Forged(TagError::Mismatch)));
    let publication = signed(&wire, Medium::Channel(CHANNEL), 3, b"whatever it may be");
    assert_eq!(wire.open_publication(CHANNEL, &publication), Err(Unreadable::TooNew));
    assert_eq!(other.open_publication(CHANNEL, &publication), Err(Unreadable::Forged(TagError::Mismatch)));
    // A variant that only a later version has.
    let publication = signed(&wire, Medium::Channel(CHANNEL), FORMAT_2, &[100, 0, 0]);
    assert_eq!(wire.open_publication(CHANNEL, &publication), Err(Unreadable::TooNew));
    let (envelope, _) = command();
    let entry = wire.entry_2(STREAM, &envelope, &[0, 100, 1]);
    assert_eq!(wire.open_entry(STREAM, &entry), Err(DecodeError::TooNew { deadline: envelope.deadline }));
}

#[test]
fn a_command_whose_name_is_not_its_bodys_is_not_read() {
    let (envelope, body) = command();
    let renamed = Envelope { name: "send_group_message".to_owned(), ..envelope };
    for format in [WireFormat::One, WireFormat::Two] {
        let wire = wire("1:key", format);
        let entry = wire.entry(STREAM, &renamed, &body);
        assert_eq!(wire.open_entry(STREAM, &entry), Err(DecodeError::TooNew { deadline: renamed.deadline }));
    }
}

#[test]
fn fields_can_be_appended_to_the_envelope() {
    let wire = wire("1:key", WireFormat::Two);
    let (envelope, body) = command();
    let mut entry = wire.entry(STREAM, &envelope, &body);
    let length_at = PREAMBLE_BYTES + DEADLINE_BYTES;
    let length = u16::from_be_bytes([entry[length_at], entry[length_at + 1]]);
    let appended = b"\x01trace";
    let end = length_at + LENGTH_BYTES + usize::from(length);
    entry.splice(end..end, *appended);
    entry[length_at..length_at + LENGTH_BYTES].copy_from_slice(&(length + appended.len() as u16).to_be_bytes());
    entry[PREAMBLE_BYTES - TAG_BYTES..PREAMBLE_BYTES].fill(0);
    wire.sign(Medium::Stream(STREAM), &mut entry);
    assert_eq!(wire.open_entry(STREAM, &entry), Ok((envelope, body)));
}

#[test]
fn nothing_else_that_is_sealed_passes_for_an_outcome() {
    let [one, both, two] = [WireFormat::One, WireFormat::Both, WireFormat::Two].map(|format| wire("1:key", format));
    let id = Uuid::from_u128(7);
    let content = two.keyring.seal_blob(id, b"a message's content");
    assert!(two.open_outcome(id, &content).is_err());
    assert!(two.open_window(id, &two.seal_outcome(id, b"x")).is_err());
    for writer in [&one, &both] {
        let sealed = writer.seal_outcome(id, b"x");
        assert_eq!(
            [&one, &both].map(|reader| reader.open_outcome(id, &sealed)),
            [Ok(b"x".to_vec()), Ok(b"x".to_vec())]
        );
    }
    assert_eq!(two.open_outcome(id, &both.seal_outcome(id, b"x")), Ok(b"x".to_vec()));
    // Release 0.1 can read it.
    assert_eq!(one.keyring.open_blob(id, &one.seal_outcome(id, b"x")), Ok(b"x".to_vec()));
}
