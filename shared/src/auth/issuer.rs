//! Tokens of an issuer other than this server: JWTs signed with a private key, whose public half the issuer publishes as a JWK
//! Set (RFC 7517). This module does not know where the set comes from.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    Audience, Claims, MAX_TOKEN_BYTES, TokenError, UserIdClaim, check_header, check_times, jti_is_valid, present,
};
use super::{header_of, signature_only};
use crate::ids::TokenId;

/// How many keys of one set are read; issuers publish a handful.
const MAX_KEYS: usize = 100;
const MAX_KEY_ID_BYTES: usize = 255;
/// The size of an RSA modulus: 2048 to 4096 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// The keys that an issuer signs with now.
#[derive(Clone, Debug, Default)]
pub struct IssuerKeys {
    keys: Vec<IssuerKey>,
}

#[derive(Clone, Debug)]
struct IssuerKey {
    id: String,
    /// Determined by the key, never by a token.
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why a set of keys cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    #[error("it is not a JWK Set")]
    NotASet,
    #[error("it has no key with a `kid` for RS256, ES256 or EdDSA")]
    NoUsableKey,
}

impl IssuerKeys {
    /// Reads a JWK Set. Keys that are not for the verification of RS256, ES256 or EdDSA are skipped, and so are those without a
    /// `kid`, symmetric keys, and RSA keys below 2048 bits.
    ///
    /// # Errors
    /// When it is not a set, or contains no usable key.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json).map_err(|_| KeySetError::NotASet)?;
        let keys: Vec<IssuerKey> = set.keys.into_iter().filter_map(usable).take(MAX_KEYS).collect();
        if keys.is_empty() { Err(KeySetError::NoUsableKey) } else { Ok(IssuerKeys { keys }) }
    }

    pub fn contains(&self, key_id: &str) -> bool {
        self.keys.iter().any(|key| key.id == key_id)
    }

    fn find(&self, key_id: &str, algorithm: Algorithm) -> Option<&IssuerKey> {
        self.keys.iter().find(|key| key.id == key_id && key.algorithm == algorithm)
    }
}

/// A key that can verify tokens.
fn usable(key: Value) -> Option<IssuerKey> {
    let key: Jwk = serde_json::from_value(key).ok()?;
    let (algorithm, named) = match &key.algorithm {
        AlgorithmParameters::RSA(rsa) if RSA_BYTES.contains(&(rsa.n.len() * 3 / 4)) => {
            (Algorithm::RS256, KeyAlgorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(ed) if ed.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let common = &key.common;
    let is_for_signatures = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify))
        && common.key_algorithm.is_none_or(|algorithm| algorithm == named);
    let id = common.key_id.clone().filter(|id| id.len() <= MAX_KEY_ID_BYTES)?;
    is_for_signatures.then_some(IssuerKey { id, algorithm, key: DecodingKey::from_jwk(&key).ok()? })
}

/// Which tokens are accepted, and what they must contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerRules {
    /// The token's `iss`.
    pub issuer: String,
    /// One of the token's `aud`.
    pub audience: Option<String>,
    /// The claim with the user id.
    pub user_claim: String,
}

/// Why an issuer's token is not accepted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unverified {
    Refused(TokenError),
    /// No known key has this `kid`.
    KeyUnknown(String),
}

impl From<TokenError> for Unverified {
    fn from(error: TokenError) -> Self {
        Unverified::Refused(error)
    }
}

/// True if a token names one of the algorithms of [`IssuerKeys`]. Verifies nothing.
pub fn is_issuers(token: &str) -> bool {
    header_of(token).is_some_and(|header| matches!(header.alg, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA))
}

impl IssuerRules {
    /// Verifies a token's signature with the key that its `kid` names, then its claims, at `now_unix` (Unix seconds).
    ///
    /// A token without `jti` is identified by the hash of its signed part.
    ///
    /// # Errors
    /// [`Unverified::KeyUnknown`] when another set of keys may have the key; [`TokenError::Expired`] only for a token that is valid
    /// in every other way.
    pub fn verify(&self, keys: &IssuerKeys, token: &str, now_unix: i64) -> Result<Claims, Unverified> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Invalid.into());
        }
        let header = header_of(token).ok_or(TokenError::Invalid)?;
        let key_id = header.kid.as_deref().filter(|id| id.len() <= MAX_KEY_ID_BYTES).ok_or(TokenError::Invalid)?;
        let Some(key) = keys.find(key_id, header.alg) else {
            // A key with this name but another algorithm cannot be used, however new the set is.
            let is_known = keys.contains(key_id);
            return Err(if is_known { TokenError::Invalid.into() } else { Unverified::KeyUnknown(key_id.to_owned()) });
        };
        let validation = signature_only(key.algorithm);
        let data =
            jsonwebtoken::decode::<IssuerClaims>(token, &key.key, &validation).map_err(|_| TokenError::Invalid)?;
        check_header(&data.header, &["JWT", "at+jwt"])?;
        Ok(self.check(data.claims, token, now_unix)?)
    }

    fn check(&self, claims: IssuerClaims, token: &str, now_unix: i64) -> Result<Claims, TokenError> {
        let is_for_us = self.audience.as_ref().is_none_or(|audience| claims.aud.iter().any(|aud| aud.names(audience)));
        let user = claims.others.get(&self.user_claim).cloned();
        let user = user.and_then(|user| serde_json::from_value::<UserIdClaim>(user).ok()?.parse());
        let jti = claims.jti.unwrap_or_else(|| fingerprint(token));
        let (true, true, true, Some(user_id)) = (claims.iss == self.issuer, is_for_us, jti_is_valid(&jti), user) else {
            return Err(TokenError::Invalid);
        };
        check_times(claims.exp, claims.nbf, claims.iat, now_unix)?;
        Ok(Claims { user_id, jti: TokenId(jti), exp_unix: claims.exp, iat_unix: claims.iat })
    }
}

/// A hash of the signed part, because a signature can have several forms.
fn fingerprint(token: &str) -> String {
    let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    let digest = Sha256::digest(signed.as_bytes());
    digest.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[derive(Deserialize)]
struct IssuerClaims {
    #[serde(default, deserialize_with = "present")]
    jti: Option<String>,
    iss: String,
    exp: i64,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    iat: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<Audience>,
    #[serde(flatten)]
    others: Map<String, Value>,
}
