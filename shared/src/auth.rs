//! The tokens clients authenticate with: JWTs under HS256, and in [`issuer`] those under another issuer's public keys.
//! Only the token itself is verified here; revocation and the user's existence are checked elsewhere.

pub mod issuer;

use crate::ids::TokenId;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// How far the clocks of the issuer and this server may differ.
pub const LEEWAY_SECONDS: i64 = 5;
/// Longer tokens are invalid.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

const MIN_SECRET_BYTES: usize = 32;
const MAX_JTI_BYTES: usize = 255;
/// The end of the year 9999: later times cannot be written as RFC 3339.
const MAX_UNIX_SECONDS: i64 = 253_402_300_799;

/// Decodes like the main backend: standard alphabet, tolerating missing padding and unused trailing bits.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The claims of a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Greater than zero.
    pub user_id: i64,
    /// 1 to 255 bytes, no control characters.
    pub jti: TokenId,
    /// Expiry in Unix seconds, 0 to the end of the year 9999.
    pub exp_unix: i64,
    /// When it was issued, in Unix seconds, if the token says so.
    pub iat_unix: Option<i64>,
}

/// Identifies a token within the fleet where the token itself must not appear: the first half of the SHA-256 of its
/// `jti`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenHash(pub u128);

impl TokenHash {
    pub fn of(token: &TokenId) -> Self {
        let hash: [u8; 32] = Sha256::digest(token.0.as_bytes()).into();
        let (half, _) = hash.split_at(16);
        TokenHash(half.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)))
    }
}

impl std::fmt::Display for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("no token was given")]
    Missing,
    #[error("the token is not valid")]
    Invalid,
    #[error("the token has expired")]
    Expired,
}

impl TokenError {
    /// The error code on the wire.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "TOKEN_MISSING",
            Self::Invalid => "TOKEN_INVALID",
            Self::Expired => "TOKEN_EXPIRED",
        }
    }
}

/// Why a secret cannot be used. Never contains a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("not base64 in the standard alphabet")]
    NotBase64,
    #[error("decodes to {bytes} bytes, at least {MIN_SECRET_BYTES} are needed")]
    TooShort { bytes: usize },
}

/// Verifies tokens. Its `Debug` output shows no key.
#[derive(Clone, Debug)]
pub struct TokenVerifier {
    /// A token signed with any of them is accepted.
    keys: Vec<DecodingKey>,
    validation: Validation,
}

impl TokenVerifier {
    /// # Errors
    /// When the secret is not base64 or decodes to less than 32 bytes.
    pub fn new(secret_base64: &str) -> Result<Self, SecretError> {
        let secret = decode_secret(secret_base64)?;
        Ok(Self { keys: vec![DecodingKey::from_secret(&secret)], validation: signature_only(Algorithm::HS256) })
    }

    /// Also accepts tokens signed with another secret.
    ///
    /// # Errors
    /// Like [`Self::new`].
    pub fn and(mut self, secret_base64: &str) -> Result<Self, SecretError> {
        self.keys.push(DecodingKey::from_secret(&decode_secret(secret_base64)?));
        Ok(self)
    }

    /// Verifies the signature, then the claims, at `now_unix` (Unix seconds).
    ///
    /// # Errors
    /// [`TokenError::Expired`] only for a token that is valid in every other way.
    pub fn verify(&self, token: &str, now_unix: i64) -> Result<Claims, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Invalid);
        }
        let decode = |key| jsonwebtoken::decode::<RawClaims>(token, key, &self.validation).ok();
        let data = self.keys.iter().find_map(decode).ok_or(TokenError::Invalid)?;
        check_header(&data.header, &["JWT"])?;
        data.claims.check(now_unix)
    }
}

/// The package checks only the algorithm and the signature. The claims are checked below: the package would read the
/// system clock, round a fractional `exp` and accept a malformed `sub`.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

/// A token's header; nothing in it is verified.
fn header_of(token: &str) -> Option<Header> {
    if token.len() > MAX_TOKEN_BYTES { None } else { jsonwebtoken::decode_header(token).ok() }
}

/// Signs tokens, for the built-in accounts and for tools.
#[derive(Clone)]
pub struct TokenSigner {
    key: EncodingKey,
}

impl TokenSigner {
    /// # Errors
    /// Like [`TokenVerifier::new`].
    pub fn new(secret_base64: &str) -> Result<Self, SecretError> {
        let secret = decode_secret(secret_base64)?;
        Ok(Self { key: EncodingKey::from_secret(&secret) })
    }

