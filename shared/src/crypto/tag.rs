//! The tags that authenticate what travels between our processes: AES-256-CMAC, with separate keys for stream entries
//! and publications. A tag covers the bytes and the stream or channel they were written to, so that nothing can be
//! moved.
//!
//! CMAC instead of the HMAC used at rest: with the processor's AES instructions it takes a twentieth of the time, and every
//! publication is checked by every gateway that receives it.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, InnerIvInit};
use rand::RngCore;
use subtle::ConstantTimeEq;

use super::cmac::BLOCK_BYTES;
use super::keys::{Key, Keyring, LEGACY_KEY_ID};

/// Length of a tag.
pub const TAG_BYTES: usize = BLOCK_BYTES;
/// Length of the random start of an encrypted body.
const IV_BYTES: usize = 16;

/// What a tag is valid for.
#[derive(Clone, Copy, Debug)]
pub enum Medium<'a> {
    /// An entry of this stream.
    Stream(&'a str),
    /// A publication on this channel.
    Channel(&'a str),
    /// A member of this set, which one process leaves there for another.
    Member(&'a str),
}

/// Why bytes are not accepted as ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    #[error("key id {0} is not among the keys configured")]
    UnknownKey(i16),
    #[error("the tag does not match: written without the key, changed, or moved from another stream, channel or set")]
    Mismatch,
}

impl Keyring {
    /// The tag of the concatenated `parts`, under the newest key.
    pub(crate) fn tag(&self, medium: Medium<'_>, parts: &[&[u8]]) -> [u8; TAG_BYTES] {
        // The only constructor inserts the newest key, so indexing cannot fail.
        self.inner.keys[&self.inner.newest].tag(medium, parts)
    }

    /// Compares in constant time.
    pub(crate) fn verify_tag(
        &self,
        key_id: i16,
        medium: Medium<'_>,
        parts: &[&[u8]],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), TagError> {
        let expected = self.key(key_id)?.tag(medium, parts);
        if bool::from(expected.ct_eq(tag)) { Ok(()) } else { Err(TagError::Mismatch) }
    }

    /// Appends a random IV and the ciphertext under the newest key. Only the tag around them proves their origin.
    pub(crate) fn encrypt_onto(&self, bytes: &mut Vec<u8>, plaintext: &[u8]) {
        let key = &self.inner.keys[&self.inner.newest];
        let mut iv = [0u8; IV_BYTES];
        rand::rng().fill_bytes(&mut iv);
        bytes.extend_from_slice(&iv);
        let encryptor = cbc::Encryptor::inner_iv_init(&key.encrypt, &iv.into());
        bytes.extend_from_slice(&encryptor.encrypt_padded_vec::<Pkcs7>(plaintext));
    }

    /// Decrypts what [`Keyring::encrypt_onto`] appended; call it only after the tag was checked.
    pub(crate) fn decrypt_tagged(&self, key_id: i16, encrypted: &[u8]) -> Option<Vec<u8>> {
        let (iv, ciphertext) = encrypted.split_first_chunk::<IV_BYTES>()?;
        let key = self.key(key_id).ok()?;
        cbc::Decryptor::inner_iv_init(&key.decrypt, iv.into()).decrypt_padded_vec::<Pkcs7>(ciphertext).ok()
    }

    fn key(&self, key_id: i16) -> Result<&Key, TagError> {
        // The original server, whose key is weak because of its salt, wrote neither entries nor publications.
        if key_id == LEGACY_KEY_ID {
            return Err(TagError::UnknownKey(key_id));
        }
        self.inner.keys.get(&key_id).ok_or(TagError::UnknownKey(key_id))
    }
}

impl Key {
    fn tag(&self, medium: Medium<'_>, parts: &[&[u8]]) -> [u8; TAG_BYTES] {
        let (key, name) = match medium {
            Medium::Stream(name) => (&self.entry, name),
            Medium::Channel(name) => (&self.publication, name),
            Medium::Member(name) => (&self.member, name),
        };
        // Includes its length, so that the end of a name cannot be mistaken for the beginning of what follows.
        let length = (name.len() as u64).to_be_bytes();
        key.tag([length.as_slice(), name.as_bytes()].into_iter().chain(parts.iter().copied()))
    }
}
