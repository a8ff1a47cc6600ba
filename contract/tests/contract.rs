//! The documents themselves, and compared with the parser that they describe.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeSet, HashSet};

use contract::events::EVENTS;
use contract::{check, examples, schema};
use serde_json::{Map, Value, json};
use shared::commands::{Command, DecodeContext, SPECS};
use shared::endpoints::ENDPOINTS;
use shared::ids::UserId;
use shared::limits::Limits;
use shared::protocol::spec::{Field, Requirement};
use shared::protocol::{Fields, Frame, Spec};

/// The sender of the examples.
const ALICE: DecodeContext<'static> = DecodeContext {
    caller: UserId(17),
    limits: &Limits { message_characters: 5000, group_members: 50, group_name_characters: 100, offset: 10_000 },
};

fn parses(spec: &Spec, request: &Map<String, Value>) -> bool {
    Command::decode(spec.name, Fields(request), &ALICE).unwrap().is_ok()
}

fn is_decoded_here(spec: &Spec) -> bool {
    Command::exists(spec.name)
}

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::options().with_draft(jsonschema::Draft::Draft7).should_validate_formats(true).build(schema).unwrap()
}

#[test]
fn every_command_has_a_valid_example_and_a_declared_answer() {
    for spec in SPECS {
        let request = examples::request(spec.name);
        assert_eq!(request["type"], spec.name, "an example of {}", spec.name);
        let frame = Frame::parse(&request.to_string()).unwrap();
        if is_decoded_here(spec) {
            let command = Command::decode(frame.kind(), frame.fields(), &ALICE).unwrap().unwrap();
            assert_eq!(command.name(), spec.name);
        }
        assert!(validator(&schema::command(spec)).is_valid(request), "{request}");
        for kind in spec.replies {
            let reply = examples::reply(spec.name, kind);
            check::event(&reply).unwrap();
            check::reply(spec.name, &reply).unwrap();
        }
    }
}

#[test]
fn every_event_has_an_example_that_is_as_declared() {
    for event in EVENTS {
        check::event(examples::event(event.name)).unwrap();
    }
    for kind in SPECS.iter().flat_map(|spec| spec.replies.iter().chain(spec.events)) {
        assert!(EVENTS.iter().any(|event| event.name == *kind), "{kind} is not an event");
    }
}

#[test]
fn every_endpoint_has_examples_that_are_as_declared() {
    for endpoint in ENDPOINTS {
        let answer = serde_json::from_str(endpoint.answered).unwrap();
        check::http_answer(endpoint.method.as_str(), endpoint.path, 200, &answer).unwrap();
        if let Some(body) = endpoint.example {
            let body: Value = serde_json::from_str(body).unwrap();
            assert!(validator(&schema::object(endpoint.body)).is_valid(&body), "{body}");
        }
        assert_eq!(endpoint.example.is_some(), !endpoint.body.is_empty(), "{}", endpoint.path);
    }
}

/// The page's table is maintained by hand; the document is generated.
#[test]
fn the_page_for_backends_lists_every_endpoint() {
    let page = include_str!("../../docs/integrate.md");
    let openapi = contract::openapi();
    for endpoint in shared::server_api::ENDPOINTS {
        let (method, path) = (endpoint.method.as_str(), endpoint.path);
        let row = format!("| `{}` | `{method} {path}` |\n", endpoint.scope.as_str());
        assert!(page.contains(&row), "{row}");
        let path = format!("{}{path}", shared::server_api::PREFIX);
        assert!(openapi["paths"][path][method.to_lowercase()]["responses"]["200"].is_object(), "{row}");
    }
    assert_eq!(
        page.matches(" | `GET /").count() + page.matches(" | `P").count() + page.matches(" | `DELETE /").count(),
        shared::server_api::ENDPOINTS.len()
    );
}

#[test]
fn every_field_that_is_sent_has_a_meaning() {
    let components = &contract::asyncapi()["components"];
    let events = EVENTS.iter().map(|event| (event.name, &components["messages"][event.name]["payload"]));
    let objects = components["schemas"].as_object().unwrap().iter().map(|(name, schema)| (name.as_str(), schema));
    let mut without = Vec::new();
    for (name, schema) in events.chain(objects) {
        let variants = schema["oneOf"].as_array().into_iter().flatten().chain([schema]);
        for (field, property) in variants.flat_map(|variant| variant["properties"].as_object().into_iter().flatten()) {
            let is_the_events_name = field == "type" && property["const"] == name;
            if !is_the_events_name && property["description"].as_str().is_none_or(str::is_empty) {
                without.push(format!("{name}.{field}"));
            }
        }
    }
    assert!(without.is_empty(), "a doc comment or contract/src/meaning.rs has to say what these mean: {without:#?}");
}

#[test]
fn faults_are_found() {
    let sent = examples::event("message_sent");
    for (field, value) in
        [("more", json!(1)), ("seq", json!("12")), ("createdAt", json!("today")), ("warning", json!(null))]
    {
        let mut broken = sent.clone();
        broken[field] = value;
        assert!(check::event(&broken).is_err(), "{field}");
    }
    let mut nested = examples::event("new_group_message").clone();
    nested["mentions"][0]["more"] = json!(1);
    assert!(check::event(&nested).is_err());
    assert!(check::event(&json!({"type": "made_up"})).is_err());
    assert!(check::reply("ping", sent).is_err());
    let refused = json!({"type": "error", "code": "GROUP_FULL"});
    assert!(check::reply("send_message", &refused).is_err() && check::reply("add_group_member", &refused).is_ok());
}

