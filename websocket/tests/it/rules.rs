//! An example for each rule of the decoder. Rules of a single header are tested in `header`, those of compressed data
//! in `inflate`.

use websocket::{Decoder, Message, ProtocolError};

use crate::support::*;

fn accepts(frames: &[Vec<u8>], messages: &[Owned]) {
    let stream = frames.concat();
    assert_eq!(decode(&stream), (messages.to_vec(), None));
    assert_eq!(decode_bytewise(&stream), (messages.to_vec(), None));
}

fn refuses(frames: &[Vec<u8>], error: ProtocolError, close_code: u16) {
    let stream = frames.concat();
    assert_eq!(decode(&stream).1, Some(error));
    assert_eq!(decode_bytewise(&stream).1, Some(error));
    assert_eq!(error.close_code(), close_code);
}

#[test]
fn whole_messages_are_slices_of_the_input() {
    let mut input = [frame(FIN | TEXT, b"one"), frame(FIN | BINARY, &[2; 300]), frame(FIN | PING, b"3")].concat();
    let memory = input.as_ptr_range();
    let mut decoder = Decoder::new(LIMIT_BYTES, false);
    let mut feed = decoder.feed(&mut input);
    for _ in 0..3 {
        let data = match feed.next_message().unwrap().unwrap() {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(data) | Message::Ping(data) => data,
            other => panic!("{other:?}"),
        };
        assert!(memory.contains(&data.as_ptr()));
    }
    assert_eq!(feed.next_message(), Ok(None));
    drop(feed);
    assert_eq!(decoder.buffered_bytes(), 0);
}

#[test]
fn every_kind_of_message() {
    accepts(
        &[
            frame(FIN | TEXT, "grüß".as_bytes()),
            frame(FIN | TEXT, b""),
            frame(FIN | BINARY, &[0xff, 0]),
            frame(FIN | PING, b""),
            frame(FIN | PONG, &[7; 125]),
            frame(FIN | CLOSE, &close_payload(1000, "tschüß".as_bytes())),
        ],
        &[
            text("grüß"),
            text(""),
            Owned::Binary(vec![0xff, 0]),
            Owned::Ping(vec![]),
            Owned::Pong(vec![7; 125]),
            Owned::Close(Some((1000, "tschüß".into()))),
        ],
    );
    accepts(&[frame(FIN | CLOSE, b"")], &[Owned::Close(None)]);
}

#[test]
fn fragments_with_control_frames_between() {
    accepts(
        &[
            frame(TEXT, b"ab"),
            frame(FIN | PING, b"in between"),
            frame(CONTINUATION, b""),
            // Half of a character.
            frame(CONTINUATION, &[0xc3]),
            frame(FIN | PONG, b""),
            frame(FIN | CONTINUATION, &[0xbc]),
            frame(BINARY, b""),
            frame(FIN | CONTINUATION, b"x"),
        ],
        &[Owned::Ping(b"in between".to_vec()), Owned::Pong(vec![]), text("abü"), Owned::Binary(b"x".to_vec())],
    );
}

#[test]
fn fragments_out_of_order() {
    refuses(&[frame(FIN | CONTINUATION, b"")], ProtocolError::UnexpectedContinuation, 1002);
    refuses(&[frame(TEXT, b""), frame(FIN | TEXT, b"")], ProtocolError::ExpectedContinuation, 1002);
    refuses(&[frame(TEXT, b""), frame(FIN | BINARY, b"")], ProtocolError::ExpectedContinuation, 1002);
    let ended = [frame(FIN | TEXT, b""), frame(FIN | CONTINUATION, b"")];
    refuses(&ended, ProtocolError::UnexpectedContinuation, 1002);
}

#[test]
fn compressed_messages_whole_and_fragmented() {
    let sentence = "to compress, or not to compress ".repeat(100);
    let payload = compress(sentence.as_bytes(), 6, 15);
    let (head, tail) = payload.split_at(payload.len() / 2);
    accepts(
        &[
            frame(FIN | RSV1 | TEXT, &payload),
            frame(FIN | TEXT, b"plain"),
            frame(RSV1 | BINARY, head),
            frame(FIN | PING, b""),
            frame(FIN | CONTINUATION, tail),
            frame(FIN | RSV1 | TEXT, b""),
        ],
        &[text(&sentence), text("plain"), Owned::Ping(vec![]), Owned::Binary(sentence.clone().into_bytes()), text("")],
    );
}

