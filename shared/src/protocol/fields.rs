//! Reading a command's fields: ids as strings or integers, `null` as absent, unknown fields ignored, and errors that
//! name the field and the bound. It contains no rules of single commands.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::cursor::Cursor;
use crate::held_ids;
use crate::ids::{ConversationId, GroupId, MalformedId, MessageId, UserId};
use crate::limits::{DEFAULT_PAGE, MAX_PAGE};
use crate::metadata::{Metadata, MetadataField};

/// 2^53
const FIRST_FLOAT_WITHOUT_FRACTION: f64 = 9_007_199_254_740_992.0;

/// A field that breaks the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub field: &'static str,
    pub details: String,
}

impl Invalid {
    pub fn new(field: &'static str, details: impl Into<String>) -> Self {
        Invalid { field, details: details.into() }
    }

    pub fn required(field: &'static str) -> Self {
        Invalid::new(field, format!("`{field}` is required"))
    }
}

/// The fields of one command.
#[derive(Clone, Copy)]
pub struct Fields<'a>(pub &'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// The value of a field; `None` if it is absent or `null`.
    pub fn get(self, field: &str) -> Option<&'a Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    pub fn string(self, field: &'static str) -> Result<Option<&'a str>, Invalid> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Invalid::new(field, format!("`{field}` must be a string"))),
        }
    }

    /// A string of `min` to `max` characters that fits into a database text column.
    pub fn bounded(self, field: &'static str, min: usize, max: usize) -> Result<Option<String>, Invalid> {
        let Some(text) = self.string(field)? else { return Ok(None) };
        let characters = text.chars().count();
        if characters < min || characters > max {
            return Err(Invalid::new(
                field,
                format!("`{field}` must have {min} to {max} characters, not {characters}"),
            ));
        }
        if text.contains('\0') {
            return Err(Invalid::new(field, format!("`{field}` must not contain the character U+0000")));
        }
        Ok(Some(text.to_owned()))
    }

    /// An id of the main backend: a string of at most `max` characters, or an integer.
    pub fn foreign_id(self, field: &'static str, max: usize) -> Result<Option<String>, Invalid> {
        match self.get(field) {
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(Some(number.to_string())),
            _ => self.bounded(field, 1, max),
        }
    }

    pub fn boolean(self, field: &'static str) -> Result<Option<bool>, Invalid> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(Invalid::new(field, format!("`{field}` must be true or false"))),
        }
    }

    /// An integer in the given range.
    pub fn integer(self, field: &'static str, min: i64, max: i64) -> Result<Option<i64>, Invalid> {
        match self.get(field) {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) if (min..=max).contains(&number) => Ok(Some(number)),
                _ => Err(Invalid::new(field, format!("`{field}` must be an integer from {min} to {max}"))),
            },
        }
    }

    pub fn user_id(self, field: &'static str) -> Result<Option<UserId>, Invalid> {
        match self.get(field) {
            None => Ok(None),
            Some(value) => parse_user_id(value).map(Some).map_err(|malformed| malformed_field(field, malformed)),
        }
    }

    pub fn required_user_id(self, field: &'static str) -> Result<UserId, Invalid> {
        self.user_id(field)?.ok_or_else(|| Invalid::required(field))
    }

    pub fn message_id(self, field: &'static str) -> Result<Option<MessageId>, Invalid> {
        match self.get(field).and_then(Value::as_str).filter(|text| is_held(text, "msg_")) {
            Some(held) => Ok(held_ids::message_id(held)),
            None => self.parsed(field, MalformedId(MessageId::FORM)),
        }
    }

    pub fn required_message_id(self, field: &'static str) -> Result<MessageId, Invalid> {
        self.message_id(field)?.ok_or_else(|| Invalid::required(field))
    }

    pub fn group_id(self, field: &'static str) -> Result<Option<GroupId>, Invalid> {
        match self.get(field).and_then(Value::as_str).and_then(held_group) {
            Some(held) => Ok(Some(held)),
            None => self.parsed(field, MalformedId(GroupId::FORM)),
        }
    }

    pub fn required_group_id(self, field: &'static str) -> Result<GroupId, Invalid> {
        self.group_id(field)?.ok_or_else(|| Invalid::required(field))
    }

    pub fn conversation_id(self, field: &'static str) -> Result<Option<ConversationId>, Invalid> {
        match self.get(field) {
            None => Ok(None),
            Some(value) => value
                .as_str()
                .and_then(parse_conversation_id)
                .map(Some)
                .ok_or_else(|| malformed_field(field, MalformedId(ConversationId::FORM))),
        }
    }

    fn parsed<T: std::str::FromStr>(self, field: &'static str, form: MalformedId) -> Result<Option<T>, Invalid> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => text.parse().map(Some).map_err(|_| malformed_field(field, form)),
            Some(_) => Err(malformed_field(field, form)),
        }
    }

    /// Message text: kept exactly as sent, not empty after trimming, at most `max` characters. If a field has two
    /// names, the error uses the first one.
    pub fn content(self, names: &[&'static str], max: usize) -> Result<String, Invalid> {
        let field = names[0];
        let given = names.iter().copied().find(|name| self.get(name).is_some());
        let text = match given.and_then(|name| self.get(name)) {
            None => return Err(Invalid::required(field)),
            Some(Value::String(text)) => text,
            Some(_) => return Err(Invalid::new(field, format!("`{field}` must be a string"))),
        };
        if is_blank(text) {
            return Err(Invalid::new(field, format!("`{field}` must not be empty")));
        }
        let characters = text.chars().count();
        if characters > max {
            return Err(Invalid::new(field, format!("`{field}` must have at most {max} characters, not {characters}")));
        }
        Ok(text.clone())
    }

    /// A list of user ids, each once, at most `max` of them.
    pub fn user_ids(self, names: &[&'static str], max: usize) -> Result<Vec<UserId>, Invalid> {
        let field = names[0];
        let Some(value) = names.iter().find_map(|name| self.get(name)) else { return Ok(Vec::new()) };
        let Value::Array(items) = value else {
            return Err(Invalid::new(field, format!("`{field}` must be a list of user ids")));
        };
        if items.len() > max {
            return Err(Invalid::new(field, format!("`{field}` must name at most {max} users, not {}", items.len())));
        }
        let mut users = Vec::with_capacity(items.len());
        for item in items {
            let user = parse_user_id(item).map_err(|malformed| malformed_field(field, malformed))?;
            if !users.contains(&user) {
                users.push(user);
            }
        }
        Ok(users)
    }

    /// `limit`: 50 if absent, 200 if larger.
    pub fn limit(self) -> Result<u32, Invalid> {
        self.limit_of(DEFAULT_PAGE, MAX_PAGE)
    }

    /// `limit`, with these values for an absent and for a larger one.
    pub fn limit_of(self, default: u32, max: u32) -> Result<u32, Invalid> {
        // From 2^53 on, every JSON number is an integer, however it is written.
        let is_huge = |value: &Value| value.as_f64().is_some_and(|number| number >= FIRST_FLOAT_WITHOUT_FRACTION);
        if self.get("limit").is_some_and(is_huge) {
            return Ok(max);
        }
        let limit = self.integer("limit", 1, i64::MAX)?.unwrap_or(i64::from(default));
        Ok(limit.min(i64::from(max)) as u32)
    }

    /// `offset`, at most `max`: 0 if absent.
    pub fn offset(self, max: u32) -> Result<u32, Invalid> {
        Ok(self.integer("offset", 0, i64::from(max))?.unwrap_or(0) as u32)
    }

    /// `cursor`: where a part of a list begins; `None` for the first part.
    pub fn cursor<C: Cursor>(self) -> Result<Option<C>, Invalid> {
        let Some(text) = self.string("cursor")? else { return Ok(None) };
        let invalid = || Invalid::new("cursor", "`cursor` must be the `nextCursor` of an earlier answer");
        C::parse(text).map(Some).ok_or_else(invalid)
    }

    /// A time; `Some(None)` if it is `null`, which is different from absent.
    pub fn time_or_null(self, field: &'static str) -> Result<Option<Option<Timestamp>>, Invalid> {
        match self.0.get(field) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => match serde_json::from_value(value.clone()) {
                Ok(time) => Ok(Some(Some(time))),
                Err(_) => Err(Invalid::new(field, format!("`{field}` must be a time as RFC 3339 writes it, or null"))),
            },
        }
    }

    /// `metadata`, in which `null` is not the same as absent.
    pub fn metadata(self) -> Result<MetadataField, Invalid> {
        match self.0.get("metadata") {
            None => Ok(MetadataField::Absent),
            Some(Value::Null) => Ok(MetadataField::Null),
            Some(value) => Metadata::new(value)
                .map(MetadataField::Given)
                .map_err(|problem| Invalid::new("metadata", format!("`metadata` {problem}"))),
        }
    }

    pub fn event_ids(self, field: &'static str, max: usize) -> Result<Vec<Uuid>, Invalid> {
        let bad = || Invalid::new(field, format!("`{field}` must be a list of at most {max} event ids"));
        match self.get(field) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) if items.len() <= max => items
                .iter()
                .map(|item| item.as_str().and_then(|text| Uuid::try_parse(text).ok()).ok_or_else(bad))
                .collect(),
            Some(_) => Err(bad()),
        }
    }
}