/// All events in the code, found in its text: the list must not be shorter.
#[test]
fn every_event_is_listed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/src/events");
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        for line in text.lines().map(str::trim) {
            let declared = line.strip_prefix("const TYPE: &'static str = \"").and_then(|rest| rest.strip_suffix("\";"));
            let wrapped = line
                .strip_suffix("\";")
                .and_then(|line| line.split_once(" = \""))
                .filter(|(name, _)| name.chars().all(char::is_alphanumeric));
            found.extend(declared.or(wrapped.map(|(_, name)| name)).map(str::to_owned));
        }
    }
    let listed: BTreeSet<String> = EVENTS.iter().map(|event| event.name.to_owned()).collect();
    assert_eq!(listed, found);
}

#[test]
fn the_documents_hold_together() {
    let mut names = HashSet::new();
    let all_names = SPECS.iter().flat_map(|spec| [spec.name].into_iter().chain(spec.aliases.iter().copied()));
    for name in all_names.chain(EVENTS.iter().map(|event| event.name)) {
        assert!(names.insert(name), "{name} occurs twice");
    }
    for document in [contract::asyncapi(), contract::openapi()] {
        let mut references = Vec::new();
        collect_references(&document, &mut references);
        assert!(references.len() > 10);
        for reference in references {
            let path = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(path).is_some(), "{reference} leads nowhere");
        }
    }
    assert!(contract::markdown::is_complete(), "a command is in no chapter");
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect_references(value, found));
        }
        _ => {}
    }
}

/// The values to try in a field: both sides of each bound, and each type.
fn values() -> Vec<Value> {
    let message = "msg_0195a4c3-0001-7a10-8c22-5b7d9e0f1a2b";
    let group = "group_0195a4c2-7f6e-7c31-9d5b-3f2a8e61c0b4";
    let mut values = vec![
        json!(null),
        json!(true),
        json!(false),
        json!([]),
        json!({}),
        json!(1.5),
        json!(-1),
        json!(0),
        json!(1),
        json!(42),
        json!(50),
        json!(51),
        json!(200),
        json!(201),
        json!(u32::MAX),
        json!(u64::from(u32::MAX) + 1),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(""),
        json!(" "),
        json!(" \n\t"),
        json!("42"),
        json!("007"),
        json!("0"),
        json!("-1"),
        json!("+1"),
        json!("x1"),
        json!("a\u{0}b"),
        json!(message),
        json!(message.to_uppercase()),
        json!(message.replace("msg_", "msg_X")),
        json!("msg_1"),
        json!(group),
        json!("group_1"),
        json!("conv_17_42"),
        json!("conv_42_17"),
        json!("conv_17"),
        json!("conv_0_42"),
        json!("conv_a_b"),
        json!("no id"),
        json!([42, "43"]),
        json!(["x"]),
        json!([0]),
        json!([null]),
        json!((1..=1000).collect::<Vec<i64>>()),
        json!((1..=1001).collect::<Vec<i64>>()),
        json!({"conv_17_42": 5, group: 0}),
        json!({"conv_17_42": -1}),
        json!({"conv_17_42": 1.5}),
        json!({"conv_17_42": "1"}),
        json!({"x": 1}),
    ];
    for length in [10, 11, 64, 65, 100, 101, 128, 129, 500, 501, 5000, 5001] {
        values.push(json!("ü".repeat(length)));
    }
    values
}

/// The example without the field and without the fields that can replace it.
fn without(spec: &Spec, field: &Field) -> Map<String, Value> {
    let mut request = examples::request(spec.name).as_object().unwrap().clone();
    let original = match field.requirement {
        Requirement::InsteadOf(other) => other,
        _ => field.name,
    };
    let related = |other: &&Field| other.name == original || other.requirement == Requirement::InsteadOf(original);
    for other in spec.fields.iter().filter(related) {
        request.remove(other.name);
    }
    request
}

#[test]
fn the_schemas_accept_what_the_parser_accepts_and_nothing_else() {
    let mut tried = 0;
    for spec in SPECS.iter().filter(|spec| is_decoded_here(spec)) {
        let validator = validator(&schema::command(spec));
        for field in spec.fields {
            let base = without(spec, field);
            let requests = values().into_iter().map(|value| {
                let mut request = base.clone();
                request.insert(field.name.to_owned(), value);
                request
            });
            for mut request in requests.chain([base.clone()]) {
                let parsed = parses(spec, &request);
                // Equivalent to an absent field.
                request.retain(|_, value| !value.is_null());
                let shown: String = Value::from(request.clone()).to_string().chars().take(300).collect();
                assert_eq!(validator.is_valid(&request.into()), parsed, "{shown}");
                tried += 1;
            }
        }
    }
    assert!(tried > 3_000, "{tried}");
}
