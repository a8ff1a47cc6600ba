//! Reading events: their type, their one-line form for error messages, and the ids that can be computed.

use serde_json::Value;

const SUMMARY_CHARACTERS: usize = 200;
const SUMMARISED_EVENTS: usize = 20;

/// The event's `type`; empty when it has none.
pub fn event_type(event: &Value) -> &str {
    event["type"].as_str().unwrap_or_default()
}

/// The id of the direct conversation of two users.
pub fn conversation_id(a: i64, b: i64) -> String {
    format!("conv_{}_{}", a.min(b), a.max(b))
}

/// One line of at most 200 characters.
pub fn summary(event: &Value) -> String {
    let text = event.to_string();
    match text.char_indices().nth(SUMMARY_CHARACTERS) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

/// What arrived instead, for the message of a failed expectation.
pub(crate) fn arrived(events: &[Value]) -> String {
    if events.is_empty() {
        return "nothing arrived".to_owned();
    }
    let mut text = format!("{} other events arrived:", events.len());
    for event in events.iter().take(SUMMARISED_EVENTS) {
        text.push_str("\n  ");
        text.push_str(&summary(event));
    }
    if events.len() > SUMMARISED_EVENTS {
        text.push_str("\n  …");
    }
    text
}

/// What was still unread when a connection ended; empty when there was nothing.
pub(crate) fn left(events: &[Value]) -> String {
    if events.is_empty() { String::new() } else { format!("; {}", arrived(events)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_id_is_in_numeric_order() {
        assert_eq!(conversation_id(10, 9), "conv_9_10");
    }

    #[test]
    fn a_summary_is_cut_between_characters() {
        let text = summary(&Value::String("ü".repeat(500)));
        assert_eq!(text.chars().count(), SUMMARY_CHARACTERS + 1);
    }
}
