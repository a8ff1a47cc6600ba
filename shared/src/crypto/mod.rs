//! Encryption of message content at rest: the keys and the sealed form that goes into Postgres and Redis.
//!
//! AES-256-CBC with PKCS#7 and a random IV per message, then HMAC-SHA-256 over `key id (i16, big-endian) ‖ message id
//! (16 bytes) ‖ IV ‖ ciphertext`. The MAC binds the content to its message, so that rows cannot be swapped. [`keys`]
//! derives the keys; [`seal`] (at rest) and [`tag`] (between our processes) apply them. Passwords and tokens are not
//! handled here.

mod cmac;
mod keys;
mod seal;
mod tag;

pub use keys::{EncryptionSettings, Keyring, KeyringError, LEGACY_KEY_ID};
pub use seal::{OpenError, Sealed};
pub use tag::{Medium, TAG_BYTES, TagError};
