//! A request for each command and an event of each type, from `examples.json`: alice (17) and bob (42) talk, in a
//! direct conversation and in a group.

use std::sync::OnceLock;

use serde_json::Value;

use crate::events::EVENTS;

fn all() -> &'static Value {
    static ALL: OnceLock<Value> = OnceLock::new();
    // A test reads it; if it is broken anyway, there are no examples.
    ALL.get_or_init(|| serde_json::from_str(include_str!("examples.json")).unwrap_or_default())
}

/// The frame with which alice sends this command; `null` if there is none.
pub fn request(command: &str) -> &'static Value {
    &all()["requests"][command]
}

/// An event of this type as it is sent; `null` if there is none.
pub fn event(kind: &str) -> &'static Value {
    &all()["events"][kind]
}

/// The direct answer to [`request`]: the usual one, without what only others get.
pub fn reply(command: &str, kind: &str) -> Value {
    let mut reply = event(kind).clone();
    if let Value::Object(map) = &mut reply {
        map.remove("eventId");
        let echoes = EVENTS.iter().any(|event| event.name == kind && event.echoes_request());
        if let Some(id) = request(command).get("requestId").filter(|_| echoes) {
            map.insert("requestId".to_owned(), id.clone());
        }
    }
    reply
}