#[test]
fn rsv1_only_where_it_has_a_meaning() {
    let rsv1_late = [frame(RSV1 | TEXT, b""), frame(FIN | RSV1 | CONTINUATION, b"")];
    refuses(&rsv1_late, ProtocolError::ReservedBits, 1002);
    let mut plain = Decoder::new(LIMIT_BYTES, false);
    let stream = frame(FIN | RSV1 | TEXT, &compress(b"x", 6, 15));
    assert_eq!(run(&mut plain, [&stream[..]]).1, Some(ProtocolError::ReservedBits));
}

#[test]
fn text_must_be_utf8() {
    let invalid = [0xc3, 0x28];
    refuses(&[frame(FIN | TEXT, &invalid)], ProtocolError::InvalidUtf8, 1007);
    refuses(&[frame(TEXT, &invalid[..1]), frame(FIN | CONTINUATION, &invalid[1..])], ProtocolError::InvalidUtf8, 1007);
    refuses(&[frame(FIN | RSV1 | TEXT, &compress(&invalid, 6, 15))], ProtocolError::InvalidUtf8, 1007);
    // A surrogate, and the code point after the last one.
    refuses(&[frame(FIN | TEXT, &[0xed, 0xa0, 0x80])], ProtocolError::InvalidUtf8, 1007);
    refuses(&[frame(FIN | TEXT, &[0xf4, 0x90, 0x80, 0x80])], ProtocolError::InvalidUtf8, 1007);
    refuses(&[frame(FIN | RSV1 | TEXT, &[0xff; 9])], ProtocolError::InvalidDeflate, 1007);
}

#[test]
fn close_codes() {
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999] {
        accepts(&[frame(FIN | CLOSE, &close_payload(code, b""))], &[Owned::Close(Some((code, String::new())))]);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        refuses(&[frame(FIN | CLOSE, &close_payload(code, b""))], ProtocolError::InvalidCloseCode, 1002);
    }
    refuses(&[frame(FIN | CLOSE, &[3])], ProtocolError::InvalidClosePayload, 1002);
    refuses(&[frame(FIN | CLOSE, &close_payload(1000, &[0xff]))], ProtocolError::InvalidUtf8, 1007);
}

#[test]
fn nothing_comes_after_a_close_or_an_error() {
    let ends = [
        (frame(FIN | CLOSE, b""), None),
        (vec![0x83, 0x80], Some(ProtocolError::UnknownOpcode)),
        (frame(FIN | TEXT, &[0xff]), Some(ProtocolError::InvalidUtf8)),
    ];
    for (end, error) in ends {
        let mut decoder = Decoder::new(LIMIT_BYTES, true);
        let stream = [frame(TEXT, b"begun"), frame(FIN | CONTINUATION, b"."), end, frame(FIN | TEXT, b"x")].concat();
        let mut input = stream.clone();
        let mut feed = decoder.feed(&mut input);
        assert_eq!(feed.next_message(), Ok(Some(Message::Text("begun."))));
        match error {
            None => assert_eq!(feed.next_message(), Ok(Some(Message::Close(None)))),
            Some(error) => assert_eq!(feed.next_message(), Err(error)),
        }
        assert_eq!(feed.next_message(), Ok(None));
        drop(feed);
        assert!(decoder.has_ended());
        assert_eq!(run(&mut decoder, [&stream[..]]), (vec![], None));
    }
}

#[test]
fn an_error_or_a_close_gives_up_the_fragments() {
    for end in [frame(FIN | CLOSE, b""), frame(FIN | TEXT, b"")] {
        let mut decoder = Decoder::new(LIMIT_BYTES, true);
        run(&mut decoder, [&[frame(TEXT, &[b'x'; 1000]), end].concat()[..]]);
        assert!(decoder.has_ended());
        assert_eq!(decoder.buffered_bytes(), 0);
    }
}

