//! API keys: `ck_`, an id to find and list the key, and a secret that is stored only as a hash.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::ids::ApiKeyId;

const PREFIX: &str = "ck_";
const ID_CHARACTERS: usize = 16;
const SECRET_CHARACTERS: usize = 64;

/// The SHA-256 of a whole key. A key is random, so its hash needs no salt and no slow function.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Compares with the stored hash in constant time.
    pub fn matches(&self, stored: &[u8]) -> bool {
        self.0.ct_eq(stored).into()
    }
}

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A key as a caller sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub hash: KeyHash,
}

impl ApiKey {
    /// `None` for what cannot be a key.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let has_form = id.len() == ID_CHARACTERS && secret.len() == SECRET_CHARACTERS && is_hex(id) && is_hex(secret);
        has_form.then(|| ApiKey { id: ApiKeyId(id.to_owned()), hash: KeyHash(Sha256::digest(text.as_bytes()).into()) })
    }

    /// A new key and its text, which is not stored anywhere.
    pub fn generate() -> (Self, String) {
        let (id, secret) =
            (hex(&rand::random::<[u8; ID_CHARACTERS / 2]>()), hex(&rand::random::<[u8; SECRET_CHARACTERS / 2]>()));
        let text = format!("{PREFIX}{id}_{secret}");
        let hash = KeyHash(Sha256::digest(text.as_bytes()).into());
        (ApiKey { id: ApiKeyId(id), hash }, text)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_read_back_and_no_other_matches_it() {
        let (key, text) = ApiKey::generate();
        assert_eq!(ApiKey::parse(&text), Some(key.clone()));
        let (other, _) = ApiKey::generate();
        assert!(key.hash.matches(&key.hash.0) && !key.hash.matches(&other.hash.0) && !key.hash.matches(&[]));
        assert!(!format!("{key:?}").contains(&text[20..]));
    }

    #[test]
    fn what_cannot_be_a_key_is_none() {
        let (_, text) = ApiKey::generate();
        for bad in ["", "ck_", "ck__", &text[1..], &text[..text.len() - 1], &text.to_uppercase(), &format!("{text}0")] {
            assert_eq!(ApiKey::parse(bad), None, "{bad}");
        }
    }
}
