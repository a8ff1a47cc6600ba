//! What the server sends: each file is one family of events and answers, as they look on the wire. An event's name is
//! in the past tense; its `type` is [`Event::TYPE`].

pub mod change;
pub mod community;
pub mod direct;
pub mod error;
pub mod group;
pub mod inbox;
pub mod membership;
pub mod message;
pub mod moderation;
pub mod presence;
pub mod session;
pub mod sync;
pub mod users;

use serde::Serialize;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::protocol::RequestId;

/// Something the server sends, with one `type`. Serialises as a JSON object without `type`.
pub trait Event: Serialize {
    const TYPE: &'static str;
    /// True if it has its own `timestamp` field. All others get the time at which they are finished.
    const HAS_TIMESTAMP: bool = false;
}

/// Finishes a direct answer: the event's JSON with its `type`, echoing the command's `requestId`.
pub fn answer<E: Event>(event: &E, request_id: Option<&RequestId>) -> Vec<u8> {
    encode(event, request_id.map(|id| ("requestId", id.as_json())))
}

/// Finishes an event whose delivery is not guaranteed.
pub fn broadcast<E: Event>(event: &E) -> Vec<u8> {
    encode(event, None)
}

/// Finishes a durable event, which carries its `eventId`.
pub fn durable<E: Event>(event: &E, event_id: Uuid) -> Vec<u8> {
    let id = format!("\"{event_id}\"");
    encode(event, Some(("eventId", &id)))
}

/// Writes `{"type":"…"`, the extra field, the time, and the event's own fields, without an intermediate value.
fn encode<E: Event>(event: &E, extra: Option<(&str, &str)>) -> Vec<u8> {
    let mut json = Vec::with_capacity(256);
    json.extend_from_slice(b"{\"type\":\"");
    json.extend_from_slice(E::TYPE.as_bytes());
    json.push(b'"');
    if let Some((name, value)) = extra {
        json.extend_from_slice(b",\"");
        json.extend_from_slice(name.as_bytes());
        json.extend_from_slice(b"\":");
        json.extend_from_slice(value.as_bytes());
    }
    if !E::HAS_TIMESTAMP {
        json.extend_from_slice(b",\"timestamp\":\"");
        json.extend_from_slice(&Timestamp::now().rfc3339());
        json.push(b'"');
    }
    let fields = json.len();
    if serde_json::to_writer(&mut json, event).is_err() {
        // Our own structs always serialise; if one does not, the frame is still a JSON object.
        json.truncate(fields);
        json.extend_from_slice(b"{}");
    }
    // The event's `{` becomes the separator; an event without fields has only a `}`.
    json[fields] = b',';
    if json[fields..] == *b",}" {
        json.truncate(fields);
        json.push(b'}');
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Empty {}
    impl Event for Empty {
        const TYPE: &'static str = "empty";
        const HAS_TIMESTAMP: bool = true;
    }

    #[derive(Serialize)]
    struct Full {
        a: u8,
    }
    impl Event for Full {
        const TYPE: &'static str = "full";
        const HAS_TIMESTAMP: bool = true;
    }

    #[derive(Serialize)]
    struct Untimed {
        a: u8,
    }
    impl Event for Untimed {
        const TYPE: &'static str = "untimed";
    }

    #[test]
    fn every_event_has_one_timestamp() {
        let json = broadcast(&Untimed { a: 1 });
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let time = value["timestamp"].as_str().unwrap();
        assert_eq!(json, format!(r#"{{"type":"untimed","timestamp":"{time}","a":1}}"#).into_bytes());
        assert_eq!(time.len(), "2026-03-01T09:15:02.481Z".len());
    }

    #[test]
    fn type_and_extra_fields_come_before_the_events_own() {
        assert_eq!(broadcast(&Empty {}), br#"{"type":"empty"}"#);
        assert_eq!(broadcast(&Full { a: 1 }), br#"{"type":"full","a":1}"#);
        let id = "00000000-0000-0000-0000-000000000005";
        let durable = durable(&Full { a: 1 }, Uuid::from_u128(5));
        assert_eq!(String::from_utf8_lossy(&durable), format!(r#"{{"type":"full","eventId":"{id}","a":1}}"#));
    }
}
