//! Verifies tokens: with the secret that is shared with the main backend (HS256), or with the public keys of an issuer.
//! The algorithm decides which of the two, and no key serves both. Workers check for revocation.

mod fetch;
mod issuer;

use shared::auth::issuer::{Unverified, is_issuers};
use shared::auth::{Claims, TokenError, TokenVerifier};
use shared::clock::Timestamp;
use shared::config::GatewaySettings;

use crate::tokens::issuer::Issuer;

/// What callers are told if the issuer's keys cannot be read.
const RETRY_AFTER_SECONDS: u32 = 5;

/// Verifies tokens.
pub struct Tokens {
    secret: Option<TokenVerifier>,
    issuer: Option<Issuer>,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Token(TokenError),
    /// The token names an unknown key and the issuer does not answer, so it cannot be checked now.
    Unavailable {
        retry_after: u32,
    },
}

impl Tokens {
    /// Reads the system's certificate authorities if there is an issuer.
    ///
    /// # Errors
    /// When a setting that was checked before turns out to be unusable.
    pub fn new(settings: &GatewaySettings) -> anyhow::Result<Self> {
        let secret = match (&settings.jwt_secret, &settings.jwt_secret_previous) {
            (Some(secret), Some(previous)) => Some(TokenVerifier::new(secret.expose())?.and(previous.expose())?),
            (Some(secret), None) => Some(TokenVerifier::new(secret.expose())?),
            (None, _) => None,
        };
        Ok(Tokens { secret, issuer: Issuer::new(settings)? })
    }

    /// Keeps the issuer's keys up to date; returns at once if there is no issuer.
    pub async fn refresh(&self) {
        if let Some(issuer) = &self.issuer {
            issuer.refresh().await;
        }
    }

    /// Verifies a token with the known keys.
    ///
    /// # Errors
    /// [`Unverified::KeyUnknown`] when [`Self::verify`] may find the key by asking the issuer.
    pub fn verify_at_once(&self, token: &str) -> Result<Claims, Unverified> {
        let now_unix = Timestamp::now().0 / 1000;
        match (&self.issuer, &self.secret) {
            (Some(issuer), _) if is_issuers(token) => issuer.verify(token, now_unix),
            (_, Some(secret)) => Ok(secret.verify(token, now_unix)?),
            (_, None) if token.is_empty() => Err(TokenError::Missing.into()),
            (_, None) => Err(TokenError::Invalid.into()),
        }
    }

    /// Verifies a token; if the token names an unknown key, reads the issuer's keys first.
    ///
    /// # Errors
    /// When the token is not valid, or when it depends on the issuer and the issuer does not answer.
    pub async fn verify(&self, token: &str) -> Result<Claims, Refused> {
        let unavailable = Refused::Unavailable { retry_after: RETRY_AFTER_SECONDS };
        let key_id = match self.verify_at_once(token) {
            Ok(claims) => return Ok(claims),
            Err(Unverified::Refused(error)) => return Err(Refused::Token(error)),
            Err(Unverified::KeyUnknown(key_id)) => key_id,
        };
        let Some(issuer) = &self.issuer else { return Err(Refused::Token(TokenError::Invalid)) };
        issuer.look_up(&key_id).await.map_err(|_| unavailable)?;
        self.verify_at_once(token).map_err(|error| match error {
            Unverified::Refused(error) => Refused::Token(error),
            Unverified::KeyUnknown(_) => Refused::Token(TokenError::Invalid),
        })
    }
}
