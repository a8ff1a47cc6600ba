//! Turns commands of the original's clients into commands of `chat.v1`.

use serde_json::{Value, json};

use super::super::Object;
use crate::clock::Timestamp;
use crate::commands::{Contract, LeaveGroup, ResignFromGroup};
use crate::limits::Limits;
use crate::protocol::Invalid;

/// Numbers that may be sent as strings.
const NUMBERS: [&str; 3] = ["limit", "offset", "maxMembers"];

pub fn command(command: &mut Object, limits: &Limits) -> Result<(), Invalid> {
    for name in NUMBERS {
        if let Some(value) = command.get_mut(name)
            && let Some(number) = value.as_str().and_then(|text| text.trim().parse::<i64>().ok())
        {
            *value = json!(number);
        }
    }
    let most = i64::from(limits.group_members);
    if let Some(value) = command.get_mut("maxMembers")
        && value.as_i64().is_some_and(|number| number > most)
    {
        *value = json!(most);
    }
    for name in ["content", "newContent"] {
        if command.get(name).and_then(Value::as_str).is_some_and(has_script) {
            return Err(Invalid::new("content", "Message contains potentially harmful content: script tags"));
        }
    }
    // Everyone may leave, and the group of its last admin is then deleted.
    if command.get("type").is_some_and(|kind| kind == LeaveGroup::NAME) {
        command.insert("type".to_owned(), json!(ResignFromGroup::NAME));
    }
    Ok(())
}

/// Its clients rely on script tags being rejected, since some display content as HTML.
fn has_script(content: &str) -> bool {
    content.as_bytes().windows(7).any(|bytes| bytes.eq_ignore_ascii_case(b"<script"))
}

/// Confirms `typing`.
pub fn confirmation(command: &Object) -> Option<Value> {
    if command.get("type")? != "typing" {
        return None;
    }
    let mut confirmation = json!({
        "type": "typing_indicator_sent",
        "isTyping": command.get("isTyping"),
        "timestamp": Timestamp::now(),
    });
    for name in ["recipientId", "groupId", "requestId"] {
        if let Some(value) = command.get(name).filter(|value| !value.is_null()) {
            let is_id = name != "requestId";
            // Ids are sent as strings, whatever they were in the command.
            let number = value.as_i64().filter(|_| is_id);
            confirmation[name] = number.map_or_else(|| value.clone(), |number| json!(number.to_string()));
        }
    }
    Some(confirmation)
}
