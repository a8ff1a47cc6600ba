//! `sdk/src/generated/protocol.ts`: the WebSocket contract as TypeScript, generated from the AsyncAPI document.
//! Generators from npm emit index signatures for objects that accept further fields, and those break narrowing by
//! `type`; this one does not.

use serde_json::{Map, Value};
use shared::protocol::CloseCode;
use shared::server_api;

use crate::asyncapi::asyncapi;
use crate::json;

const LINE_CHARACTERS: usize = 120;
/// Enums that programs compare with: they also become objects of constants.
const CONSTANTS: [&str; 2] = ["ErrorCode", "AuthErrorCode"];

/// The module. Every type is an interface or an alias, so that only the code constants exist at run time.
pub fn typescript() -> String {
    let document = asyncapi();
    let mut module =
        String::from("// Made by `chatctl docs typescript` from the contract of the server. Do not edit.\n");
    let schemas = entries(&document["components"]["schemas"]);
    for (name, schema) in &schemas {
        named(&mut module, name, schema);
    }
    close_codes(&mut module);
    let operations = &document["operations"];
    let (commands, events): (Vec<_>, Vec<_>) =
        entries(&document["components"]["messages"]).into_iter().partition(|(name, _)| is_command(operations, name));
    for (name, message) in &events {
        named(&mut module, &event_name(name), &message["payload"]);
    }
    for (name, message) in &commands {
        command(&mut module, name, &message["payload"]);
    }
    map(&mut module, "Every event by its `type`.", "Events", events.iter().map(|(name, _)| (*name, event_name(name))));
    module.push_str(
        "\n/** Everything the server sends, distinguished by `type`. */\nexport type ChatEvent = Events[keyof Events];\n",
    );
    let durable = events.iter().filter(|(_, message)| message["payload"]["properties"].get("eventId").is_some());
    let durable: Vec<String> = durable.map(|(name, _)| format!("\n  | {}", event_name(name))).collect();
    let about = "Kept for users who are offline; `eventId` identifies repetitions.";
    module.push_str(&format!("\n/** {about} */\nexport type DurableEvent ={};\n", durable.concat()));
    map(
        &mut module,
        "Every command by its `type`.",
        "Commands",
        commands.iter().map(|(name, _)| (*name, command_name(name))),
    );
    let answers = commands.iter().map(|(name, _)| (*name, answer(&operations[*name])));
    map(&mut module, "The direct answer to each command on success.", "Answers", answers);
    module
}

/// `sdk/src/generated/server-api.ts`: method and path of every endpoint of the server API. Path parameters have the
/// names of the command's fields.
pub fn server_endpoints() -> String {
    let mut module = String::from(
        "// Made by `chatctl docs endpoints` from the contract of the server. Do not edit.\n\n\
         /** Method and path of each endpoint by its name in the audit log. */\nexport const SERVER_ENDPOINTS = {\n",
    );
    for endpoint in server_api::ENDPOINTS {
        let mut path = endpoint.path.to_owned();
        for parameter in endpoint.parameters() {
            let field = server_api::field_of(parameter).unwrap_or("actingUser");
            path = path.replace(&format!("{{{parameter}}}"), &format!("{{{field}}}"));
        }
        module.push_str(&format!("  {}: [\"{}\", \"{path}\"],\n", endpoint.action(), endpoint.method.as_str()));
    }
    module.push_str("} as const;\n");
    module
}

fn entries(map: &Value) -> Vec<(&str, &Value)> {
    map.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect()
}

fn is_command(operations: &Value, message: &str) -> bool {
    operations[message]["action"] == "receive"
}

/// The types of the answers except errors.
fn answer(operation: &Value) -> String {
    let replies = operation["reply"]["messages"].as_array().into_iter().flatten();
    let names = replies.filter_map(|reply| reply["$ref"].as_str()?.rsplit('/').next());
    // The parts of a `sync` come before its answer and do not echo its `requestId`.
    let is_answer = |name: &&str| !matches!(*name, "error" | "auth_error") && !crate::events::is_part_of_sync(name);
    let names = names.filter(is_answer);
    let names: Vec<String> = names.map(event_name).collect();
    if names.is_empty() { "undefined".to_owned() } else { names.join(" | ") }
}

fn event_name(name: &str) -> String {
    match name {
        // Not `ErrorEvent`, which is a DOM type.
        "error" => "ErrorAnswer".to_owned(),
        name => format!("{}Event", pascal(name)),
    }
}

fn command_name(name: &str) -> String {
    format!("{}Command", pascal(name))
}

fn pascal(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').filter(|word| !word.is_empty()).map(capital).collect()
}

fn named(module: &mut String, name: &str, schema: &Value) {
    module.push('\n');
    comment(module, "", schema);
    if CONSTANTS.contains(&name) {
        constants(module, name, schema);
    } else if schema["properties"].is_object() {
        module.push_str(&format!("export interface {name} {}\n", object(schema, 0)));
    } else {
        module.push_str(&format!("export type {name} = {};\n", expression(schema, 0)));
    }
}

