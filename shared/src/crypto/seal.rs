//! Seals and opens one message's content, also as a single blob. `keys` derives the keys.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, InnerIvInit};
use hmac::{Hmac, Mac};
use rand::RngCore;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::keys::{Key, Keyring, LEGACY_KEY_ID};

const IV_BYTES: usize = 16;
const MAC_BYTES: usize = 32;
const BLOCK_BYTES: usize = 16;

/// The first byte of a blob.
const BLOB_VERSION: u8 = 1;
const BLOB_HEADER_BYTES: usize = 1 + 2 + IV_BYTES + MAC_BYTES;

/// Encrypted content as a row stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub key_id: i16,
    pub iv: [u8; IV_BYTES],
    pub mac: [u8; MAC_BYTES],
    pub ciphertext: Vec<u8>,
}

/// Why sealed content could not be opened. Reveals nothing about the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("key id {0} is not among the keys configured")]
    UnknownKey(i16),
    #[error("content under key id {0} has no MAC")]
    MissingMac(i16),
    #[error("the MAC does not fit: the content was changed or belongs to another message")]
    BadMac,
    #[error("the IV has the wrong length")]
    BadIv,
    #[error("the content does not decrypt")]
    BadContent,
    #[error("not a sealed blob of a known version")]
    BadBlob,
}

impl Keyring {
    /// Seals under the newest key with a fresh random IV. `id` is the message's id, or that of whatever else the
    /// content belongs to; the content opens only under the same id.
    pub fn seal(&self, id: Uuid, plaintext: &[u8]) -> Sealed {
        let key_id = self.inner.newest;
        // The only constructor inserts the newest key, so indexing cannot fail.
        let key = &self.inner.keys[&key_id];
        let mut iv = [0u8; IV_BYTES];
        rand::rng().fill_bytes(&mut iv);
        let ciphertext = cbc::Encryptor::inner_iv_init(&key.encrypt, &iv.into()).encrypt_padded_vec::<Pkcs7>(plaintext);
        let mac = key.mac_of(key_id, id, &iv, &ciphertext);
        Sealed { key_id, iv, mac, ciphertext }
    }

    /// Opens the result of [`Keyring::seal`], or a row of the original server (key id 0, no MAC, IV and content raw or
    /// as ASCII hex).
    ///
    /// # Errors
    /// When the key is unknown, the MAC is missing or does not fit (checked in constant time, before anything is
    /// decrypted), or the content is not a ciphertext of this key.
    pub fn open(
        &self,
        id: Uuid,
        key_id: i16,
        iv: &[u8],
        mac: Option<&[u8]>,
        ciphertext: &[u8],
    ) -> Result<Vec<u8>, OpenError> {
        let key = self.inner.keys.get(&key_id).ok_or(OpenError::UnknownKey(key_id))?;
        let mac = mac.filter(|mac| !mac.is_empty());
        if key_id == LEGACY_KEY_ID {
            // Such a row has no MAC; one with a MAC was not written by the original server.
            return if mac.is_some() { Err(OpenError::BadMac) } else { key.open_legacy(iv, ciphertext) };
        }
        let mac = mac.ok_or(OpenError::MissingMac(key_id))?;
        let iv: [u8; IV_BYTES] = iv.try_into().map_err(|_| OpenError::BadIv)?;
        if !bool::from(key.mac_of(key_id, id, &iv, ciphertext).ct_eq(mac)) {
            return Err(OpenError::BadMac);
        }
        key.decrypt(&iv, ciphertext)
    }

    /// [`Keyring::open`] for a [`Sealed`].
    ///
    /// # Errors
    /// Like [`Keyring::open`].
    pub fn open_sealed(&self, id: Uuid, sealed: &Sealed) -> Result<Vec<u8>, OpenError> {
        self.open(id, sealed.key_id, &sealed.iv, Some(&sealed.mac), &sealed.ciphertext)
    }

    /// [`Keyring::seal`] into one byte string ([`Sealed::to_blob`]), for Redis.
    pub fn seal_blob(&self, context: Uuid, plaintext: &[u8]) -> Vec<u8> {
        self.seal(context, plaintext).to_blob()
    }

