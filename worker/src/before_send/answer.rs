//! What the hook may answer. Everything else is a failure.

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use shared::metadata::{Metadata, MetadataField};
use shared::protocol::fields::is_blank;
use shared::protocol::{ErrorCode, Rejection};

/// A longer reason is cut.
const MAX_REASON_CHARACTERS: usize = 500;

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    Reject(Rejection),
    Change {
        content: Option<String>,
        /// Absent, it stays as it is.
        metadata: MetadataField,
    },
}

impl Decision {
    /// As metrics name what the hook answered.
    pub fn name(&self) -> &'static str {
        match self {
            Decision::Allow => "allowed",
            Decision::Reject(_) => "rejected",
            Decision::Change { .. } => "changed",
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
enum Answer {
    Allow,
    Reject {
        reason: Option<String>,
    },
    Change {
        content: Option<String>,
        #[serde(default, deserialize_with = "present")]
        metadata: Option<Value>,
    },
}

/// Tells `null` from absent.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads the body of a 2xx; an empty one allows.
///
/// # Errors
/// When it is not an answer, or changes a message to what it may not be.
pub fn parse(body: &[u8], max_characters: usize) -> anyhow::Result<Decision> {
    if body.is_empty() {
        return Ok(Decision::Allow);
    }
    match serde_json::from_slice(body).context("the answer is not one of a hook before send")? {
        Answer::Allow => Ok(Decision::Allow),
        Answer::Reject { reason } => {
            let reason = reason.unwrap_or_default().chars().take(MAX_REASON_CHARACTERS).collect::<String>();
            Ok(Decision::Reject(Rejection::new(ErrorCode::MessageRejected, reason)))
        }
        Answer::Change { content, metadata } => {
            if let Some(content) = &content {
                ensure!(!is_blank(content), "the answer makes the message empty");
                let characters = content.chars().count();
                ensure!(characters <= max_characters, "the answer makes the message {characters} characters long");
            }
            let metadata = match metadata {
                None => MetadataField::Absent,
                Some(Value::Null) => MetadataField::Null,
                Some(value) => match Metadata::new(&value) {
                    Ok(metadata) => MetadataField::Given(metadata),
                    Err(problem) => bail!("the `metadata` of the answer {problem}"),
                },
            };
            Ok(Decision::Change { content, metadata })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(body: &str) -> anyhow::Result<Decision> {
        parse(body.as_bytes(), 10)
    }

    #[test]
    fn an_answer_allows_rejects_or_changes() {
        for allows in ["", r#"{"action":"allow"}"#, r#"{"action":"allow","more":1}"#] {
            assert_eq!(answer(allows).unwrap(), Decision::Allow, "{allows}");
        }
        let Decision::Reject(rejection) = answer(r#"{"action":"reject","reason":"be kind"}"#).unwrap() else {
            panic!("it rejects")
        };
        assert_eq!((rejection.code, rejection.details.as_str()), (ErrorCode::MessageRejected, "be kind"));
        let content = |content: &str| Some(content.to_owned());
        let given = MetadataField::Given(Metadata::new(&json!({"a": 1})).unwrap());
        for (text, expected) in [
            (r#"{"action":"change","content":"x"}"#, (content("x"), MetadataField::Absent)),
            (r#"{"action":"change","metadata":{"a":1}}"#, (None, given)),
            (r#"{"action":"change","content":"y","metadata":null}"#, (content("y"), MetadataField::Null)),
        ] {
            let (content, metadata) = expected;
            assert_eq!(answer(text).unwrap(), Decision::Change { content, metadata }, "{text}");
        }
    }

    #[test]
    fn everything_else_is_a_failure() {
        for bad in [
            "ok",
            "{}",
            "[]",
            r#"{"action":"maybe"}"#,
            r#"{"action":"change","content":"  "}"#,
            r#"{"action":"change","content":"elevenchars"}"#,
            r#"{"action":"change","metadata":[1]}"#,
            r#"{"action":"reject","reason":7}"#,
        ] {
            assert!(answer(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_long_reason_is_cut() {
        let body = json!({"action": "reject", "reason": "é".repeat(MAX_REASON_CHARACTERS + 1)}).to_string();
        let Decision::Reject(rejection) = answer(&body).unwrap() else { panic!("it rejects") };
        assert_eq!(rejection.details.chars().count(), MAX_REASON_CHARACTERS);
    }
}
