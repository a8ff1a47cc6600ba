//! From a client's bytes to a command.

use std::hint::black_box;

use gateway::bench::decode;
use shared::dialects::Dialect;
use shared::ids::UserId;
use shared::limits::Limits;
use websocket::{Decoder, Message, PreparedText};

use crate::Call;

const LIMIT_BYTES: u32 = 1 << 20;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const TEXT: u8 = 0x81;
const COMPRESSED_TEXT: u8 = 0xc1;

/// A direct message with 200 characters of content.
fn command() -> String {
    let content = "All the way from alice to bob. ".repeat(7);
    let content = &content[..200];
    format!(
        r#"{{"type":"send_private_message","requestId":"r-17","recipientId":2,"clientMessageId":"0190a1b2-7c3e","content":"{content}"}}"#
    )
}

/// One frame: unmasked, checked to be UTF-8, parsed, and checked against its command's schema.
pub fn decode_command() -> Call {
    let frame = client_frame(TEXT, command().as_bytes());
    let mut decoder = Decoder::new(LIMIT_BYTES, true);
    let (mut buffer, limits) = (frame.clone(), Limits::default());
    Box::new(move || {
        // Unmasking changed it.
        buffer.copy_from_slice(&frame);
        let mut feed = decoder.feed(black_box(&mut buffer));
        let Ok(Some(Message::Text(text))) = feed.next_message() else { panic!("no text") };
        let decoded = black_box(decode(text, Dialect::ChatV1, Some(UserId(1)), &limits));
        assert!(decoded.is_ok());
    })
}

/// One compressed frame with a command of 1 KiB, up to its text.
pub fn inflate_frame() -> Call {
    let text: String = command().chars().cycle().take(1024).collect();
    let compressed = PreparedText::new(text.as_bytes()).frame(true);
    // The header of a frame with a payload from 126 to 65,535 bytes has four.
    assert_eq!(compressed[..2], [COMPRESSED_TEXT, 126]);
    let frame = client_frame(COMPRESSED_TEXT, &compressed[4..]);
    let mut decoder = Decoder::new(LIMIT_BYTES, true);
    let mut buffer = frame.clone();
    Box::new(move || {
        buffer.copy_from_slice(&frame);
        let mut feed = decoder.feed(black_box(&mut buffer));
        let Ok(Some(Message::Text(inflated))) = feed.next_message() else { panic!("no text") };
        assert_eq!(black_box(inflated).len(), text.len());
    })
}

fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a short payload");
    let mut frame = match length {
        0..=125 => vec![first, 0x80 | length as u8],
        _ => [&[first, 0x80 | 126][..], &length.to_be_bytes()].concat(),
    };
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}
