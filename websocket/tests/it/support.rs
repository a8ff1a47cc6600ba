//! The client's side for the tests: frames, compression, and a decoder that runs to its end.

use flate2::{Compress, Compression, FlushCompress};
use websocket::{Decoder, Message, ProtocolError};

pub const LIMIT_BYTES: u32 = 1 << 20;

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

pub const FIN: u8 = 0x80;
pub const RSV1: u8 = 0x40;

/// A message that outlives the read buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owned {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Message<'_>> for Owned {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.into()),
            Message::Binary(data) => Self::Binary(data.into()),
            Message::Ping(data) => Self::Ping(data.into()),
            Message::Pong(data) => Self::Pong(data.into()),
            Message::Close(close) => Self::Close(close.map(|(code, reason)| (code, reason.into()))),
        }
    }
}

pub fn text(text: &str) -> Owned {
    Owned::Text(text.into())
}

/// A masked frame; `first` is the whole first byte.
pub fn frame_with_mask(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]));
    frame
}

pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    frame_with_mask(first, [0x37, 0xfa, 0x21, 0x3d], payload)
}

pub fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

/// A message's payload compressed as RFC 7692 asks for, without context takeover.
pub fn compress(data: &[u8], level: u32, window_bits: u8) -> Vec<u8> {
    let mut compress = Compress::new_with_window_bits(Compression::new(level), false, window_bits);
    let mut output = Vec::with_capacity(data.len() + data.len() / 8 + 1024);
    compress.compress_vec(data, &mut output, FlushCompress::Sync).unwrap();
    assert_eq!(compress.total_in() as usize, data.len());
    output.truncate(output.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap().len());
    output
}

/// Feeds the pieces one after the other and collects the results.
pub fn run<'a>(
    decoder: &mut Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Owned>, Option<ProtocolError>) {
    let mut messages = Vec::new();
    for piece in pieces {
        let mut input = piece.to_vec();
        let mut feed = decoder.feed(&mut input);
        loop {
            match feed.next_message() {
                Ok(Some(message)) => messages.push(message.into()),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

/// Decodes in one piece, with compression negotiated.
pub fn decode(stream: &[u8]) -> (Vec<Owned>, Option<ProtocolError>) {
    run(&mut Decoder::new(LIMIT_BYTES, true), [stream])
}

/// The same, byte by byte.
pub fn decode_bytewise(stream: &[u8]) -> (Vec<Owned>, Option<ProtocolError>) {
    run(&mut Decoder::new(LIMIT_BYTES, true), stream.chunks(1))
}