#[test]
fn the_limit_is_exact_over_all_frames() {
    let limit = 1000;
    let decode = |stream: &[u8]| run(&mut Decoder::new(limit, true), [stream]);
    let most = vec![b'x'; 1000];
    let over = vec![b'x'; 1001];

    assert_eq!(decode(&frame(FIN | TEXT, &most)).1, None);
    assert_eq!(decode(&frame(FIN | TEXT, &over)).1, Some(ProtocolError::TooLarge));
    let fragments = |last: &[u8]| [frame(TEXT, &most[..999]), frame(FIN | CONTINUATION, last)].concat();
    assert_eq!(decode(&fragments(b"x")).1, None);
    assert_eq!(decode(&fragments(b"xx")).1, Some(ProtocolError::TooLarge));
    let compressed = |data: &[u8]| frame(FIN | RSV1 | TEXT, &compress(data, 6, 15));
    assert_eq!(decode(&compressed(&most)).1, None);
    assert_eq!(decode(&compressed(&over)).1, Some(ProtocolError::TooLarge));
    // Stored, not compressed: longer than the limit on the wire, but not when unpacked.
    let stored = compress(&most, 0, 9);
    assert!(stored.len() > 1000);
    assert_eq!(decode(&frame(FIN | RSV1 | TEXT, &stored)).1, None);
    assert_eq!(ProtocolError::TooLarge.close_code(), 1009);
}

#[test]
fn a_length_over_the_limit_is_rejected_from_the_header() {
    for first in [FIN | BINARY, BINARY, FIN | RSV1 | BINARY] {
        let mut header = vec![first, 0x80 | 127];
        header.extend_from_slice(&(1u64 << 40).to_be_bytes());
        header.extend_from_slice(&[0; 4]);
        assert_eq!(decode(&header), (vec![], Some(ProtocolError::TooLarge)));
        assert_eq!(decode_bytewise(&header), (vec![], Some(ProtocolError::TooLarge)));
    }
}

#[test]
fn a_length_alone_reserves_nothing() {
    let mut decoder = Decoder::new(LIMIT_BYTES, true);
    let stream = frame(FIN | BINARY, &vec![1; LIMIT_BYTES as usize]);
    assert_eq!(run(&mut decoder, [&stream[..1000]]), (vec![], None));
    assert!(decoder.buffered_bytes() <= 1000, "{}", decoder.buffered_bytes());
    // It never takes more memory than the message.
    for piece in stream[1000..stream.len() - 1].chunks(1460) {
        run(&mut decoder, [piece]);
        assert!(decoder.buffered_bytes() <= LIMIT_BYTES as usize);
    }
    let (messages, error) = run(&mut decoder, [&stream[stream.len() - 1..]]);
    assert_eq!((messages.len(), error), (1, None));
    assert_eq!(decoder.buffered_bytes(), 0);
}

#[test]
fn a_header_in_pieces_needs_no_buffer() {
    let stream = frame(FIN | TEXT, &[b'x'; 70_000]);
    let mut decoder = Decoder::new(LIMIT_BYTES, true);
    for end in 1..14 {
        run(&mut decoder, [&stream[end - 1..end]]);
        assert_eq!(decoder.buffered_bytes(), 0);
    }
    assert_eq!(run(&mut decoder, [&stream[13..]]).0, [text(&"x".repeat(70_000))]);
}

/// `Vec::split_off(0)` would keep the allocation.
#[test]
fn a_ping_in_pieces_between_empty_fragments_leaves_nothing() {
    let mut decoder = Decoder::new(LIMIT_BYTES, true);
    let stream = [frame(BINARY, b""), frame(FIN | PING, b"ab"), frame(FIN | CONTINUATION, b"")].concat();
    let expected = vec![Owned::Ping(b"ab".to_vec()), Owned::Binary(vec![])];
    assert_eq!(run(&mut decoder, stream.chunks(1)), (expected, None));
    assert_eq!(decoder.buffered_bytes(), 0);
}

/// However small the fragments, the buffer moves only a few times, and never exceeds the limit.
#[test]
fn a_million_fragments() {
    let count = LIMIT_BYTES as usize;
    // Doubling three bytes would exceed the limit.
    let mut stream = frame(BINARY, b"xxx");
    stream.extend(frame(CONTINUATION, b"x").repeat(count - 3));
    let mut decoder = Decoder::new(LIMIT_BYTES, true);
    let mut capacities = vec![0];
    for piece in stream.chunks(1000) {
        assert_eq!(run(&mut decoder, [piece]), (vec![], None));
        capacities.push(decoder.buffered_bytes());
    }
    capacities.dedup();
    assert!(capacities.len() < 30, "{capacities:?}");
    assert!(capacities.iter().all(|capacity| *capacity <= count), "{capacities:?}");
    let (messages, error) = run(&mut decoder, [&frame(FIN | CONTINUATION, b"")[..]]);
    assert!(messages == [Owned::Binary(vec![b'x'; count])] && error.is_none());
}
