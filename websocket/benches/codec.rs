//! Unit costs of the codec: `cargo bench -p websocket`. Best of several rounds, on one core.

#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;

use flate2::{Compress, Compression, FlushCompress};
use websocket::{Decoder, Message, PreparedText, text_frame};

const ROUNDS: usize = 7;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn main() {
    for length in [20, 200, 1024, 16 * 1024] {
        let event = event(length);
        decode(&format!("decode text, {length} bytes"), &client_frame(0x81, &event));
        decode(&format!("decode deflated text, {length} bytes"), &client_frame(0xc1, &deflate(&event)));
        measure(&format!("encode text, {length} bytes"), 2_000, || {
            black_box(text_frame(black_box(&event)));
        });
        measure(&format!("prepare and compress, {length} bytes"), 500, || {
            black_box(PreparedText::new(black_box(&event)).frame(true));
        });
    }
    let prepared = PreparedText::new(&event(1024));
    measure("shared frame for one more recipient", 10_000, || {
        black_box(prepared.frame(true));
    });
}

/// Decodes a read buffer of 16 KiB or more full of the frame, and gives the time per message.
fn decode(name: &str, frame: &[u8]) {
    let count = (16 * 1024 / frame.len()).max(1);
    let stream = frame.repeat(count);
    let mut decoder = Decoder::new(1 << 20, true);
    let mut input = stream.clone();
    let runs = (2_000 / count).max(50);
    let nanoseconds = best(|| {
        for _ in 0..runs {
            input.copy_from_slice(&stream);
            let mut feed = decoder.feed(&mut input);
            while let Some(message) = feed.next_message().unwrap() {
                assert!(matches!(black_box(message), Message::Text(_)));
            }
        }
    });
    println!("{name:<45} {:>9.0} ns", nanoseconds / (runs * count) as f64);
}

fn measure(name: &str, runs: usize, mut run: impl FnMut()) {
    let nanoseconds = best(|| (0..runs).for_each(|_| run()));
    println!("{name:<45} {:>9.0} ns", nanoseconds / runs as f64);
}

fn best(mut round: impl FnMut()) -> f64 {
    let times = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        round();
        start.elapsed().as_nanos() as f64
    });
    times.fold(f64::INFINITY, f64::min)
}

fn event(length: usize) -> Vec<u8> {
    let field =
        |i: usize| format!(r#""messageId":"msg_0190{i:04x}-7c3e","seq":{i},"content":"hello {i}","#).into_bytes();
    (0..).flat_map(field).take(length).collect()
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(data.len() + 64);
    Compress::new(Compression::new(6), false).compress_vec(data, &mut output, FlushCompress::Sync).unwrap();
    output.truncate(output.len() - 4);
    output
}

fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}
