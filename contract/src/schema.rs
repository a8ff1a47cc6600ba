//! JSON schemas: of the types that are sent, by schemars, and of the fields that are received, from their description.

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};
use shared::cursor::MAX_CURSOR_CHARACTERS;
use shared::limits::{Limits, MAX_REQUEST_ID_CHARACTERS};
use shared::protocol::Spec;
use shared::protocol::spec::{Field, Kind, Requirement};

use crate::meaning;

/// For types as they are sent; both kinds of documents keep their schemas in one place.
pub fn generator() -> SchemaGenerator {
    let settings = SchemaSettings::draft07().for_serialize();
    settings
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
        .into_generator()
}

/// The schema of a type itself rather than a reference to it.
pub fn inline<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    let schema = T::json_schema(generator).to_value();
    let description = schema["description"].clone();
    let mut schema = match schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        // A type that only wraps another one.
        Some(name) => generator.definitions().get(name).cloned().unwrap_or_default(),
        None => schema,
    };
    if !description.is_null() {
        schema["description"] = description;
    }
    tidy(&mut schema);
    schema
}

/// The schemas that others refer to.
pub fn components(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let mut schemas = generator.take_definitions(true);
    schemas.values_mut().for_each(tidy);
    schemas
}

/// Makes a schema say what is sent: what may be absent is never `null`. References have no siblings, which the draft would
/// ignore, and formats are those that everybody knows.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(map) => {
            let required: Vec<String> =
                map.get("required").and_then(Value::as_array).into_iter().flatten().map(text).collect();
            if let Some(Value::Object(properties)) = map.get_mut("properties") {
                for (name, property) in properties.iter_mut() {
                    describe(name, property);
                }
                for (_, property) in properties.iter_mut().filter(|(name, _)| !required.contains(name)) {
                    // Where `null` says something, the description says what.
                    if property["description"].as_str().is_some_and(|about| about.contains("`null`")) {
                        continue;
                    }
                    remove_null(property);
                }
            }
            if map.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                map.remove("format");
            }
            if map.len() > 1
                && let Some(reference) = map.remove("$ref")
            {
                map.insert("allOf".to_owned(), json!([{"$ref": reference}]));
            }
            map.values_mut().for_each(tidy);
        }
        _ => {}
    }
}

/// Adds what fields of this name mean, unless the field says so itself.
fn describe(name: &str, property: &mut Value) {
    if let (Value::Object(property), Some(meaning)) = (property, meaning::of(name))
        && !property.contains_key("description")
    {
        property.insert("description".to_owned(), json!(meaning));
    }
}

