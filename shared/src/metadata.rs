//! Metadata: a JSON object that clients and backends attach to a message or a group. The server stores and shows it, and never looks
//! into it: its bounds are checked once, when it comes in, and from then on it is text.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::crypto::{Keyring, OpenError};
use crate::limits::{MAX_METADATA_BYTES, MAX_METADATA_DEPTH};

/// Separates metadata from everything else that is sealed under the id of its message or group.
const METADATA: Uuid = Uuid::from_u128(0x7f0c_6d65_7461_6461_7461_0000_0000_0002);

/// A JSON object within the bounds, as compact text. JSON shows it as the object.
#[derive(Clone, Debug)]
pub struct Metadata(Box<RawValue>);

/// The field `metadata` of a command, in which `null` can differ from absent. Append only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetadataField {
    #[default]
    Absent,
    Null,
    Given(Metadata),
}

impl Metadata {
    /// # Errors
    /// With what is wrong: not an object, too large, or nested too deep.
    pub fn new(value: &Value) -> Result<Metadata, String> {
        if !value.is_object() {
            return Err("must be a JSON object".to_owned());
        }
        if depth(value) > MAX_METADATA_DEPTH {
            return Err(format!("may be nested at most {MAX_METADATA_DEPTH} levels deep"));
        }
        let text = value.to_string();
        if text.len() > MAX_METADATA_BYTES {
            let bytes = text.len();
            return Err(format!("must have at most {MAX_METADATA_BYTES} bytes as compact JSON, not {bytes}"));
        }
        // What `Value` writes is JSON.
        RawValue::from_string(text).map(Metadata).map_err(|error| error.to_string())
    }

    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// Seals it for Postgres: it opens only as the metadata of this message or group.
    pub fn seal(&self, keyring: &Keyring, of: Uuid) -> Vec<u8> {
        keyring.seal_blob(context(of), self.as_json().as_bytes())
    }

    /// # Errors
    /// As [`Keyring::open_blob`], and when it is no JSON.
    pub fn open(keyring: &Keyring, of: Uuid, sealed: &[u8]) -> Result<Metadata, OpenError> {
        let text = String::from_utf8(keyring.open_blob(context(of), sealed)?).map_err(|_| OpenError::BadContent)?;
        RawValue::from_string(text).map(Metadata).map_err(|_| OpenError::BadContent)
    }

    /// Seals it again, under the newest key (`chatctl keys rotate`).
    ///
    /// # Errors
    /// As [`Keyring::open_blob`].
    pub fn reseal(keyring: &Keyring, of: Uuid, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let plain = keyring.open_blob(context(of), sealed)?;
        Ok(keyring.seal_blob(context(of), &plain))
    }
}

impl MetadataField {
    pub fn is_absent(&self) -> bool {
        *self == MetadataField::Absent
    }

    pub fn into_given(self) -> Option<Metadata> {
        match self {
            MetadataField::Given(metadata) => Some(metadata),
            MetadataField::Absent | MetadataField::Null => None,
        }
    }
}

fn context(of: Uuid) -> Uuid {
    Uuid::from_u128(of.as_u128() ^ METADATA.as_u128())
}

/// How deep objects and lists nest. What comes in is bounded by [`crate::limits::MAX_JSON_DEPTH`] or by the parser.
fn depth(value: &Value) -> usize {
    match value {
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for Metadata {}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.0.serialize(serializer)
        } else {
            serializer.serialize_str(self.as_json())
        }
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Box::<RawValue>::deserialize(deserializer).map(Metadata);
        }
        let text = String::deserialize(deserializer)?;
        RawValue::from_string(text).map(Metadata).map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Metadata {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Metadata".into()
    }

    fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "What a client or the product's backend attached to a message or a group: any JSON object of at most 4 KiB.",
            "type": "object",
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::crypto::EncryptionSettings;

    #[test]
    fn only_small_and_shallow_objects_are_metadata() {
        for bad in [json!(1), json!("x"), json!([]), json!([{}]), json!(true)] {
            assert_eq!(Metadata::new(&bad).unwrap_err(), "must be a JSON object", "{bad}");
        }
        let of_bytes = |bytes: usize| json!({"k": "x".repeat(bytes - r#"{"k":""}"#.len())});
        assert_eq!(Metadata::new(&of_bytes(4096)).unwrap().as_json().len(), 4096);
        assert!(Metadata::new(&of_bytes(4097)).unwrap_err().contains("4097"));
        let nested = |depth: usize| {
            let text = format!("{}{}", r#"{"k":"#.repeat(depth - 1), "{}") + &"}".repeat(depth - 1);
            serde_json::from_str::<Value>(&text).unwrap()
        };
        assert!(Metadata::new(&nested(8)).is_ok());
        assert!(Metadata::new(&nested(9)).unwrap_err().contains("8 levels"));
    }

    #[test]
    fn json_shows_the_object_and_postcard_carries_its_text() {
        let metadata = Metadata::new(&json!({"orderId": 7, "tags": ["a", null]})).unwrap();
        let json = serde_json::to_string(&json!({"m": metadata})).unwrap();
        assert_eq!(json, r#"{"m":{"orderId":7,"tags":["a",null]}}"#);
        let read: std::collections::HashMap<String, Metadata> = serde_json::from_str(&json).unwrap();
        assert_eq!(read["m"], metadata);
        let bytes = postcard::to_stdvec(&metadata).unwrap();
        assert_eq!(postcard::from_bytes::<Metadata>(&bytes).unwrap(), metadata);
        let broken = postcard::to_stdvec("{").unwrap();
        assert!(postcard::from_bytes::<Metadata>(&broken).is_err());
    }

    #[test]
    fn sealed_metadata_opens_only_as_that_of_its_message() {
        let keyring = Keyring::derive(&EncryptionSettings::single("metadata", "metadata")).unwrap();
        let (message, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let metadata = Metadata::new(&json!({"a": 1})).unwrap();
        let sealed = metadata.seal(&keyring, message);
        assert_eq!(Metadata::open(&keyring, message, &sealed).unwrap(), metadata);
        assert!(Metadata::open(&keyring, other, &sealed).is_err());
        assert!(keyring.open_blob(message, &sealed).is_err(), "an event of a mention has the message's id, too");
        let resealed = Metadata::reseal(&keyring, message, &sealed).unwrap();
        assert_ne!(resealed, sealed);
        assert_eq!(Metadata::open(&keyring, message, &resealed).unwrap(), metadata);
    }
}
