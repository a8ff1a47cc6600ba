//! The entry point for fuzzers and property tests: sends arbitrary bytes through the decoder, and asserts its
//! invariants.

use crate::{Decoder, Message};

/// Splits `data` into settings and a client's bytes, decodes these in one piece and in many, and asserts that both have
/// the same result, that no message exceeds the limit, and that memory stays bounded.
///
/// # Panics
/// When an invariant is broken, which the fuzzer then reports.
pub fn fuzz_decoder(data: &[u8]) {
    let &[settings, step, ref stream @ ..] = data else {
        return;
    };
    let deflate = settings & 1 != 0;
    let limit_bytes = 1 << (settings >> 1).min(20);
    let whole = decode(stream, stream.len().max(1), limit_bytes, deflate);
    let pieces = decode(stream, usize::from(step).max(1), limit_bytes, deflate);
    assert_eq!(whole, pieces);
}

/// All messages, and the error if there was one, as text.
fn decode(stream: &[u8], step: usize, limit_bytes: u32, deflate: bool) -> Vec<String> {
    let mut seen = Vec::new();
    let mut decoder = Decoder::new(limit_bytes, deflate);
    let limit = limit_bytes as usize;
    for piece in stream.chunks(step) {
        let mut input = piece.to_vec();
        let mut feed = decoder.feed(&mut input);
        loop {
            match feed.next_message() {
                Ok(None) => break,
                Ok(Some(message)) => {
                    let (length, most) = match message {
                        Message::Text(text) => (text.len(), limit),
                        Message::Binary(data) => (data.len(), limit),
                        Message::Ping(data) | Message::Pong(data) => (data.len(), 125),
                        Message::Close(close) => (close.map_or(0, |(_, reason)| reason.len()), 123),
                    };
                    assert!(length <= most);
                    seen.push(format!("{message:?}"));
                }
                Err(error) => seen.push(format!("{error:?}")),
            }
        }
        drop(feed);
        assert!(decoder.buffered_bytes() <= limit + limit / 8 + 64 + 125);
    }
    seen
}
