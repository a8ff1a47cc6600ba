//! What streams and rows hold: sealed content, and the envelope of a stream's entry.

use std::hint::black_box;

use shared::clock::Timestamp;
use shared::commands::{Command, SendPrivateMessage};
use shared::crypto::{EncryptionSettings, Keyring};
use shared::ids::{ConnectionId, ConnectionRef, GatewayId, UserId};
use shared::metadata::MetadataField;
use shared::stream::{Body, Envelope};
use shared::wire::{Wire, WireFormat};
use uuid::Uuid;

use crate::Call;

const ID: Uuid = Uuid::from_u128(0x0190_a1b2_c3d4_7e5f_8a9b_0c1d_2e3f_4a5b);
/// The content of a message, and the sealed body of a stream's entry.
const CONTENT: [u8; 200] = [b'x'; 200];

fn keyring() -> Keyring {
    let settings = EncryptionSettings::list("1:only for benchmarks", "salt", None);
    settings.and_then(|settings| Keyring::derive(&settings)).expect("usable settings")
}

const STREAM: &str = "commands:{17}:17";

fn wire() -> Wire {
    Wire::new(keyring(), WireFormat::Two)
}

fn body() -> Body {
    let command = SendPrivateMessage {
        recipient: UserId(7_654_321),
        content: String::from_utf8_lossy(&CONTENT).into_owned(),
        reply_to: None,
        client_message_id: None,
        metadata: MetadataField::Absent,
    };
    Body::Client(Command::SendPrivateMessage(command))
}

pub fn seal_content() -> Call {
    let keyring = keyring();
    Box::new(move || {
        black_box(keyring.seal(ID, black_box(&CONTENT)));
    })
}

pub fn open_content() -> Call {
    let keyring = keyring();
    let sealed = keyring.seal(ID, &CONTENT);
    Box::new(move || {
        let opened = black_box(keyring.open_sealed(ID, black_box(&sealed)));
        assert!(opened.is_ok());
    })
}

fn envelope() -> Envelope {
    Envelope {
        id: ID,
        name: "send_private_message".to_owned(),
        user: UserId(1_234_567),
        reply_to: ConnectionRef { gateway: GatewayId(ID), connection: ConnectionId(4_321) },
        request_id: None,
        ingested_at: Timestamp(1_750_000_000_000),
        deadline: Timestamp(1_750_000_030_000),
        hops: 0,
        trace: None,
    }
}

/// With its body, sealed and authenticated.
pub fn seal_entry() -> Call {
    let (wire, envelope, body) = (wire(), envelope(), body());
    Box::new(move || {
        black_box(wire.entry(STREAM, black_box(&envelope), black_box(&body)));
    })
}

/// With its body.
pub fn open_entry() -> Call {
    let wire = wire();
    let entry = wire.entry(STREAM, &envelope(), &body());
    Box::new(move || {
        let decoded = black_box(wire.open_entry(STREAM, black_box(&entry)));
        assert!(decoded.is_ok());
    })
}