fn constants(module: &mut String, name: &str, schema: &Value) {
    module.push_str(&format!("export const {name} = {{\n"));
    for variant in schema["oneOf"].as_array().into_iter().flatten() {
        comment(module, "  ", variant);
        module.push_str(&format!("  {}: {},\n", variant["const"].as_str().unwrap_or_default(), variant["const"]));
    }
    module.push_str(&format!("}} as const;\nexport type {name} = (typeof {name})[keyof typeof {name}];\n"));
}

fn close_codes(module: &mut String) {
    module.push_str("\n/** Why the server closes a connection. */\nexport const CloseCode = {\n");
    for code in CloseCode::ALL {
        module.push_str(&format!("  /** {} */\n  {code:?}: {},\n", code.about(), *code as u16));
    }
    module.push_str("} as const;\nexport type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];\n");
}

/// Fields of which at least one is required become a union, next to the other fields.
fn command(module: &mut String, name: &str, schema: &Value) {
    let mut schema = schema.clone();
    // Aliases are for old clients.
    schema["properties"]["type"] = serde_json::json!({"const": name});
    module.push('\n');
    comment(module, "", &schema);
    let mut choices: Vec<&Value> = schema["allOf"].as_array().into_iter().flatten().map(|all| &all["anyOf"]).collect();
    choices.extend(schema.get("anyOf"));
    let mut text = object(&schema, 0);
    for choice in &choices {
        let variants = choice.as_array().into_iter().flatten().filter_map(|variant| variant["required"][0].as_str());
        let variants = variants.map(|field| format!("{{ {field}: {} }}", expression(&schema["properties"][field], 0)));
        text.push_str(&format!(" & ({})", variants.collect::<Vec<_>>().join(" | ")));
    }
    let name = command_name(name);
    if choices.is_empty() {
        module.push_str(&format!("export interface {name} {text}\n"));
    } else {
        module.push_str(&format!("export type {name} = {text};\n"));
    }
}

fn map<'a>(module: &mut String, about: &str, name: &str, members: impl Iterator<Item = (&'a str, String)>) {
    module.push_str(&format!("\n/** {about} */\nexport interface {name} {{\n"));
    members.for_each(|(name, value)| module.push_str(&format!("  {name}: {value};\n")));
    module.push_str("}\n");
}

fn comment(module: &mut String, indent: &str, schema: &Value) {
    let Some(about) = schema["description"].as_str() else { return };
    let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
    if indent.len() + about.len() + 7 <= LINE_CHARACTERS {
        module.push_str(&format!("{indent}/** {about} */\n"));
        return;
    }
    module.push_str(&format!("{indent}/**"));
    let mut used = LINE_CHARACTERS;
    for word in about.split(' ') {
        if used + word.len() >= LINE_CHARACTERS {
            module.push_str(&format!("\n{indent} *"));
            used = indent.len() + 2;
        }
        module.push_str(&format!(" {word}"));
        used += word.len() + 1;
    }
    module.push_str(&format!("\n{indent} */\n"));
}

fn object(schema: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth + 1);
    let required = schema["required"].as_array();
    let mut text = String::from("{\n");
    for (name, property) in first_the_type(&schema["properties"]) {
        comment(&mut text, &indent, property);
        let is_required = required.is_some_and(|names| names.iter().any(|required| required == name));
        let mark = if is_required { "" } else { "?" };
        text.push_str(&format!("{indent}{name}{mark}: {};\n", expression(property, depth + 1)));
    }
    text.push_str(&format!("{}}}", "  ".repeat(depth)));
    text
}

fn first_the_type(properties: &Value) -> Vec<(&str, &Value)> {
    let mut properties = entries(properties);
    properties.sort_by_key(|(name, _)| (*name != "type", *name));
    properties
}

fn expression(schema: &Value, depth: usize) -> String {
    let Some(map) = schema.as_object() else { return "unknown".to_owned() };
    if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some(constant) = map.get("const") {
        return json::on_one_line(constant);
    }
    for (keyword, operator) in [("allOf", " & "), ("anyOf", " | "), ("oneOf", " | ")] {
        if let Some(parts) = map.get(keyword).and_then(Value::as_array) {
            return parts.iter().map(|part| expression(part, depth)).collect::<Vec<_>>().join(operator);
        }
    }
    if let Some(values) = map.get("enum").and_then(Value::as_array) {
        return values.iter().map(json::on_one_line).collect::<Vec<_>>().join(" | ");
    }
    match map.get("type") {
        Some(Value::String(kind)) => simple(kind, map, schema, depth),
        Some(Value::Array(kinds)) => {
            let kinds = kinds.iter().filter_map(Value::as_str).map(|kind| simple(kind, map, schema, depth));
            kinds.collect::<Vec<_>>().join(" | ")
        }
        _ => "unknown".to_owned(),
    }
}

fn simple(kind: &str, map: &Map<String, Value>, schema: &Value, depth: usize) -> String {
    match kind {
        "string" | "boolean" | "null" => kind.to_owned(),
        "integer" | "number" => "number".to_owned(),
        "array" => {
            let item = expression(&schema["items"], depth);
            if item.contains(' ') { format!("({item})[]") } else { format!("{item}[]") }
        }
        "object" if map.contains_key("properties") => object(schema, depth),
        "object" => match map.get("additionalProperties") {
            Some(value) => format!("Record<string, {}>", expression(value, depth)),
            None => "Record<string, unknown>".to_owned(),
        },
        _ => "unknown".to_owned(),
    }
}
