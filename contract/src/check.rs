//! Checks frames and HTTP answers against the checked-in documents, strictly: a type or field that a document does not
//! declare is an error, although clients are told to ignore both.

use std::collections::HashMap;
use std::sync::OnceLock;

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

struct Checks {
    events: HashMap<String, Validator>,
    /// By command: the types of its direct answer, and its error codes.
    commands: HashMap<String, (Vec<String>, Vec<String>)>,
    answers: HashMap<(String, String, String), Validator>,
}

fn checks() -> &'static Checks {
    static CHECKS: OnceLock<Checks> = OnceLock::new();
    CHECKS.get_or_init(load)
}

#[allow(clippy::expect_used, reason = "a document that cannot be read must fail every test")]
fn load() -> Checks {
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("a document is JSON");
    let mut asyncapi = parse(include_str!("../../docs/asyncapi.json"));
    let mut openapi = parse(include_str!("../../docs/openapi.json"));
    let names = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut checks = Checks { events: HashMap::new(), commands: HashMap::new(), answers: HashMap::new() };
    let operations = asyncapi["operations"].as_object().expect("operations").clone();
    for (name, operation) in operations.into_iter().filter(|(_, operation)| operation["action"] == "receive") {
        let last =
            |reference: &Value| reference["$ref"].as_str().and_then(|path| path.rsplit('/').next()).map(str::to_owned);
        let replies: Vec<String> =
            operation["reply"]["messages"].as_array().into_iter().flatten().filter_map(last).collect();
        let message = &asyncapi["components"]["messages"][&name];
        let contract = (replies, names(&message["x-errors"]));
        for alias in names(&message["x-aliases"]) {
            checks.commands.insert(alias, contract.clone());
        }
        checks.commands.insert(name, contract);
    }
    let schemas = &mut asyncapi["components"]["schemas"];
    close(schemas);
    let schemas = schemas.clone();
    for (name, message) in asyncapi["components"]["messages"].as_object().expect("messages") {
        if !checks.commands.contains_key(name) {
            checks.events.insert(name.clone(), validator(&message["payload"], &schemas));
        }
    }
    close(&mut openapi["components"]["schemas"]);
    let schemas = openapi["components"]["schemas"].clone();
    for (path, operations) in openapi["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let schema = &response["content"]["application/json"]["schema"];
                let key = (method.clone(), path.clone(), status.clone());
                checks.answers.insert(key, validator(schema, &schemas));
            }
        }
    }
    checks
}

#[allow(clippy::expect_used, reason = "a schema that cannot be used must fail every test")]
fn validator(schema: &Value, schemas: &Value) -> Validator {
    let mut schema = schema.clone();
    close(&mut schema);
    schema["components"] = json!({"schemas": schemas});
    let options = jsonschema::options().with_draft(Draft::Draft7).should_validate_formats(true);
    options.build(&schema).expect("a schema")
}

/// Forbids everything that is not declared.
fn close(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Object(map) => {
            map.values_mut().for_each(close);
            if map.get("properties").is_some_and(Value::is_object)
                && map.get("type").is_some_and(|kind| kind == "object")
            {
                map.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        _ => {}
    }
}

fn faults(validator: &Validator, value: &Value) -> Result<(), String> {
    let faults: Vec<String> =
        validator.iter_errors(value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

/// Checks this event against its declaration.
///
/// # Errors
/// What is wrong with it.
pub fn event(event: &Value) -> Result<(), String> {
    let kind = event["type"].as_str().unwrap_or_default();
    let validator =
        checks().events.get(kind).ok_or_else(|| format!("no event of type `{kind}` is declared: {event}"))?;
    if event.get("requestId").is_some() && event.get("eventId").is_some() {
        return Err(format!("a direct answer has no eventId: {event}"));
    }
    faults(validator, event).map_err(|faults| format!("`{kind}` is not as declared: {faults}: {event}"))
}

/// Checks that the document declares this answer for the command with this name; [`event`] checks the rest.
///
/// # Errors
/// What is wrong with it.
pub fn reply(command: &str, answer: &Value) -> Result<(), String> {
    // For an unknown command every error is correct.
    let Some((replies, errors)) = checks().commands.get(command) else { return Ok(()) };
    let kind = answer["type"].as_str().unwrap_or_default();
    if !replies.iter().any(|reply| reply == kind) {
        return Err(format!("`{kind}` is no declared answer to `{command}`: {answer}"));
    }
    let code = answer["code"].as_str().unwrap_or_default();
    if kind == "error" && !errors.iter().any(|error| error == code) {
        return Err(format!("{code} is no declared error of `{command}`: {answer}"));
    }
    Ok(())
}

/// True if a path matches this template, whose parameters are in braces.
fn is_path_of(template: &str, path: &str) -> bool {
    let is_same = |(expected, given): (&str, &str)| expected.starts_with('{') || expected == given;
    template.split('/').count() == path.split('/').count() && template.split('/').zip(path.split('/')).all(is_same)
}

/// Checks this JSON against the declaration of an HTTP answer.
///
/// # Errors
/// What is wrong with it.
pub fn http_answer(method: &str, path: &str, status: u16, body: &Value) -> Result<(), String> {
    let (method_name, status_text) = (method.to_lowercase(), status.to_string());
    let declared = checks().answers.iter().find(|((method, template, status), _)| {
        (method, status) == (&method_name, &status_text) && is_path_of(template, path)
    });
    let (_, validator) = declared.ok_or_else(|| format!("{method} {path} declares no {status}: {body}"))?;
    faults(validator, body).map_err(|faults| format!("{method} {path} {status} is not as declared: {faults}: {body}"))
}
