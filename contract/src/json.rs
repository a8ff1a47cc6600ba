//! JSON for people: always in the same form, with everything on one line that belongs there.

use serde_json::Value;

/// These fields come first, in this order, followed by the others in theirs.
const FIRST: [&str; 12] = [
    "asyncapi",
    "openapi",
    "info",
    "servers",
    "type",
    "requestId",
    "eventId",
    "name",
    "title",
    "summary",
    "description",
    "$ref",
];

/// Ends with a newline. Lines stay below `width` characters if possible.
pub fn print(value: &Value, width: usize) -> String {
    let mut text = String::new();
    write(value, 0, width, &mut text);
    text.push('\n');
    text
}

fn write(value: &Value, indent: usize, width: usize, text: &mut String) {
    let line = on_one_line(value);
    let used = text.rsplit('\n').next().map_or(0, |line| line.chars().count());
    if used + line.chars().count() < width {
        text.push_str(&line);
        return;
    }
    let inner = " ".repeat(indent + 2);
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('{');
            for (place, (name, value)) in sorted(map).into_iter().enumerate() {
                text.push_str(if place == 0 { "\n" } else { ",\n" });
                text.push_str(&format!("{inner}{}: ", Value::from(name)));
                write(value, indent + 2, width, text);
            }
            text.push_str(&format!("\n{}}}", " ".repeat(indent)));
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                text.push_str(if place == 0 { "\n" } else { ",\n" });
                text.push_str(&inner);
                write(item, indent + 2, width, text);
            }
            text.push_str(&format!("\n{}]", " ".repeat(indent)));
        }
        _ => text.push_str(&line),
    }
}

/// `{"type": "ping", "requestId": 1}`
pub fn on_one_line(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let members = sorted(map).into_iter();
            let members: Vec<String> =
                members.map(|(name, value)| format!("{}: {}", Value::from(name), on_one_line(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(on_one_line).collect::<Vec<_>>().join(", ")),
        _ => value.to_string(),
    }
}

fn sorted(map: &serde_json::Map<String, Value>) -> Vec<(&str, &Value)> {
    let mut members: Vec<(&str, &Value)> = map.iter().map(|(name, value)| (name.as_str(), value)).collect();
    members.sort_by_key(|(name, _)| (FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()), *name));
    members
}
