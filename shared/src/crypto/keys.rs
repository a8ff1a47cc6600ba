//! Key derivation and the ring of keys in use. `config` reads the settings, `seal` uses the keys.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aes::cipher::KeyInit;
use aes::{Aes256Dec, Aes256Enc};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::cmac::Cmac;
use crate::secret::Secret;

/// The key id of rows that the original server wrote: no MAC, salt `salt`, hex content and IV.
pub const LEGACY_KEY_ID: i16 = 0;

/// The id of the key in `CHAT_ENCRYPTION_KEY`.
const SINGLE_KEY_ID: i16 = 1;
const LEGACY_SALT: &str = "salt";
const MAC_LABEL: &[u8] = b"chat/at-rest/mac/v1";
const ENTRY_LABEL: &[u8] = b"chat/wire/entry/v2";
const PUBLICATION_LABEL: &[u8] = b"chat/wire/publication/v2";
const MEMBER_LABEL: &[u8] = b"chat/wire/member/v1";
/// Every key costs a scrypt run at start.
const MAX_KEYS: usize = 64;

/// The settings that the key ring is derived from.
#[derive(Clone, Debug)]
pub struct EncryptionSettings {
    /// Key ids and keys, newest first. Ids are 1 to 32767.
    pub keys: Vec<(i16, Secret)>,
    /// The salt of all keys except the legacy one.
    pub salt: String,
    /// The key of rows with key id 0, if they must be readable.
    pub legacy_key: Option<Secret>,
}

impl EncryptionSettings {
    /// A single key: it has key id 1, and can also read rows with key id 0.
    pub fn single(key: &str, salt: &str) -> Self {
        Self {
            keys: vec![(SINGLE_KEY_ID, Secret::new(key))],
            salt: salt.to_owned(),
            legacy_key: Some(Secret::new(key)),
        }
    }

    /// Parses a list of keys as in `CHAT_ENCRYPTION_KEYS`: `id:key` separated by commas, newest first. A key may
    /// contain colons but no commas.
    ///
    /// # Errors
    /// With a text that says what is wrong and contains no part of a key.
    pub fn list(text: &str, salt: &str, legacy_key: Option<Secret>) -> Result<Self, KeyringError> {
        let mut keys = Vec::new();
        for (position, entry) in text.split(',').enumerate() {
            let bad = KeyringError::BadEntry { position: position + 1 };
            let Some((id, key)) = entry.trim().split_once(':') else {
                return Err(bad);
            };
            let id: i16 = id.trim().parse().map_err(|_| bad)?;
            keys.push((id, Secret::new(key)));
        }
        let settings = Self { keys, salt: salt.to_owned(), legacy_key };
        settings.check()?;
        Ok(settings)
    }

    /// # Errors
    /// When there is no key, there are too many, one is empty, an id is out of range or used twice, or there
    /// is no salt.
    pub fn check(&self) -> Result<(), KeyringError> {
        if self.keys.is_empty() || self.keys.len() > MAX_KEYS {
            return Err(KeyringError::Count { given: self.keys.len() });
        }
        if self.salt.is_empty() {
            return Err(KeyringError::NoSalt);
        }
        for (index, (id, key)) in self.keys.iter().enumerate() {
            if *id <= LEGACY_KEY_ID || key.expose().is_empty() {
                return Err(KeyringError::BadEntry { position: index + 1 });
            }
            if self.keys[..index].iter().any(|(earlier, _)| earlier == id) {
                return Err(KeyringError::DuplicateId { id: *id });
            }
        }
        Ok(())
    }
}

/// Why a key ring could not be made. Never contains a part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    #[error("entry {position} is not of the form id:key with an id from 1 to 32767 and a key that is not empty")]
    BadEntry { position: usize },
    #[error("key id {id} is given twice")]
    DuplicateId { id: i16 },
    #[error("1 to {MAX_KEYS} keys are allowed, {given} were given")]
    Count { given: usize },
    #[error("the salt is empty")]
    NoSalt,
    #[error("key derivation failed")]
    Derivation,
}