    /// A token for the user from `now_unix` on for `ttl`.
    ///
    /// # Errors
    /// When the token would not be verifiable: user id not positive, `jti` empty or too long, expiry out of range.
    pub fn sign(&self, user_id: i64, jti: &str, now_unix: i64, ttl: std::time::Duration) -> Result<String, TokenError> {
        let ttl_seconds = i64::try_from(ttl.as_secs()).map_err(|_| TokenError::Invalid)?;
        let exp = now_unix.checked_add(ttl_seconds).ok_or(TokenError::Invalid)?;
        if user_id <= 0 || !jti_is_valid(jti) || !(0..=MAX_UNIX_SECONDS).contains(&exp) {
            return Err(TokenError::Invalid);
        }
        let claims = SignedClaims { sub: user_id.to_string(), jti, iat: now_unix, exp };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key).map_err(|_| TokenError::Invalid)
    }
}

#[derive(Serialize)]
struct SignedClaims<'a> {
    sub: String,
    jti: &'a str,
    iat: i64,
    exp: i64,
}

/// The known claims, in the types they must have. An explicit `null` is a wrong type, and a duplicate name is a
/// decoding error. Others (`username`, `roles`) are ignored.
#[derive(Deserialize)]
struct RawClaims {
    #[serde(default, deserialize_with = "present")]
    sub: Option<UserIdClaim>,
    #[serde(default, rename = "userId", deserialize_with = "present")]
    user_id: Option<UserIdClaim>,
    jti: String,
    exp: i64,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    iat: Option<i64>,
    #[serde(default, deserialize_with = "present", rename = "iss")]
    _iss: Option<String>,
    /// Any value is accepted: the main backend sets none, and this server is one of its audiences.
    #[serde(default, deserialize_with = "present", rename = "aud")]
    _aud: Option<Audience>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum UserIdClaim {
    Integer(i64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn names(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl UserIdClaim {
    /// Accepts only the canonical decimal form, so that one user has one id.
    fn parse(&self) -> Option<i64> {
        let id = match self {
            Self::Integer(id) => *id,
            Self::Text(text) => {
                let id: i64 = text.parse().ok()?;
                (id.to_string() == *text).then_some(id)?
            }
        };
        (id > 0).then_some(id)
    }
}

impl RawClaims {
    fn check(self, now_unix: i64) -> Result<Claims, TokenError> {
        let user_id = match (&self.sub, &self.user_id) {
            (Some(sub), Some(user_id)) if sub.parse() == user_id.parse() => sub.parse(),
            (Some(_), Some(_)) | (None, None) => None,
            (Some(id), None) | (None, Some(id)) => id.parse(),
        }
        .ok_or(TokenError::Invalid)?;
        if !jti_is_valid(&self.jti) {
            return Err(TokenError::Invalid);
        }
        check_times(self.exp, self.nbf, self.iat, now_unix)?;
        Ok(Claims { user_id, jti: TokenId(self.jti), exp_unix: self.exp, iat_unix: self.iat })
    }
}

/// All times are in Unix seconds. Checked last: [`TokenError::Expired`] means that nothing else is wrong.
fn check_times(exp: i64, nbf: Option<i64>, iat: Option<i64>, now_unix: i64) -> Result<(), TokenError> {
    let times = [Some(exp), nbf, iat];
    let in_range = times.iter().flatten().all(|time| (0..=MAX_UNIX_SECONDS).contains(time));
    let immature = nbf.is_some_and(|nbf| nbf > now_unix.saturating_add(LEEWAY_SECONDS));
    if !in_range || immature {
        return Err(TokenError::Invalid);
    }
    if now_unix >= exp + LEEWAY_SECONDS { Err(TokenError::Expired) } else { Ok(()) }
}

/// Rejects what we would have to understand to trust the token: critical extensions (RFC 7515, 4.1.11), unencoded
/// payloads, nested and encrypted tokens. Key hints (`kid`, `jwk`, `jku`, `x5u`) are never followed.
fn check_header(header: &Header, types: &[&str]) -> Result<(), TokenError> {
    let is_jwt = header.typ.as_deref().is_none_or(|typ| types.iter().any(|known| typ.eq_ignore_ascii_case(known)));
    let needs_more = header.crit.is_some()
        || header.cty.is_some()
        || header.enc.is_some()
        || header.zip.is_some()
        || header.extras.inner().contains_key("b64");
    if is_jwt && !needs_more { Ok(()) } else { Err(TokenError::Invalid) }
}

/// It is compared with a Postgres text column, which cannot contain NUL.
fn jti_is_valid(jti: &str) -> bool {
    !jti.is_empty() && jti.len() <= MAX_JTI_BYTES && !jti.chars().any(char::is_control)
}

fn decode_secret(secret_base64: &str) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let secret = BASE64.decode(secret_base64.trim()).map_err(|_| SecretError::NotBase64)?;
    let secret = Zeroizing::new(secret);
    if secret.len() < MIN_SECRET_BYTES {
        return Err(SecretError::TooShort { bytes: secret.len() });
    }
    Ok(secret)
}

#[cfg(test)]
mod tests;