fn remove_null(schema: &mut Value) {
    if let Some(kind) = schema.get_mut("type")
        && let Some(types) = kind.as_array_mut()
    {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            *kind = only.clone();
        }
    }
    let Some(variants) = schema.get_mut("anyOf").and_then(Value::as_array_mut) else { return };
    variants.retain(|variant| variant["type"] != "null");
    if let [only] = variants.as_slice() {
        let only = only.clone();
        if let (Value::Object(map), Value::Object(only)) = (schema, only) {
            map.remove("anyOf");
            map.extend(only);
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The whole frame of a command.
pub fn command(spec: &Spec) -> Value {
    let mut schema = object(spec.fields);
    let names: Vec<&str> = [spec.name].iter().chain(spec.aliases).copied().collect();
    let request_id = "Repeated in the direct answer, also in an error.";
    let text = json!({"type": "string", "maxLength": MAX_REQUEST_ID_CHARACTERS});
    schema["properties"]["type"] = json!({"enum": names});
    schema["properties"]["requestId"] = json!({"anyOf": [text, {"type": "integer"}], "description": request_id});
    if let Some(required) = schema["required"].as_array_mut() {
        required.insert(0, json!("type"));
    }
    schema["description"] = json!(spec.summary);
    schema
}

/// An object of these fields. Unknown ones are ignored, and a `null` is as good as absent.
pub fn object(fields: &[Field]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let mut choices: Vec<Value> = Vec::new();
    for field in fields {
        let mut schema = kind(&field.kind);
        schema["description"] = json!(field.about);
        match field.requirement {
            Requirement::Default(default) => schema["default"] = serde_json::from_str(default).unwrap_or_default(),
            Requirement::Required => {
                let others = fields.iter().filter(|other| other.requirement == Requirement::InsteadOf(field.name));
                let names: Vec<&str> = [field.name].into_iter().chain(others.map(|other| other.name)).collect();
                match names.as_slice() {
                    [only] => required.push(json!(only)),
                    names => choices.push(any_of(names)),
                }
            }
            Requirement::Optional | Requirement::InsteadOf(_) | Requirement::AtLeastOne => {}
        }
        properties.insert(field.name.to_owned(), schema);
    }
    let one_of_these = fields.iter().filter(|field| field.requirement == Requirement::AtLeastOne);
    let one_of_these: Vec<&str> = one_of_these.map(|field| field.name).collect();
    if !one_of_these.is_empty() {
        choices.push(any_of(&one_of_these));
    }
    let mut schema = json!({"type": "object", "properties": properties, "required": required});
    match choices.as_slice() {
        [] => {}
        [only] => schema["anyOf"] = only["anyOf"].clone(),
        _ => schema["allOf"] = Value::Array(choices),
    }
    schema
}

fn any_of(names: &[&str]) -> Value {
    let variants: Vec<Value> = names.iter().map(|name| json!({"required": [name]})).collect();
    json!({"anyOf": variants})
}

const UUID: &str = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}";
const DIGITS: &str = "0*[1-9][0-9]{0,18}";
/// No U+0000, which a database cannot store.
const STORABLE: &str = r"^[^\u0000]*$";
const NOT_BLANK: &str = r"^[^\u0000]*[^\s\u0000][^\u0000]*$";

fn kind(of: &Kind) -> Value {
    let limits = Limits::default();
    let pattern = |pattern: String| json!({"type": "string", "pattern": format!("^{pattern}$")});
    let text = |min: usize, max: usize, pattern: &str| json!({"type": "string", "minLength": min, "maxLength": max, "pattern": pattern});
    match *of {
        Kind::UserId => {
            json!({"anyOf": [pattern(DIGITS.to_owned()), {"type": "integer", "minimum": 1, "maximum": i64::MAX}]})
        }
        // With ids that the original gave out.
        Kind::MessageId => pattern(format!("((msg_)?{UUID}|msg_[0-9]{{1,64}}_[0-9A-Za-z]{{1,64}})")),
        Kind::GroupId => pattern(format!("group_{UUID}")),
        Kind::DirectConversationId => pattern(format!("conv_{DIGITS}_{DIGITS}")),
        Kind::ConversationId => pattern(format!("(conv_{DIGITS}_{DIGITS}|group_{UUID})")),
        Kind::ForeignId(max) => json!({"anyOf": [text(1, max, STORABLE), {"type": "integer"}]}),
        Kind::Content => text(1, limits.message_characters, r"\S"),
        Kind::Text { min, max } => text(min, max, STORABLE),
        Kind::Words { max } => text(1, max, NOT_BLANK),
        Kind::Username { min, max } => text(min, max, r"^[\p{L}\p{N}_.-]*[\p{L}\p{N}_]$"),
        Kind::Email { max } => text(3, max, r"^[^\s\u0000]*@[^\s\u0000]*$"),
        Kind::AnyString => json!({"type": "string"}),
        Kind::Boolean => json!({"type": "boolean"}),
        // Larger numbers than any integer type holds are cut, too.
        Kind::LIMIT => json!({"type": "integer", "minimum": 1}),
        Kind::Integer { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::MemberCount => json!({"type": "integer", "minimum": 1, "maximum": limits.group_members}),
        Kind::Time => json!({"type": "string", "format": "date-time"}),
        Kind::TimeOrNull => json!({"type": ["string", "null"], "format": "date-time"}),
        Kind::Cursor => {
            json!({"type": "string", "pattern": "^([0-9a-f]{2})+$", "minLength": 10, "maxLength": MAX_CURSOR_CHARACTERS})
        }
        Kind::Choice(names) => json!({"type": "string", "enum": names}),
        Kind::UserIds { most } => json!({"type": "array", "items": kind(&Kind::UserId), "maxItems": most}),
        Kind::Positions { most, has_versions } => json!({
            "type": "object",
            "propertyNames": kind(&Kind::ConversationId),
            "additionalProperties": position(has_versions),
            "maxProperties": most,
        }),
        Kind::EventIds { most } => {
            json!({"type": "array", "items": {"type": "string", "format": "uuid"}, "maxItems": most})
        }
        Kind::AnyJson => json!({}),
        Kind::Metadata { or_null: false, .. } => json!({"type": "object"}),
        Kind::Metadata { or_null: true, .. } => json!({"type": ["object", "null"]}),
        Kind::Object(fields) => object(fields),
        Kind::List { of, most } => json!({"type": "array", "items": kind(of), "maxItems": most}),
    }
}

/// What a client knows of a conversation.
fn position(has_version: bool) -> Value {
    let number = json!({"type": "integer", "minimum": 0, "maximum": i64::MAX});
    if !has_version {
        return number;
    }
    let known = json!({"type": "object", "properties": {"seq": number, "version": number}, "required": ["seq"]});
    json!({"anyOf": [number, known]})
}
