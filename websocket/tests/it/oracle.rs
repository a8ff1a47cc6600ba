//! Compares with tungstenite, an independent implementation: we read what its client writes, its client reads what we
//! write, and both reject the same input.

use std::io::{self, Read, Write};

use proptest::collection::vec;
use proptest::prelude::*;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};
use websocket::{Decoder, PreparedText, ProtocolError, close_frame, ping_frame, pong_frame, text_frame};

use crate::support::*;

const SMALL_LIMIT_BYTES: u32 = 2000;

/// A stream in memory; at the end of the input it would block.
struct Pipe {
    input: io::Cursor<Vec<u8>>,
    output: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.output.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tungstenite(role: Role, input: &[u8], limit_bytes: u32) -> WebSocket<Pipe> {
    let limit = Some(limit_bytes as usize);
    let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
    let pipe = Pipe { input: io::Cursor::new(input.to_vec()), output: Vec::new() };
    WebSocket::from_raw_socket(pipe, role, Some(config))
}

/// What tungstenite reads, and its error unless it is only waiting for more.
fn read_all(mut socket: WebSocket<Pipe>) -> (Vec<Owned>, Option<Error>) {
    let mut messages = Vec::new();
    loop {
        messages.push(match socket.read() {
            Ok(Message::Text(text)) => Owned::Text(text.to_string()),
            Ok(Message::Binary(data)) => Owned::Binary(data.to_vec()),
            Ok(Message::Ping(data)) => Owned::Ping(data.to_vec()),
            Ok(Message::Pong(data)) => Owned::Pong(data.to_vec()),
            Ok(Message::Close(close)) => Owned::Close(close.map(|close| (close.code.into(), close.reason.to_string()))),
            Ok(Message::Frame(_)) => unreachable!("never read"),
            Err(Error::ConnectionClosed) => return (messages, None),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (messages, None);
            }
            Err(error) => return (messages, Some(error)),
        });
    }
}

fn message() -> impl Strategy<Value = Owned> {
    prop_oneof![
        "\\PC{0,200}".prop_map(Owned::Text),
        ("[a-z]{1,9}", 0..9000usize).prop_map(|(part, times)| Owned::Text(part.repeat(times))),
        vec(any::<u8>(), 0..300).prop_map(Owned::Binary),
        vec(any::<u8>(), 0..126).prop_map(Owned::Ping),
        vec(any::<u8>(), 0..126).prop_map(Owned::Pong),
    ]
}

fn close() -> impl Strategy<Value = Option<(u16, String)>> {
    prop::option::of((prop_oneof![1000..1004u16, 1007..1014u16, 3000..5000u16], "[a-zü]{0,60}"))
}

/// The frames of a message, in two fragments if `fragmented`.
fn frames(message: &Owned, fragmented: bool) -> Vec<Frame> {
    let (opcode, payload) = match message {
        Owned::Text(text) => (Data::Text, text.as_bytes()),
        Owned::Binary(data) => (Data::Binary, &data[..]),
        Owned::Ping(data) => return vec![Frame::ping(data.clone())],
        Owned::Pong(data) => return vec![Frame::pong(data.clone())],
        Owned::Close(_) => unreachable!("not generated"),
    };
    let opcode = OpCode::Data(opcode);
    if !fragmented {
        return vec![Frame::message(payload.to_vec(), opcode, true)];
    }
    let (head, tail) = payload.split_at(payload.len() / 2);
    vec![
        Frame::message(head.to_vec(), opcode, false),
        Frame::message(tail.to_vec(), OpCode::Data(Data::Continue), true),
    ]
}

fn stream_of(messages: &[(Owned, bool)], close: Option<Option<(u16, String)>>) -> Vec<u8> {
    let mut client = tungstenite(Role::Client, &[], LIMIT_BYTES);
    for frame in messages.iter().flat_map(|(message, fragmented)| frames(message, *fragmented)) {
        client.write(Message::Frame(frame)).unwrap();
    }
    if let Some(close) = close {
        let close = close.map(|(code, reason)| CloseFrame { code: code.into(), reason: reason.into() });
        client.close(close).unwrap();
    }
    client.flush().unwrap();
    client.get_mut().output.clone()
}

