//! What PostgreSQL stores of a password. Sending this instead keeps the password itself inside this process.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// `scram_iterations` of PostgreSQL.
const ITERATIONS: u32 = 4_096;

/// The verifier of SCRAM-SHA-256 (RFC 5803) with a new salt; ASCII without quotes.
///
/// # Errors
/// When the password has characters that SASLprep forbids.
pub fn verifier(password: &str) -> Result<String> {
    verifier_with(password, &uuid::Uuid::new_v4().into_bytes())
}

fn verifier_with(password: &str, salt: &[u8]) -> Result<String> {
    let password =
        stringprep::saslprep(password).context("WORKER_PASSWORD has characters that are not allowed in passwords")?;
    let salted = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), salt, ITERATIONS);
    let keyed = |name: &[u8]| -> Result<[u8; 32]> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&salted)?;
        mac.update(name);
        Ok(mac.finalize().into_bytes().into())
    };
    let (stored_key, server_key) = (Sha256::digest(keyed(b"Client Key")?), keyed(b"Server Key")?);
    let [salt, stored_key, server_key] = [salt, &stored_key, &server_key].map(|bytes| STANDARD.encode(bytes));
    Ok(format!("SCRAM-SHA-256${ITERATIONS}:{salt}${stored_key}:{server_key}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Password and salt from the example in RFC 7677, whose exchange proves these keys.
    #[test]
    fn the_verifier_of_the_known_example() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        assert_eq!(
            verifier_with("pencil", &salt).unwrap(),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
             WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert_ne!(verifier("pencil").unwrap(), verifier("pencil").unwrap());
        assert!(verifier("pen\u{7}cil").is_err());
    }
}
