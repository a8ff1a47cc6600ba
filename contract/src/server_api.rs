//! The server API's part of the OpenAPI document, generated from the list of its endpoints and the contracts of their
//! commands.

use std::collections::BTreeMap;

use schemars::generate::SchemaGenerator;
use serde_json::{Map, Value, json};
use shared::http::{Account, Done, Exported, Presences, Reports, Sessions};
use shared::protocol::ErrorCode;
use shared::protocol::spec::{Field, Kind, Requirement};
use shared::server_api::{ENDPOINTS, MAX_IDEMPOTENCY_KEY_CHARACTERS, Method, PREFIX, ServerEndpoint, field_of};

use crate::events::EVENTS;
use crate::{examples, schema};

/// The errors that any request may get.
const COMMON: &[(u16, &str)] = &[
    (400, "`VALIDATION_ERROR` or `INVALID_JSON`."),
    (
        401,
        "`TOKEN_MISSING`, `TOKEN_INVALID` for what cannot be an API key, or `AUTH_FAILED` for one that does not exist or was revoked.",
    ),
    (403, "`PERMISSION_DENIED`: the key lacks the scope, or the user may not do this."),
    (404, "`RESOURCE_NOT_FOUND`: it does not exist, or the user may not know that it does."),
    (429, "`RATE_LIMIT_EXCEEDED`: more than `API_KEY_RATE_LIMIT` requests of the key in a minute."),
    (500, "`INTERNAL_ERROR`: the cause is in the server's log under `errorId`."),
    (
        503,
        "Temporarily unavailable; `Retry-After` says when to try again. The request may have been processed: repeat it with the same `Idempotency-Key`.",
    ),
];

/// Adds the endpoints to the document's paths.
pub fn add_paths(paths: &mut Map<String, Value>, generator: &mut SchemaGenerator) {
    for endpoint in ENDPOINTS {
        let path = paths.entry(format!("{PREFIX}{}", endpoint.path)).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] = operation(endpoint, generator);
    }
}

fn operation(endpoint: &ServerEndpoint, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    let answer = json!({"application/json": {"schema": answer(endpoint, generator)}});
    responses.insert("200".to_owned(), json!({"description": "Done.", "content": answer}));
    for (status, about) in refusals(endpoint) {
        let refused = json!({"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}});
        responses.insert(status.to_string(), json!({"description": about, "content": refused}));
    }
    let summary = format!("{} Scope `{}`.", endpoint.summary, endpoint.scope.as_str());
    let id = format!("server_{}_{}", endpoint.method.as_str().to_lowercase(), endpoint.action());
    let mut operation =
        json!({"operationId": id, "summary": summary, "responses": responses, "security": [{"apiKey": []}]});
    let fields = endpoint.fields();
    operation["parameters"] = parameters(endpoint, &fields);
    if endpoint.method.has_body() && !fields.is_empty() {
        let mut body = json!({"schema": schema::object(&fields)});
        if let Some(example) = example(endpoint, &fields) {
            body["example"] = example;
        }
        operation["requestBody"] = json!({"required": true, "content": {"application/json": body}});
    }
    operation
}

/// The command's example without the fields that are elsewhere in the request.
fn example(endpoint: &ServerEndpoint, fields: &[Field]) -> Option<Value> {
    let example = examples::request(endpoint.action()).as_object()?;
    let is_own = |name: &String| fields.iter().any(|field| field.name == *name);
    Some(example.iter().filter(|(name, _)| is_own(name)).map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn parameters(endpoint: &ServerEndpoint, fields: &[Field]) -> Value {
    let mut parameters = Vec::new();
    for name in endpoint.parameters() {
        let field = endpoint.spec().into_iter().flat_map(|spec| spec.fields);
        let known = field.into_iter().find(|field| field_of(name) == Some(field.name));
        let (kind, about) = match known {
            Some(field) => (field.kind, field.about),
            None => (Kind::UserId, "The user for whom, and with whose rights, the request acts."),
        };
        let one = [Field { name, kind, requirement: Requirement::Required, about }];
        let schema = schema::object(&one)["properties"][name].clone();
        parameters.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
    }
    if !endpoint.method.has_body() {
        let query = schema::object(fields);
        for (name, schema) in query["properties"].as_object().into_iter().flatten() {
            parameters.push(json!({"name": name, "in": "query", "schema": schema}));
        }
    }
    if !endpoint.is_read() {
        let about = "A repetition with the same key is not carried out again and gets the first answer: for 12 hours, and a \
            message, whose `clientMessageId` it becomes, for as long as there is the message.";
        let text = json!({"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY_CHARACTERS, "description": about});
        parameters.push(json!({"name": "Idempotency-Key", "in": "header", "schema": text}));
    }
    Value::Array(parameters)
}

/// The answers of its command, with `status` instead of `type`.
fn answer(endpoint: &ServerEndpoint, generator: &mut SchemaGenerator) -> Value {
    let Some(spec) = endpoint.spec() else {
        return match endpoint.action() {
            "presence" => schema::inline::<Presences>(generator),
            "sessions" => schema::inline::<Sessions>(generator),
            "create_user" | "update_user" => schema::inline::<Account>(generator),
            "export" => schema::inline::<Exported>(generator),
            "reports" => schema::inline::<Reports>(generator),
            _ => schema::inline::<Done>(generator),
        };
    };
    let events = spec.replies.iter().filter_map(|name| EVENTS.iter().find(|event| event.name == *name));
    let mut answers: Vec<Value> = events.map(|event| with_status(event.frame_schema(generator))).collect();
    if answers.len() == 1 { answers.remove(0) } else { json!({"anyOf": answers}) }
}

fn with_status(mut schema: Value) -> Value {
    if let Some(properties) = schema["properties"].as_object_mut() {
        for name in ["type", "requestId", "eventId"] {
            properties.remove(name);
        }
        properties.insert("status".to_owned(), json!({"const": "ok"}));
    }
    if let Some(required) = schema["required"].as_array_mut() {
        required.retain(|name| name != "type");
        required.insert(0, json!("status"));
    }
    schema
}

/// Error statuses with their meaning here.
fn refusals(endpoint: &ServerEndpoint) -> BTreeMap<u16, String> {
    let mut refusals: BTreeMap<u16, String> =
        COMMON.iter().map(|(status, about)| (*status, (*about).to_owned())).collect();
    let mut add = |status: u16, about: String| {
        let text = refusals.entry(status).or_default();
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&about);
    };
    if endpoint.method.has_body() {
        add(413, "`PAYLOAD_TOO_LARGE`: over `MAX_PAYLOAD_SIZE` (1 MiB by default).".to_owned());
    }
    if !endpoint.is_read() {
        add(409, "`VALIDATION_ERROR`: the `Idempotency-Key` was used for another request.".to_owned());
    }
    if matches!((endpoint.method, endpoint.action()), (Method::Post, "create_user")) {
        add(409, "`VALIDATION_ERROR` with `field`: the username is taken.".to_owned());
    }
    let own = endpoint.spec().map_or(&[][..], |spec| spec.errors);
    let is_common = |code: &ErrorCode| matches!(code, ErrorCode::ResourceNotFound | ErrorCode::PermissionDenied);
    for code in own.iter().filter(|code| !is_common(code)) {
        add(code.http_status(), format!("`{}`.", code.as_str()));
    }
    refusals
}
