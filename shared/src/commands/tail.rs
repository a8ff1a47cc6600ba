//! An optional last field of a command, for `#[serde(with)]`. A command is the last item in its envelope, so the field can
//! be missing: then there are no bytes, as before the field existed.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserializer, Serialize, Serializer};

pub fn serialize<S: Serializer, T: Serialize>(tail: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut fields = serializer.serialize_tuple(usize::from(tail.is_some()))?;
    if let Some(tail) = tail {
        fields.serialize_element(tail)?;
    }
    fields.end()
}

pub fn deserialize<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    struct Tail<T>(PhantomData<T>);

    impl<'de, T: DeserializeOwned> Visitor<'de> for Tail<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("perhaps another field")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<Option<T>, A::Error> {
            // Postcard reports the end of the bytes as an error like any other.
            Ok(fields.next_element().unwrap_or(None))
        }
    }

    deserializer.deserialize_tuple(1, Tail(PhantomData))
}