/// Asserts that both judge a client's stream alike, except for known and intended differences.
fn compare(stream: &[u8], limit_bytes: u32, ends_between_frames: bool) -> Result<(), TestCaseError> {
    let (mut ours, our_error) = run(&mut Decoder::new(limit_bytes, false), [stream]);
    let (mut theirs, their_error) = read_all(tungstenite(Role::Server, stream, limit_bytes));
    let same_verdict = match (our_error, &their_error) {
        // It checks text fragment by fragment, and we when it is complete; until then we continue.
        (_, Some(Error::Utf8(_))) => {
            ours.truncate(theirs.len());
            true
        }
        (None, theirs) => theirs.is_none(),
        // It accepts lengths that are not minimal.
        (Some(ProtocolError::InvalidLength), _) => {
            theirs.truncate(ours.len());
            true
        }
        // It passes these on with the code replaced.
        (Some(ProtocolError::InvalidCloseCode), None) => {
            matches!(theirs.pop(), Some(Owned::Close(Some((1002, _)))))
        }
        // We decide by the header; it may wait for the payload.
        (Some(_), theirs) => theirs.is_some() || !ends_between_frames,
    };
    prop_assert!(same_verdict, "ours: {our_error:?}, theirs: {their_error:?}");
    prop_assert_eq!(ours, theirs);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn we_read_what_its_client_writes(
        messages in vec((message(), any::<bool>()), 0..8),
        close in close(),
        size in 1..5000usize,
    ) {
        let stream = stream_of(&messages, Some(close.clone()));
        let mut expected: Vec<Owned> = messages.into_iter().map(|(message, _)| message).collect();
        expected.push(Owned::Close(close));
        let mut decoder = Decoder::new(LIMIT_BYTES, false);
        prop_assert_eq!(run(&mut decoder, stream.chunks(size)), (expected, None));
    }

    #[test]
    fn its_client_reads_what_we_write(messages in vec(message(), 0..8), close in close()) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for message in messages {
            match &message {
                Owned::Text(text) => {
                    stream.extend(text_frame(text.as_bytes()));
                    let (head, tail) = text.as_bytes().split_at(text.len() / 3);
                    stream.extend(PreparedText::from_parts(&[head, tail]).frame(false));
                    expected.push(message.clone());
                }
                Owned::Ping(data) => stream.extend(ping_frame(data)),
                Owned::Pong(data) => stream.extend(pong_frame(data)),
                // Our servers send none.
                _ => continue,
            }
            expected.push(message);
        }
        stream.extend(close_frame(close.as_ref().map(|(code, reason)| (*code, reason.as_str()))));
        expected.push(Owned::Close(close));
        let (read, error) = read_all(tungstenite(Role::Client, &stream, LIMIT_BYTES));
        prop_assert_eq!(read, expected);
        prop_assert!(error.is_none());
    }

    #[test]
    fn both_judge_damaged_streams_alike(
        messages in vec((message(), any::<bool>()), 1..6),
        close in prop::option::of(close()),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
    ) {
        let mut stream = stream_of(&messages, close);
        for (at, value) in damage {
            let at = at.index(stream.len());
            stream[at] ^= value;
        }
        for limit_bytes in [SMALL_LIMIT_BYTES, LIMIT_BYTES] {
            compare(&stream, limit_bytes, false)?;
        }
    }

    /// Short frames with arbitrary first two bytes: half of them break a rule.
    #[test]
    fn both_judge_random_frames_alike(
        frames in vec((any::<u8>(), vec(any::<u8>(), 0..130), any::<bool>()), 1..6),
        strip_mask in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let opcodes = [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG];
        let mut stream = Vec::new();
        for (i, (first, payload, likely)) in frames.iter().enumerate() {
            let first = if *likely { first & FIN | opcodes[usize::from(first & 0x0f) % 6] } else { *first };
            let mut frame = frame(first, payload);
            if strip_mask.is_some_and(|at| at.index(frames.len()) == i) {
                frame[1] &= 0x7f;
            }
            stream.extend(frame);
        }
        compare(&stream, LIMIT_BYTES, true)?;
    }
}

#[test]
fn both_reject_each_malformed_stream() {
    let fragment = frame(TEXT, b"a");
    let mut unmasked = frame(FIN | TEXT, b"abcd");
    unmasked[1] &= 0x7f;
    let malformed = [
        ("rsv1", frame(FIN | RSV1 | TEXT, b"x")),
        ("rsv2", frame(FIN | 0x20 | TEXT, b"x")),
        ("rsv3", frame(FIN | 0x10 | PING, b"x")),
        ("opcode 3", frame(FIN | 3, b"x")),
        ("opcode 11", frame(FIN | 11, b"x")),
        ("unmasked", unmasked),
        ("fragmented ping", frame(PING, b"x")),
        ("long ping", frame(FIN | PING, &[0; 126])),
        ("continuation first", frame(FIN | CONTINUATION, b"x")),
        ("text within text", [fragment.clone(), frame(FIN | TEXT, b"x")].concat()),
        ("close of one byte", frame(FIN | CLOSE, b"x")),
        ("close reason", frame(FIN | CLOSE, &close_payload(1000, &[0xff]))),
        ("utf-8", frame(FIN | TEXT, &[0xff])),
        ("utf-8 over fragments", [frame(TEXT, &[0xc3]), frame(FIN | CONTINUATION, b"x")].concat()),
        ("too large", frame(FIN | TEXT, &[b'x'; SMALL_LIMIT_BYTES as usize + 1])),
        ("too large together", [fragment, frame(FIN | CONTINUATION, &[b'x'; SMALL_LIMIT_BYTES as usize])].concat()),
    ];
    for (name, stream) in malformed {
        let ours = run(&mut Decoder::new(SMALL_LIMIT_BYTES, false), [&stream[..]]);
        let theirs = read_all(tungstenite(Role::Server, &stream, SMALL_LIMIT_BYTES));
        assert_eq!((&ours.0, &theirs.0), (&vec![], &vec![]), "{name}");
        assert!(ours.1.is_some() && theirs.1.is_some(), "{name}: {ours:?}, {theirs:?}");
    }
}