/// Parses a conversation's id in our form, or one that the original server assigned to a group.
pub fn parse_conversation_id(text: &str) -> Option<ConversationId> {
    text.parse().ok().or_else(|| held_group(text).map(ConversationId::Group))
}

/// Parses a group's id that the original server assigned.
fn held_group(text: &str) -> Option<GroupId> {
    let is_held = is_held(text, "group_") || Uuid::try_parse(text).is_ok();
    is_held.then(|| held_ids::group_id(text)).flatten()
}

/// True if it looks like an id that the original server assigned and is not a UUID: `msg_<ms>_<random>`, or with
/// another prefix.
fn is_held(text: &str, prefix: &str) -> bool {
    let parts = text.strip_prefix(prefix).and_then(|rest| rest.split_once('_'));
    let all = |text: &str, is: fn(&u8) -> bool| !text.is_empty() && text.len() <= 64 && text.as_bytes().iter().all(is);
    parts.is_some_and(|(ms, random)| all(ms, u8::is_ascii_digit) && all(random, u8::is_ascii_alphanumeric))
}

/// Returns true if nothing is left after JavaScript's `trim`, which clients use too: to it U+FEFF is white space and U+0085 is
/// not.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}'))
}

fn malformed_field(field: &'static str, malformed: MalformedId) -> Invalid {
    Invalid::new(field, format!("`{field}` {malformed}"))
}

