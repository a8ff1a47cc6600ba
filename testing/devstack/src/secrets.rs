//! Random secrets for private instances, from the kernel. Nothing here is for production keys.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;

use anyhow::{Context as _, Result};

/// What the servers of one stack share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// Base64 of 32 random bytes.
    pub jwt_secret: String,
    pub encryption_key: String,
    pub encryption_salt: String,
    pub community_sync_token: String,
}

impl Secrets {
    pub fn generate() -> Result<Self> {
        Ok(Self {
            jwt_secret: base64(&random::<32>()?),
            encryption_key: hex(&random::<32>()?),
            encryption_salt: hex(&random::<16>()?),
            community_sync_token: hex(&random::<24>()?),
        })
    }
}

/// A random password of 40 characters that needs no escaping in URLs, shells and configuration files.
pub fn password() -> Result<String> {
    Ok(hex(&random::<20>()?))
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes)).context("reading /dev/urandom")?;
    Ok(bytes)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().enumerate().fold(0u32, |group, (i, byte)| group | u32::from(*byte) << (16 - 8 * i));
        for i in 0..4 {
            let symbol = if i <= chunk.len() { ALPHABET[(group >> (18 - 6 * i) & 63) as usize] } else { b'=' };
            text.push(char::from(symbol));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_rfc_vectors() {
        for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn secrets_are_long_and_differ() {
        let (a, b) = (Secrets::generate().unwrap(), Secrets::generate().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.jwt_secret.len(), 44);
        assert!(a.encryption_key.len() >= 32);
    }
}
