//! `Authorization: Bearer …`: a user's token, or a secret that two servers share. Revocation is checked by the worker.

use http::{HeaderMap, StatusCode, header};
use shared::auth::{Claims, TokenError};
use shared::config::Secret;
use shared::server_api::key::ApiKey;
use subtle::ConstantTimeEq;

use super::error::ApiError;
use crate::tokens::{Refused, Tokens};

/// Verifies the user's token. Waits for the issuer's keys if the token names an unknown one.
pub async fn verify(tokens: &Tokens, headers: &HeaderMap) -> Result<Claims, ApiError> {
    let token = credentials(headers).ok_or_else(|| refused(TokenError::Missing))?;
    tokens.verify(token).await.map_err(|error| match error {
        Refused::Token(error) => refused(error),
        Refused::Unavailable { retry_after } => ApiError::unavailable(retry_after),
    })
}

/// Checks that the caller knows the secret. The time this takes reveals only the secret's length.
pub fn check_secret(secret: &Secret, headers: &HeaderMap) -> Result<(), ApiError> {
    match credentials(headers) {
        Some(given) if bool::from(given.as_bytes().ct_eq(secret.expose().as_bytes())) => Ok(()),
        Some(_) => Err(refused(TokenError::Invalid)),
        None => Err(refused(TokenError::Missing)),
    }
}

/// The API key in the request.
pub fn api_key(headers: &HeaderMap) -> Result<ApiKey, ApiError> {
    let text = credentials(headers).ok_or_else(|| refused(TokenError::Missing))?;
    ApiKey::parse(text)
        .ok_or_else(|| ApiError::new(StatusCode::UNAUTHORIZED, "TOKEN_INVALID", "This is not an API key"))
}

fn credentials(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credentials.trim())
}

fn refused(error: TokenError) -> ApiError {
    let message = match error {
        TokenError::Missing => "The header `Authorization: Bearer` is required",
        TokenError::Invalid => "The token is not valid",
        TokenError::Expired => "The token has expired",
    };
    ApiError::new(StatusCode::UNAUTHORIZED, error.code(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: Option<&str>) -> HeaderMap {
        authorization.map(|value| (header::AUTHORIZATION, value.parse().unwrap())).into_iter().collect()
    }

    #[test]
    fn only_the_whole_secret_passes() {
        let secret = Secret::new("one two three");
        for authorization in ["Bearer one two three", "bearer  one two three "] {
            assert_eq!(check_secret(&secret, &headers(Some(authorization))), Ok(()), "{authorization}");
        }
        for authorization in ["Bearer one two thre", "Bearer one two three!", "Bearer ONE two three", "Bearer "] {
            let refusal = check_secret(&secret, &headers(Some(authorization))).unwrap_err();
            assert_eq!((refusal.status.as_u16(), refusal.code), (401, "TOKEN_INVALID"), "{authorization}");
        }
        for authorization in [None, Some("Basic one two three"), Some("one"), Some("")] {
            assert_eq!(check_secret(&secret, &headers(authorization)).unwrap_err().code, "TOKEN_MISSING");
        }
    }
}
