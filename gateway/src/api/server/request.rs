//! Turns a request into the fields that its command expects, from path, query and body.

use http::{HeaderMap, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};
use shared::ids::UserId;
use shared::protocol::Fields;
use shared::protocol::spec::{Field, Kind};
use shared::server_api::{ACTING_USER, MAX_IDEMPOTENCY_KEY_CHARACTERS, ServerEndpoint, ServerOperation, field_of};
use shared::telemetry::traces::TraceContext;

use crate::api::error::ApiError;

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A request to an endpoint, before parsing.
pub struct Incoming<'a> {
    pub endpoint: &'static ServerEndpoint,
    pub parameters: Vec<(&'static str, &'a str)>,
    /// The path after the prefix.
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
}

/// A parsed request.
pub struct Parsed {
    pub endpoint: &'static ServerEndpoint,
    /// The user for whom it acts; absent if the request is not for a user.
    pub user: Option<UserId>,
    pub fields: Map<String, Value>,
    pub idempotency_key: Option<String>,
    /// A hash of what a repetition has to repeat.
    pub fingerprint: [u8; 32],
    /// The `traceparent`. Any key holder may request tracing.
    pub trace: Option<TraceContext>,
}

impl Parsed {
    pub fn new(incoming: &Incoming<'_>, body: &[u8]) -> Result<Self, ApiError> {
        let endpoint = incoming.endpoint;
        let mut fields = match endpoint.method.has_body() {
            true => object(body)?,
            false => query(&endpoint.fields(), incoming.query),
        };
        let fingerprint = fingerprint(incoming, &fields);
        let mut user = None;
        for &(name, value) in &incoming.parameters {
            let value = percent_decode_str(value).decode_utf8_lossy();
            match field_of(name) {
                Some(field) => drop(fields.insert(field.to_owned(), Value::from(value))),
                None => user = Some(acting_user(&value)?),
            }
        }
        let idempotency_key = idempotency_key(incoming)?;
        let traceparent = incoming.headers.get("traceparent").and_then(|header| header.to_str().ok());
        let trace = traceparent.and_then(TraceContext::from_traceparent);
        Ok(Parsed { endpoint, user, fields, idempotency_key, fingerprint, trace })
    }
}

impl Parsed {
    /// The user for whom the request acts.
    pub fn acting(&self) -> Result<UserId, ApiError> {
        self.user.ok_or_else(ApiError::nothing)
    }

    /// True if the audit log records it: every change, and each read of a user's data.
    pub fn is_audited(&self) -> bool {
        match self.endpoint.operation {
            ServerOperation::Export => !self.fields.contains_key("cursor"),
            _ => !self.endpoint.is_read(),
        }
    }
}

/// Hashes the fields and not the bytes, because a repetition may write the same JSON differently. The hash includes the
/// API key, which is stored nowhere, so that a reader of the database cannot find out a text from its hash.
fn fingerprint(incoming: &Incoming<'_>, fields: &Map<String, Value>) -> [u8; 32] {
    let fields = Value::from_iter(fields.clone()).to_string();
    let key = incoming.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let key = key.and_then(|value| value.rsplit(' ').next()).unwrap_or_default();
    let mut hash = Sha256::new();
    for part in [key, incoming.endpoint.method.as_str(), incoming.path, &fields] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn acting_user(text: &str) -> Result<UserId, ApiError> {
    let fields = Map::from_iter([(ACTING_USER.to_owned(), Value::from(text))]);
    Fields(&fields).required_user_id(ACTING_USER).map_err(|invalid| ApiError::invalid(&invalid))
}

fn idempotency_key(incoming: &Incoming<'_>) -> Result<Option<String>, ApiError> {
    let Some(value) = incoming.headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| !text.is_empty() && text.len() <= MAX_IDEMPOTENCY_KEY_CHARACTERS);
    let message = || format!("`Idempotency-Key` must have 1 to {MAX_IDEMPOTENCY_KEY_CHARACTERS} ASCII characters");
    match text {
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(ApiError::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", message())),
    }
}

/// Parses a body; an empty one is an object without fields.
fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let bad = |code, message: String| Err(ApiError::new(StatusCode::BAD_REQUEST, code, message));
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => bad("VALIDATION_ERROR", "The body must be a JSON object".to_owned()),
        Err(error) => bad("INVALID_JSON", format!("The body is not valid JSON: {error}")),
    }
}

/// Turns each text into the type of its field; one that does not fit stays a text, which the command rejects.
fn query(fields: &[Field], query: &str) -> Map<String, Value> {
    let value = |name: &str, text: &str| match fields.iter().find(|field| field.name == name).map(|field| field.kind) {
        Some(Kind::Boolean) => text.parse::<bool>().map_or_else(|_| Value::from(text), Value::from),
        Some(Kind::Integer { .. }) => text.parse::<Number>().map_or_else(|_| Value::from(text), Value::Number),
        _ => Value::from(text),
    };
    form_urlencoded::parse(query.as_bytes())
        .map(|(name, text)| {
            let value = value(&name, &text);
            (name.into_owned(), value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::protocol::spec::LIMIT;

    #[test]
    fn a_query_has_what_its_fields_hold() {
        let fields = [
            LIMIT,
            Field::optional("permanent", Kind::Boolean, ""),
            Field::optional("cursor", Kind::Cursor, ""),
            Field::optional("conversationId", Kind::DirectConversationId, ""),
        ];
        let fields = query(&fields, "limit=20&permanent=true&conversationId=conv_1_2&cursor=1234567890&a=%C3%A9+b");
        assert_eq!(Fields(&fields).limit(), Ok(20));
        assert_eq!(fields["permanent"], true);
        assert_eq!(fields["conversationId"], "conv_1_2");
        assert_eq!(fields["cursor"], "1234567890");
        assert_eq!(fields["a"], "\u{e9} b");
        assert_eq!(query(&[LIMIT], "limit=x")["limit"], "x");
    }
}
