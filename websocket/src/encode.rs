//! Outbound frames. A server's frames are unmasked, and ours are never fragmented.

use bytes::Bytes;

use crate::header::{FIN, MAX_CONTROL_BYTES, Opcode, RSV1};

/// The maximum size of a server's header: 2 bytes and 8 of length.
const MAX_SERVER_HEADER_BYTES: usize = 10;

/// An uncompressed text frame for one recipient. The payload must be UTF-8.
#[must_use]
pub fn text_frame(payload: &[u8]) -> Bytes {
    frame(Opcode::Text, false, &[payload])
}

/// A ping; a payload over 125 bytes is cut.
#[must_use]
pub fn ping_frame(payload: &[u8]) -> Bytes {
    control_frame(Opcode::Ping, payload)
}

/// A pong, which must carry the ping's payload. One over 125 bytes, which no decoded ping has, is cut.
#[must_use]
pub fn pong_frame(payload: &[u8]) -> Bytes {
    control_frame(Opcode::Pong, payload)
}

/// A close frame with a code and a reason, which is cut after 123 bytes at the latest; or, with `None`, an empty one.
/// The content of [`Message::Close`](crate::Message::Close) can be echoed with it unchanged.
#[must_use]
pub fn close_frame(close: Option<(u16, &str)>) -> Bytes {
    let Some((code, reason)) = close else {
        return control_frame(Opcode::Close, &[]);
    };
    let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL_BYTES - 2)];
    frame(Opcode::Close, false, &[&code.to_be_bytes(), reason.as_bytes()])
}

fn control_frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let payload = payload.get(..MAX_CONTROL_BYTES).unwrap_or(payload);
    frame(opcode, false, &[payload])
}

/// Header and payload in one allocation of exactly their size.
pub(crate) fn frame(opcode: Opcode, compressed: bool, parts: &[&[u8]]) -> Bytes {
    let payload_bytes = parts.iter().map(|part| part.len()).sum();
    let (header, header_bytes) = header(opcode, compressed, payload_bytes);
    let mut frame = Vec::with_capacity(header_bytes + payload_bytes);
    frame.extend_from_slice(&header[..header_bytes]);
    for part in parts {
        frame.extend_from_slice(part);
    }
    Bytes::from(frame)
}

/// The header, and its length.
fn header(opcode: Opcode, compressed: bool, payload_bytes: usize) -> ([u8; MAX_SERVER_HEADER_BYTES], usize) {
    let mut header = [0; MAX_SERVER_HEADER_BYTES];
    header[0] = FIN | if compressed { RSV1 } else { 0 } | opcode as u8;
    let header_bytes = match payload_bytes {
        0..=125 => {
            header[1] = payload_bytes as u8;
            2
        }
        126..=0xffff => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
            4
        }
        _ => {
            header[1] = 127;
            header[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
            10
        }
    };
    (header, header_bytes)
}

/// Where the payload begins in a frame made by [`frame`].
pub(crate) fn payload_start(payload_bytes: usize) -> usize {
    header(Opcode::Text, false, payload_bytes).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_encoded_in_the_fewest_bytes() {
        let start = |length: usize| text_frame(&vec![b'x'; length])[..].to_vec();
        assert_eq!(start(0), [0x81, 0]);
        assert_eq!(start(125)[..2], [0x81, 125]);
        assert_eq!(start(126)[..4], [0x81, 126, 0, 126]);
        assert_eq!(start(65535)[..4], [0x81, 126, 0xff, 0xff]);
        assert_eq!(start(65536)[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        for length in [0, 125, 126, 65535, 65536] {
            assert_eq!(start(length).len(), payload_start(length) + length);
        }
    }

    #[test]
    fn control_frames() {
        assert_eq!(ping_frame(b"")[..], [0x89, 0]);
        assert_eq!(pong_frame(b"ab")[..], [0x8a, 2, b'a', b'b']);
        assert_eq!(ping_frame(&[7; 200]).len(), 2 + 125);
        assert_eq!(close_frame(None)[..], [0x88, 0]);
        assert_eq!(close_frame(Some((1001, "x")))[..], [0x88, 3, 0x03, 0xe9, b'x']);
    }

    #[test]
    fn a_long_close_reason_is_cut_between_characters() {
        // 123 is not a multiple of 2.
        let frame = close_frame(Some((1008, &"é".repeat(100))));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }
}
