//! One inbound text message as the contract sees it: a JSON object with a string `type` and an optional `requestId`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ErrorCode, Fields, Rejection};
use crate::limits::{MAX_JSON_DEPTH, MAX_JSON_VALUES, MAX_REQUEST_ID_CHARACTERS};

/// The value that the answer to a command echoes: a string or an integer, kept as its JSON text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestId(String);

impl RequestId {
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

/// A message of the general form; its `type` may still be unknown and its fields invalid.
pub struct Frame {
    fields: Map<String, Value>,
    pub request_id: Option<RequestId>,
}

/// A message that lacks the general form. The answer uses what could be read.
#[derive(Debug)]
pub struct Malformed {
    pub rejection: Rejection,
    pub request_id: Option<RequestId>,
    pub request_type: Option<String>,
}

impl Frame {
    /// Parses one text message. If a key occurs twice, the last one counts; a lone surrogate escape is not valid JSON.
    pub fn parse(text: &str) -> Result<Frame, Box<Malformed>> {
        let refuse = |code, details: String| {
            Box::new(Malformed { rejection: Rejection::new(code, details), request_id: None, request_type: None })
        };
        let (depth, values) = measure(text.as_bytes());
        if depth > MAX_JSON_DEPTH {
            let details = format!("JSON may be nested at most {MAX_JSON_DEPTH} levels deep");
            let request_id = if values > MAX_JSON_VALUES { None } else { readable_request_id(text) };
            return Err(Box::new(Malformed { request_id, ..*refuse(ErrorCode::ValidationError, details) }));
        }
        if values > MAX_JSON_VALUES {
            let details = format!("A message may have at most {MAX_JSON_VALUES} values and names");
            return Err(refuse(ErrorCode::ValidationError, details));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| {
            let details = format!("Line {}, column {}", error.line(), error.column());
            Box::new(Malformed { request_id: readable_request_id(text), ..*refuse(ErrorCode::InvalidJson, details) })
        })?;
        let Value::Object(fields) = value else {
            return Err(refuse(ErrorCode::ValidationError, "A message must be a JSON object".to_owned()));
        };
        let kind = Fields(&fields).get("type").and_then(Value::as_str);
        let request_id = match request_id(Fields(&fields).get("requestId")) {
            Ok(request_id) => request_id,
            Err(()) => {
                let details = format!(
                    "`requestId` must be a string of at most {MAX_REQUEST_ID_CHARACTERS} characters or an integer"
                );
                let rejection = Rejection::invalid("requestId", details);
                return Err(Box::new(Malformed { rejection, request_id: None, request_type: kind.map(str::to_owned) }));
            }
        };
        if kind.is_none() {
            let rejection = Rejection::invalid("type", "`type` must be a string");
            return Err(Box::new(Malformed { rejection, request_id, request_type: None }));
        }
        Ok(Frame { fields, request_id })
    }

    /// The `type`.
    pub fn kind(&self) -> &str {
        self.fields.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    /// The fields, for what turns them into those of a command of `chat.v1`. The `requestId` stays the same.
    pub fn fields_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.fields
    }

    pub fn fields(&self) -> Fields<'_> {
        Fields(&self.fields)
    }
}

/// The `requestId` of a text that looks like a JSON object but contains invalid values (a lone surrogate, or a number
/// out of range) or is nested too deeply.
fn readable_request_id(text: &str) -> Option<RequestId> {
    /// Other fields are only skipped, not evaluated.
    #[derive(Deserialize)]
    struct Only {
        #[serde(rename = "requestId")]
        request_id: Option<Value>,
    }
    let only: Only = serde_json::from_str(text).ok()?;
    request_id(only.request_id.as_ref()).ok().flatten()
}

fn request_id(value: Option<&Value>) -> Result<Option<RequestId>, ()> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= MAX_REQUEST_ID_CHARACTERS => {
            Ok(Some(RequestId(Value::String(text.clone()).to_string())))
        }
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(Some(RequestId(number.to_string()))),
        Some(_) => Err(()),
    }
}

/// The maximum nesting of a JSON text's brackets, and the number of its values and names; a cheap check before anything
/// is allocated for them.
fn measure(text: &[u8]) -> (usize, usize) {
    let (mut depth, mut deepest, mut values) = (0_usize, 0_usize, 0_usize);
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => rest = after_string(after),
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
                values += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' | b':' => values += 1,
            _ => {}
        }
    }
    (deepest, values)
}