/// All keys in use, with their schedules expanded. Cheap to clone; the keys are wiped when the last clone is dropped.
#[derive(Clone)]
pub struct Keyring {
    pub(super) inner: Arc<Ring>,
}

pub(super) struct Ring {
    pub(super) newest: i16,
    pub(super) keys: BTreeMap<i16, Key>,
}

pub(super) struct Key {
    pub(super) encrypt: Aes256Enc,
    pub(super) decrypt: Aes256Dec,
    /// The state after the key block, cloned per message, which saves hashing the key each time.
    pub(super) mac: Hmac<Sha256>,
    /// For stream entries.
    pub(super) entry: Cmac,
    /// For publications.
    pub(super) publication: Cmac,
    /// Of members of sets.
    pub(super) member: Cmac,
}

impl Keyring {
    /// Derives all keys: scrypt with N 16384, r 8, p 1, 32 bytes; the MAC key is HMAC-SHA-256 of the label
    /// `chat/at-rest/mac/v1` under the encryption key, and those of stream entries and publications are derived in the
    /// same way from their own labels.
    ///
    /// **Blocks** for about 35 ms and needs 16 MiB per key: call it once at the start, through `spawn_blocking`.
    ///
    /// # Errors
    /// When the settings cannot be used ([`EncryptionSettings::check`]).
    pub fn derive(settings: &EncryptionSettings) -> Result<Self, KeyringError> {
        settings.check()?;
        let newest = settings.keys[0].0;
        let mut keys = BTreeMap::new();
        for (id, key) in &settings.keys {
            keys.insert(*id, Key::derive(key.expose(), &settings.salt)?);
        }
        if let Some(key) = &settings.legacy_key {
            keys.insert(LEGACY_KEY_ID, Key::derive(key.expose(), LEGACY_SALT)?);
        }
        Ok(Self { inner: Arc::new(Ring { newest, keys }) })
    }

    /// The id of the key that new content is sealed with.
    pub fn newest_key_id(&self) -> i16 {
        self.inner.newest
    }

    /// The ids of all keys, in ascending order.
    pub fn key_ids(&self) -> impl Iterator<Item = i16> + '_ {
        self.inner.keys.keys().copied()
    }
}

/// Shows only the ids.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("newest", &self.inner.newest)
            .field("ids", &self.inner.keys.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Key {
    fn derive(key: &str, salt: &str) -> Result<Self, KeyringError> {
        let mut derived = Zeroizing::new([0u8; 32]);
        let params = scrypt::Params::new(14, 8, 1).map_err(|_| KeyringError::Derivation)?;
        scrypt::scrypt(key.as_bytes(), salt.as_bytes(), &params, derived.as_mut_slice())
            .map_err(|_| KeyringError::Derivation)?;
        Self::from_bytes(&derived)
    }

    fn from_bytes(derived: &[u8; 32]) -> Result<Self, KeyringError> {
        let subkey = |label: &[u8]| -> Result<Zeroizing<[u8; 32]>, KeyringError> {
            let mut state = mac_state(derived)?;
            state.update(label);
            Ok(Zeroizing::new(state.finalize().into_bytes().into()))
        };
        let tags = |label: &[u8]| -> Result<Cmac, KeyringError> { Ok(Cmac::new(&*subkey(label)?)) };
        Ok(Self {
            encrypt: Aes256Enc::new(derived.into()),
            decrypt: Aes256Dec::new(derived.into()),
            mac: mac_state(&*subkey(MAC_LABEL)?)?,
            entry: tags(ENTRY_LABEL)?,
            publication: tags(PUBLICATION_LABEL)?,
            member: tags(MEMBER_LABEL)?,
        })
    }
}

fn mac_state(key: &[u8; 32]) -> Result<Hmac<Sha256>, KeyringError> {
    <Hmac<Sha256> as KeyInit>::new_from_slice(key).map_err(|_| KeyringError::Derivation)
}
