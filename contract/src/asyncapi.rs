//! `docs/asyncapi.json`: the WebSocket as AsyncAPI 3.0, seen from the server: it receives commands and sends events.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};
use shared::commands::SPECS;
use shared::protocol::close::Reconnect;
use shared::protocol::spec::COMMON_ERRORS;
use shared::protocol::{CloseCode, ErrorCode, Spec};

use crate::events::{Delivery, Described, EVENTS};
use crate::{examples, schema};

/// The document.
pub fn asyncapi() -> Value {
    let mut generator = schema::generator();
    let mut messages: Map<String, Value> = SPECS.iter().map(|spec| (spec.name.to_owned(), command(spec))).collect();
    messages.extend(EVENTS.iter().map(|event| (event.name.to_owned(), pushed(event, &mut generator))));
    let in_channel = |name: &str| (name.to_owned(), json!({"$ref": format!("#/components/messages/{name}")}));
    let channel_messages: Map<String, Value> = messages.keys().map(|name| in_channel(name)).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Chat over WebSockets",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "One JSON object with a string `type` per text message, in both directions. A field that is \
                `null` counts as absent, unknown fields are ignored, and further fields may be added to any event. Made \
                by `chatctl docs asyncapi`; protocol.md says the same for people.",
            "license": {"name": "MIT"},
        },
        "servers": {"gateway": {
            "host": "localhost:8080",
            "protocol": "ws",
            "description": "Any gateway, or whatever is in front of them; `wss` in production. Any path upgrades.",
        }},
        "defaultContentType": "application/json",
        "channels": {"chat": {
            "address": "/ws",
            "servers": [{"$ref": "#/servers/gateway"}],
            "messages": channel_messages,
            "bindings": {"ws": {"method": "GET"}},
            "x-close-codes": close_codes(),
        }},
        "operations": operations(),
        "components": {"messages": messages, "schemas": schema::components(&mut generator)},
    })
}

fn pushed(event: &Described, generator: &mut SchemaGenerator) -> Value {
    let payload = event.frame_schema(generator);
    let summary = payload["description"].clone();
    let mut message = json!({
        "name": event.name,
        "summary": summary,
        "payload": payload,
        "examples": [{"payload": examples::event(event.name)}],
        "x-delivery": delivery(event.delivery),
    });
    if event.echoes_request() {
        message["correlationId"] = json!({"location": "$message.payload#/requestId"});
    }
    message
}

fn operations() -> Map<String, Value> {
    let mut operations: Map<String, Value> = SPECS.iter().map(|spec| (spec.name.to_owned(), receive(spec))).collect();
    let pushed = EVENTS.iter().filter(|event| event.delivery != Delivery::Answer || event.name == "session_conflict");
    let pushed: Vec<Value> = pushed.map(|event| reference(event.name)).collect();
    operations.insert("greet".to_owned(), send("Before anything else.", vec![reference("connected")]));
    operations.insert("push".to_owned(), send("Events, sent to every user they concern.", pushed));
    operations.insert(
        "refuse".to_owned(),
        send(
            "The answer to a message that is not a command, and the last message before a refused connection is closed.",
            vec![reference("error")],
        ),
    );
    operations
}

fn command(spec: &Spec) -> Value {
    let errors: Vec<&str> = errors(spec).map(ErrorCode::as_str).collect();
    json!({
        "name": spec.name,
        "summary": spec.summary,
        "payload": schema::command(spec),
        "correlationId": {"location": "$message.payload#/requestId"},
        "examples": [{"payload": examples::request(spec.name)}],
        "x-aliases": spec.aliases,
        "x-errors": errors,
        "x-causes": spec.events,
    })
}

/// The codes with which a command may be rejected.
pub fn errors(spec: &Spec) -> impl Iterator<Item = ErrorCode> {
    spec.errors.iter().chain(COMMON_ERRORS).copied()
}

fn receive(spec: &Spec) -> Value {
    let error = if spec.name == "authenticate" { &["auth_error", "error"][..] } else { &["error"] };
    let replies: Vec<Value> = spec.replies.iter().chain(error).map(|name| reference(name)).collect();
    json!({
        "action": "receive",
        "channel": {"$ref": "#/channels/chat"},
        "summary": spec.summary,
        "messages": [reference(spec.name)],
        "reply": {"channel": {"$ref": "#/channels/chat"}, "messages": replies},
    })
}

fn send(summary: &str, messages: Vec<Value>) -> Value {
    json!({"action": "send", "channel": {"$ref": "#/channels/chat"}, "summary": summary, "messages": messages})
}

fn reference(message: &str) -> Value {
    json!({"$ref": format!("#/channels/chat/messages/{message}")})
}

fn delivery(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Answer => "answer",
        Delivery::Ephemeral => "ephemeral",
        Delivery::Message | Delivery::Durable => "durable",
    }
}

fn close_codes() -> Vec<Value> {
    let code = |code: &CloseCode| {
        let reconnect = code.reconnect() == Reconnect::Yes;
        json!({"code": *code as u16, "description": code.about(), "reconnect": reconnect})
    };
    CloseCode::ALL.iter().map(code).collect()
}