    /// Opens the result of [`Keyring::seal_blob`].
    ///
    /// # Errors
    /// Like [`Keyring::open`], and when it is not a blob.
    pub fn open_blob(&self, context: Uuid, blob: &[u8]) -> Result<Vec<u8>, OpenError> {
        let parts = split_blob(blob)?;
        self.open(context, parts.key_id, parts.iv, Some(parts.mac), parts.ciphertext)
    }
}

impl Sealed {
    /// One byte string: version (1) ‖ key id (i16, big-endian) ‖ IV (16) ‖ MAC (32) ‖ ciphertext. A blob turns into a row
    /// without being opened, since both carry the same MAC.
    pub fn to_blob(&self) -> Vec<u8> {
        let mut blob = Vec::with_capacity(BLOB_HEADER_BYTES + self.ciphertext.len());
        blob.push(BLOB_VERSION);
        blob.extend_from_slice(&self.key_id.to_be_bytes());
        blob.extend_from_slice(&self.iv);
        blob.extend_from_slice(&self.mac);
        blob.extend_from_slice(&self.ciphertext);
        blob
    }

    /// Splits a blob into its parts without opening it.
    ///
    /// # Errors
    /// [`OpenError::BadBlob`] when it is not a blob, or names the legacy key, which makes no blobs.
    pub fn from_blob(blob: &[u8]) -> Result<Self, OpenError> {
        let parts = split_blob(blob)?;
        Ok(Self {
            key_id: parts.key_id,
            iv: parts.iv.try_into().map_err(|_| OpenError::BadBlob)?,
            mac: parts.mac.try_into().map_err(|_| OpenError::BadBlob)?,
            ciphertext: parts.ciphertext.to_vec(),
        })
    }
}

struct BlobParts<'a> {
    key_id: i16,
    iv: &'a [u8],
    mac: &'a [u8],
    ciphertext: &'a [u8],
}

fn split_blob(blob: &[u8]) -> Result<BlobParts<'_>, OpenError> {
    let (header, ciphertext) = blob.split_at_checked(BLOB_HEADER_BYTES).ok_or(OpenError::BadBlob)?;
    let [version, id_high, id_low, rest @ ..] = header else {
        return Err(OpenError::BadBlob);
    };
    let key_id = i16::from_be_bytes([*id_high, *id_low]);
    if *version != BLOB_VERSION || key_id <= LEGACY_KEY_ID {
        return Err(OpenError::BadBlob);
    }
    let (iv, mac) = rest.split_at(IV_BYTES);
    Ok(BlobParts { key_id, iv, mac, ciphertext })
}

impl Key {
    fn mac_of(&self, key_id: i16, id: Uuid, iv: &[u8; IV_BYTES], ciphertext: &[u8]) -> [u8; MAC_BYTES] {
        let mut mac: Hmac<Sha256> = self.mac.clone();
        mac.update(&key_id.to_be_bytes());
        mac.update(id.as_bytes());
        mac.update(iv);
        mac.update(ciphertext);
        mac.finalize().into_bytes().into()
    }

    fn decrypt(&self, iv: &[u8; IV_BYTES], ciphertext: &[u8]) -> Result<Vec<u8>, OpenError> {
        cbc::Decryptor::inner_iv_init(&self.decrypt, iv.into())
            .decrypt_padded_vec::<Pkcs7>(ciphertext)
            .map_err(|_| OpenError::BadContent)
    }

    fn open_legacy(&self, iv: &[u8], content: &[u8]) -> Result<Vec<u8>, OpenError> {
        let iv: [u8; IV_BYTES] = match decode_hex(iv) {
            Some(raw) => raw.try_into(),
            None => iv.to_vec().try_into(),
        }
        .map_err(|_| OpenError::BadIv)?;
        self.decrypt(&iv, decode_hex(content).as_deref().unwrap_or(content))
    }
}

/// `None` if it is not the hex form of whole cipher blocks, and is therefore raw. Raw bytes that all look like hex
/// digits do not occur in practice: less than one in 10^16 for a single block.
fn decode_hex(text: &[u8]) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2 * BLOCK_BYTES) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