fn parse_user_id(value: &Value) -> Result<UserId, MalformedId> {
    let malformed = MalformedId(UserId::FORM);
    match value {
        Value::String(text) => text.parse(),
        Value::Number(number) => number.as_i64().filter(|id| *id > 0).map(UserId).ok_or(malformed),
        _ => Err(malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with<T>(value: Value, read: impl Fn(Fields<'_>) -> T) -> T {
        let Value::Object(map) = value else { panic!("an object") };
        read(Fields(&map))
    }

    #[test]
    fn ids_come_as_strings_or_integers_and_null_is_absent() {
        assert_eq!(with(json!({"u": 5}), |f| f.user_id("u")), Ok(Some(UserId(5))));
        assert_eq!(with(json!({"u": "5"}), |f| f.user_id("u")), Ok(Some(UserId(5))));
        assert_eq!(with(json!({"u": null}), |f| f.user_id("u")), Ok(None));
        for bad in [json!({"u": 0}), json!({"u": -3}), json!({"u": 1.5}), json!({"u": true}), json!({"u": ""})] {
            assert_eq!(with(bad, |f| f.user_id("u")).unwrap_err().field, "u");
        }
    }

    #[test]
    fn pages_are_cut_at_200_and_rejected_below_1() {
        assert_eq!(with(json!({}), |f| f.limit()), Ok(50));
        assert_eq!(with(json!({"limit": 200}), |f| f.limit()), Ok(200));
        assert_eq!(with(json!({"limit": 201}), |f| f.limit()), Ok(200));
        for huge in ["9223372036854775808", "18446744073709551616", "1e300"] {
            let huge: Value = serde_json::from_str(huge).unwrap();
            assert_eq!(with(json!({"limit": huge}), |f| f.limit()), Ok(200), "{huge}");
        }
        for bad in [json!({"limit": 0}), json!({"limit": -1}), json!({"limit": 1.5}), json!({"limit": "5"})] {
            assert!(with(bad, |f| f.limit()).is_err());
        }
    }

    #[test]
    fn emptiness_is_tested_with_the_trim_of_javascript() {
        assert!(is_blank(" \t\n\u{b}\u{c}\r\u{a0}\u{1680}\u{2003}\u{2028}\u{202f}\u{205f}\u{3000}\u{feff}"));
        assert!(!is_blank("\u{85}"));
        assert!(!is_blank("\u{200b}"));
    }

    #[test]
    fn content_is_counted_in_code_points_and_kept_as_sent() {
        let content = |text: &str| with(json!({"content": text}), |f| f.content(&["content"], 3));
        assert_eq!(content(" é "), Ok(" é ".to_owned()));
        assert_eq!(content("😀😀😀"), Ok("😀😀😀".to_owned()));
        assert!(content("abcd").is_err());
        assert!(content(" \n\t").is_err());
        let second = with(json!({"newContent": "x"}), |f| f.content(&["content", "newContent"], 3));
        assert_eq!(second, Ok("x".to_owned()));
        let missing = with(json!({}), |f| f.content(&["content", "newContent"], 3));
        assert_eq!(missing.unwrap_err().field, "content");
    }

    #[test]
    fn ids_that_the_original_gave_out_are_understood() {
        let read = |id: &str| {
            let fields = json!({"messageId": id});
            Fields(fields.as_object().unwrap()).message_id("messageId").map_err(|invalid| invalid.field)
        };
        let held = "msg_1762000000000_k3j9x2";
        assert_eq!(read(held), Ok(held_ids::message_id(held)));
        assert!(read("1f799220-3207-47e8-b532-bce31d62573e").is_ok());
        for bad in ["", "msg_", "msg_1", "msg_1_", "msg_x_y", "msg_1_a-b"] {
            assert_eq!(read(bad), Err("messageId"), "{bad}");
        }
        let group = |id: &str| with(json!({"groupId": id}), |fields| fields.group_id("groupId"));
        let held = "group_1762000000000_ab12";
        assert_eq!(group(held), Ok(held_ids::group_id(held)));
        let uuid = "1f799220-3207-47e8-b532-bce31d62573e";
        assert_eq!(group(uuid), group(&format!("group_{uuid}")));
        assert!(group("general").is_err(), "only a worker knows");
        let conversation =
            |id: &str| with(json!({"conversationId": id}), |fields| fields.conversation_id("conversationId"));
        let of_group = group(held).unwrap().map(ConversationId::Group);
        assert_eq!(conversation(held), Ok(of_group));
        assert_eq!(conversation(uuid), conversation(&format!("group_{uuid}")));
        assert!(conversation("general").is_err() && conversation("conv_user-1_user-2").is_err(), "only a worker knows");
    }
}
