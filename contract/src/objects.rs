//! The tables of `docs/protocol.md` that list what is sent: the fields of events and of the objects in them, with type
//! and meaning, from the same schemas as in `asyncapi.json`.

use serde_json::{Map, Value};

/// The schemas that are shown as a single word or link, not as an object with its own chapter.
const WORDS: &[(&str, &str)] = &[
    ("ConversationId", "conversation id"),
    ("GroupId", "group id"),
    ("Message", "[message](#the-message-object)"),
    ("MessageId", "message id"),
    ("Timestamp", "time, RFC 3339"),
    ("UserId", "user id"),
];

/// A table of the object's fields; nothing if it has no fields.
pub fn table(page: &mut String, schema: &Value, schemas: &Map<String, Value>) {
    let variants = schema["oneOf"].as_array().map_or_else(|| vec![schema], |variants| variants.iter().collect());
    let fields: Vec<String> = variants.into_iter().flat_map(|variant| rows(variant, schemas)).collect();
    if !fields.is_empty() {
        page.push_str("\n| field | | type | meaning |\n|---|---|---|---|\n");
        page.push_str(&fields.concat());
    }
}

fn rows(schema: &Value, schemas: &Map<String, Value>) -> Vec<String> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    // The event's own name is the heading of the chapter.
    let shown =
        properties.filter(|(name, property)| *name != "type" || property["const"].is_null() || is_variant(schema));
    shown
        .map(|(name, property)| {
            let presence = if required.contains(&name.as_str()) { "always" } else { "" };
            // A description of several lines would end the table.
            let about = property["description"].as_str().unwrap_or_default().replace('\n', " ");
            format!("| `{name}` | {presence} | {} | {about} |\n", kind(property, schemas))
        })
        .collect()
}

/// Variants of an object are distinguished by a `type` that is a string; events have only the constant.
fn is_variant(schema: &Value) -> bool {
    schema["properties"]["type"]["type"] == "string"
}

/// The objects that have their own chapter, with their schemas.
pub fn chapters(schemas: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let is_word = |name: &str| WORDS.iter().any(|(known, _)| *known == name);
    schemas.iter().filter(move |(name, schema)| !is_word(name) && is_object(schema))
}

fn is_object(schema: &Value) -> bool {
    let is = |schema: &Value| schema["properties"].is_object();
    is(schema) || schema["oneOf"].as_array().is_some_and(|variants| variants.iter().all(is))
}

/// The type of a field in words.
fn kind(schema: &Value, schemas: &Map<String, Value>) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return named(reference.rsplit('/').next().unwrap_or_default(), schemas);
    }
    if let Some([only]) = schema["allOf"].as_array().map(Vec::as_slice) {
        return kind(only, schemas);
    }
    if let Some(variants) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        return variants.iter().map(|variant| kind(variant, schemas)).collect::<Vec<_>>().join(" or ");
    }
    if !schema["const"].is_null() {
        return format!("`{}`", schema["const"]);
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("list of: {}", kind(&schema["items"], schemas)),
        Value::String(name) => name.clone(),
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "any JSON".to_owned(),
    }
}

fn named(name: &str, schemas: &Map<String, Value>) -> String {
    if let Some((_, word)) = WORDS.iter().find(|(known, _)| *known == name) {
        return (*word).to_owned();
    }
    let schema = schemas.get(name).unwrap_or(&Value::Null);
    if is_object(schema) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    // Codes have their own table.
    if name.ends_with("Code") { "[code](#errors)".to_owned() } else { kind_of_choice(schema, schemas) }
}

fn kind_of_choice(schema: &Value, schemas: &Map<String, Value>) -> String {
    match schema["enum"].as_array() {
        Some(names) => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or "),
        None => kind(schema, schemas),
    }
}
