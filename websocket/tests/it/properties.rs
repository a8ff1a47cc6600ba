//! Random conversations, however they are fragmented, compressed and cut into reads, come out as they went in; random
//! garbage breaks nothing.

use proptest::collection::vec;
use proptest::prelude::*;
use websocket::{Decoder, fuzz_decoder};

use crate::support::*;

/// How one data message is written on the wire.
#[derive(Debug, Clone)]
struct Wire {
    /// Level and window bits.
    compression: Option<(u32, u8)>,
    mask: [u8; 4],
    /// Cuts between fragments, as shares of the payload.
    cuts: Vec<prop::sample::Index>,
    /// A ping after each fragment but the last.
    ping: Option<Vec<u8>>,
}

fn message() -> impl Strategy<Value = Owned> {
    prop_oneof![
        "\\PC{0,300}".prop_map(Owned::Text),
        // Compressible, and long enough for all three lengths.
        ("\\PC{1,20}", 0..9000usize).prop_map(|(part, times)| Owned::Text(part.repeat(times))),
        vec(any::<u8>(), 0..300).prop_map(Owned::Binary),
        vec(any::<u8>(), 0..126).prop_map(Owned::Ping),
        vec(any::<u8>(), 0..126).prop_map(Owned::Pong),
    ]
}

fn wire() -> impl Strategy<Value = Wire> {
    (
        prop::option::of((0..10u32, 9..16u8)),
        any::<[u8; 4]>(),
        vec(any::<prop::sample::Index>(), 0..4),
        prop::option::of(vec(any::<u8>(), 0..126)),
    )
        .prop_map(|(compression, mask, cuts, ping)| Wire { compression, mask, cuts, ping })
}

/// Appends the message's frames to `stream` and the expected results to `expected`.
fn write(message: &Owned, wire: &Wire, stream: &mut Vec<u8>, expected: &mut Vec<Owned>) {
    let (opcode, payload) = match message {
        Owned::Text(text) => (TEXT, text.as_bytes()),
        Owned::Binary(data) => (BINARY, &data[..]),
        Owned::Ping(data) => (PING, &data[..]),
        Owned::Pong(data) => (PONG, &data[..]),
        Owned::Close(_) => unreachable!("not generated"),
    };
    if opcode >= CLOSE {
        stream.extend(frame_with_mask(FIN | opcode, wire.mask, payload));
    } else {
        let (rsv1, payload) = match wire.compression {
            Some((level, window_bits)) => (RSV1, compress(payload, level, window_bits)),
            None => (0, payload.to_vec()),
        };
        let mut cuts: Vec<usize> = wire.cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        let mut start = 0;
        let mut first = rsv1 | opcode;
        for cut in cuts {
            stream.extend(frame_with_mask(first, wire.mask, &payload[start..cut]));
            if let Some(ping) = &wire.ping {
                stream.extend(frame_with_mask(FIN | PING, wire.mask, ping));
                expected.push(Owned::Ping(ping.clone()));
            }
            start = cut;
            first = CONTINUATION;
        }
        stream.extend(frame_with_mask(FIN | first, wire.mask, &payload[start..]));
    }
    expected.push(message.clone());
}

fn conversation() -> impl Strategy<Value = (Vec<u8>, Vec<Owned>)> {
    vec((message(), wire()), 0..8).prop_map(|messages| {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for (message, wire) in &messages {
            write(message, wire, &mut stream, &mut expected);
        }
        (stream, expected)
    })
}

fn split<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    cuts.push(stream.len());
    cuts.sort_unstable();
    let mut start = 0;
    let mut pieces = Vec::new();
    for cut in cuts {
        pieces.push(&stream[start..cut]);
        start = cut;
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn conversations_come_out_as_they_went_in(
        (stream, expected) in conversation(),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut decoder = Decoder::new(LIMIT_BYTES, true);
        let decoded = run(&mut decoder, split(&stream, &cuts));
        prop_assert_eq!(decoded, (expected, None));
        prop_assert_eq!(decoder.buffered_bytes(), 0);
    }

    #[test]
    fn small_reads_change_nothing((stream, expected) in conversation(), size in 1..40usize) {
        let mut decoder = Decoder::new(LIMIT_BYTES, true);
        prop_assert_eq!(run(&mut decoder, stream.chunks(size)), (expected, None));
    }

    #[test]
    fn garbage_breaks_nothing(data in vec(any::<u8>(), 0..400)) {
        fuzz_decoder(&data);
    }

    /// Garbage seldom gets beyond a header; damaged conversations do.
    #[test]
    fn damage_breaks_nothing(
        (stream, _) in conversation(),
        settings in any::<[u8; 2]>(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut data = [&settings[..], &stream].concat();
        for (at, value) in damage {
            let at = at.index(data.len());
            data[at] ^= value;
        }
        fuzz_decoder(&data);
    }
}

#[test]
fn the_fuzzers_seeds_pass() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testing/fuzz/seeds/frames");
    let seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|seed| seed.unwrap().path()).collect();
    assert!(seeds.len() >= 4);
    seeds.iter().for_each(|seed| fuzz_decoder(&std::fs::read(seed).unwrap()));
}
