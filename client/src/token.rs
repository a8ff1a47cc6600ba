//! Tokens for tests and for `chatctl`: the main backend's HS256 JWTs, and every kind of bad one.
//!
//! Made by hand and not with the library that the server verifies with.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::Error;

/// A valid token for a user. `secret_base64` is `JWT_SECRET` as the server gets it.
pub fn mint(secret_base64: &str, user_id: i64, ttl: Duration) -> Result<String, Error> {
    TokenBuilder::new(user_id, ttl).sign(secret_base64)
}

/// A token with chosen headers and claims, starting from a valid one.
#[derive(Debug, Clone)]
pub struct TokenBuilder {
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl TokenBuilder {
    pub fn new(user_id: i64, ttl: Duration) -> Self {
        let now = now_seconds();
        let mut builder = Self { header: Map::new(), claims: Map::new() };
        builder = builder.header("alg", json!("HS256")).header("typ", json!("JWT"));
        builder
            .claim("sub", json!(user_id.to_string()))
            .claim("jti", json!(uuid::Uuid::new_v4().to_string()))
            .claim("iat", json!(now))
            .claim("exp", json!(now.saturating_add_unsigned(ttl.as_secs())))
    }

    pub fn header(mut self, name: &str, value: Value) -> Self {
        self.header.insert(name.to_owned(), value);
        self
    }

    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims.insert(name.to_owned(), value);
        self
    }

    /// Sets `exp` relative to now; negative is in the past.
    pub fn expires_in_seconds(self, seconds: i64) -> Self {
        self.claim("exp", json!(now_seconds().saturating_add(seconds)))
    }

    pub fn without(mut self, claim: &str) -> Self {
        self.claims.remove(claim);
        self
    }

    /// The token's `jti`, to be revoked later; empty if it is absent or not a string.
    pub fn jti(&self) -> &str {
        self.claims.get("jti").and_then(Value::as_str).unwrap_or_default()
    }

    /// Signs with HMAC-SHA-256, whatever the header claims.
    pub fn sign(&self, secret_base64: &str) -> Result<String, Error> {
        let secret = decode_secret(secret_base64)?;
        let signed = self.signing_input();
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).map_err(|e| Error::Invalid(e.to_string()))?;
        mac.update(signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        Ok(format!("{signed}.{signature}"))
    }

    /// The token with an empty signature, as for `alg: none`.
    pub fn unsigned(&self) -> String {
        format!("{}.", self.signing_input())
    }

    fn signing_input(&self) -> String {
        let part = |map: &Map<String, Value>| URL_SAFE_NO_PAD.encode(Value::Object(map.clone()).to_string());
        format!("{}.{}", part(&self.header), part(&self.claims))
    }
}

fn decode_secret(secret_base64: &str) -> Result<Vec<u8>, Error> {
    let secret = secret_base64.trim();
    STANDARD
        .decode(secret)
        .or_else(|_| STANDARD_NO_PAD.decode(secret))
        .map_err(|e| Error::Invalid(format!("JWT_SECRET is not base64: {e}")))
}

fn now_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The example of RFC 7515, appendix A.1: its key, its header and claims to the letter, its signature.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                      eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let mut mac = Hmac::<Sha256>::new_from_slice(&URL_SAFE_NO_PAD.decode(key).unwrap()).unwrap();
        mac.update(signed.as_bytes());
        assert_eq!(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn a_minted_token_carries_the_claims_the_server_requires() {
        let token = mint(&STANDARD.encode([7u8; 32]), 42, Duration::from_secs(60)).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        assert_eq!(claims["sub"], "42");
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
        assert!(claims["jti"].is_string());
        assert_eq!(URL_SAFE_NO_PAD.decode(parts[2]).unwrap().len(), 32);
    }
}