/// What follows a string whose opening quote was read.
fn after_string(mut text: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', text) {
        if text[at] == b'"' {
            return &text[at + 1..];
        }
        // Whatever is escaped does not end the string.
        text = text.get(at + 2..).unwrap_or_default();
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> ErrorCode {
        match Frame::parse(text) {
            Err(malformed) => malformed.rejection.code,
            Ok(_) => panic!("accepted: {text}"),
        }
    }

    #[test]
    fn messages_that_are_not_json_or_not_commands_are_rejected() {
        for bad in ["", "{", "nope", "{\"type\":\"ping\"} x", "{\"type\":\"\\ud800\"}"] {
            assert_eq!(code(bad), ErrorCode::InvalidJson, "{bad}");
        }
        for bad in ["[]", "1", "null", "{}", "{\"type\":1}", "{\"type\":null}"] {
            assert_eq!(code(bad), ErrorCode::ValidationError, "{bad}");
        }
    }

    #[test]
    fn broken_json_is_rejected_with_its_request_id() {
        let echo = |text: &str| Frame::parse(text).err().and_then(|malformed| malformed.request_id);
        for value in ["\"\\ud800\"", "1e999", "[{\"y\":-1e999}]"] {
            for text in [
                format!("{{\"type\":\"ping\",\"x\":{value},\"requestId\":7}}"),
                format!("{{\"requestId\":7,\"type\":\"ping\",\"x\":{value}}}"),
            ] {
                assert_eq!(code(&text), ErrorCode::InvalidJson, "{text}");
                assert_eq!(echo(&text).unwrap().as_json(), "7", "{text}");
            }
        }
        assert_eq!(echo("{\"requestId\":\"\\ud800\"}"), None);
        assert_eq!(echo("{\"requestId\":7,"), None);
    }

    #[test]
    fn many_values_are_rejected_unless_they_are_text() {
        for (piece, most) in [("{\"\":0},", 21_665), ("0,", 64_995), ("[],", 32_497)] {
            let list = |count: usize| format!("{{\"type\":\"ping\",\"x\":[{}0]}}", piece.repeat(count));
            assert!(Frame::parse(&list(most)).is_ok(), "{most} times {piece}");
            assert_eq!(code(&list(most + 1)), ErrorCode::ValidationError, "{piece}");
        }
        let text = format!("{{\"type\":\"ping\",\"x\":\"{}\"}}", "{:[,".repeat(50_000));
        assert!(Frame::parse(&text).is_ok());
    }

    #[test]
    fn deep_nesting_is_rejected_unless_it_is_text() {
        for depth in [16, 1_000] {
            let x = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let deep = format!("{{\"type\":\"ping\",\"x\":{x},\"requestId\":7}}");
            assert_eq!(code(&deep), ErrorCode::ValidationError);
            let request_id = Frame::parse(&deep).err().and_then(|malformed| malformed.request_id);
            assert_eq!(request_id.unwrap().as_json(), "7", "{depth}");
        }
        let text = format!("{{\"type\":\"ping\",\"x\":\"\\\"{}\"}}", "[".repeat(50));
        assert!(Frame::parse(&text).is_ok());
    }

    #[test]
    fn request_ids_are_echoed_as_they_came() {
        let echo = |id: &str| {
            let frame = Frame::parse(&format!("{{\"type\":\"ping\",\"requestId\":{id}}}"));
            frame.map(|f| f.request_id.map(|id| id.as_json().to_owned())).map_err(|m| m.rejection.field)
        };
        assert_eq!(echo("7").unwrap().as_deref(), Some("7"));
        assert_eq!(echo("\"a\\\"b\"").unwrap().as_deref(), Some("\"a\\\"b\""));
        assert_eq!(echo("null").unwrap(), None);
        assert!(echo(&format!("\"{}\"", "é".repeat(64))).is_ok());
        for bad in [format!("\"{}\"", "é".repeat(65)), "1.5".into(), "true".into(), "[]".into()] {
            assert_eq!(echo(&bad).unwrap_err(), Some("requestId"), "{bad}");
        }
    }
}
