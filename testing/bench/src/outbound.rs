//! From an event to the connections' outboxes.

use std::hint::black_box;

use gateway::bench::FanOut;
use websocket::PreparedText;

use crate::Call;

/// The beginning of an event, long enough for all that is measured here.
fn event(length: usize) -> Vec<u8> {
    let member = |n: usize| {
        let is_online = n.is_multiple_of(3);
        format!(r#"{{"userId":{n},"username":"user-{n}","isOnline":{is_online}}},"#).into_bytes()
    };
    (100..).flat_map(member).take(length).collect()
}

pub fn encode_frame() -> Call {
    let event = event(400);
    Box::new(move || {
        black_box(PreparedText::new(black_box(&event)).frame(false));
    })
}

pub fn compress_frame() -> Call {
    let event = event(1024);
    Box::new(move || {
        let frame = black_box(PreparedText::new(black_box(&event)).frame(true));
        assert!(frame.len() < event.len());
    })
}

pub fn fan_out_to_50() -> Call {
    fan_out(50)
}

pub fn fan_out_to_1000() -> Call {
    fan_out(1_000)
}

/// One message to a group with this number of connections: from its publication to the frames that their sessions take.
fn fan_out(connections: usize) -> Call {
    let mut group = FanOut::new(connections, &event(400));
    Box::new(move || assert_eq!(group.deliver(), connections))
}
