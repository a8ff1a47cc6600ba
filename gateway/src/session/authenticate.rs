//! The part of authentication that needs no worker: checks if a token is valid, and whose it is.

use std::pin::Pin;
use std::sync::Arc;

use shared::auth::issuer::Unverified;
use shared::auth::{Claims, MAX_TOKEN_BYTES, TokenError};
use shared::clock::Timestamp;
use shared::events::answer;
use shared::events::session::{AuthError, AuthErrorCode};
use shared::ids::UserId;
use shared::protocol::{CloseCode, ErrorCode, Rejection, RequestId};
use tokio::time::Instant;

use crate::connection::{Close, Connection, Wants};
use crate::gateway::Gateway;
use crate::limits::addresses::{Address, Counted, OverLimit};
use crate::session::decode::Token;
use crate::session::opening::Opener;
use crate::tokens::Refused;

/// A valid token that is about to open a session.
pub struct Attempt {
    pub opener: Opener,
    pub expires_unix: i64,
    pub started: Instant,
}

/// The result of checking a token.
pub enum Verification {
    Done(Attempt),
    /// The finished `auth_error`.
    Refused(Vec<u8>),
    /// The token names an unknown key, so the issuer has to be asked.
    Waits(Pin<Box<dyn Future<Output = Looked> + Send>>),
}

/// The result of checking a token against the issuer's keys.
pub enum Looked {
    Valid(Attempt),
    /// The finished `auth_error`.
    Refused(Vec<u8>),
    /// The same, but the failure is on our side.
    Unavailable(Vec<u8>),
}

impl Attempt {
    /// Checks a token.
    pub fn verify(gateway: &Arc<Gateway>, token: Token, wants: Wants, request_id: Option<RequestId>) -> Verification {
        let started = Instant::now();
        let (claims, token) = match token {
            Token::Missing => (Err(TokenError::Missing.into()), String::new()),
            Token::NoString => (Err(TokenError::Invalid.into()), String::new()),
            Token::Given(token) => (gateway.tokens.verify_at_once(&token), token),
        };
        match claims {
            Ok(claims) => Verification::Done(Attempt::of(claims, wants, request_id, started)),
            Err(Unverified::Refused(error)) => Verification::Refused(reject(gateway, error, request_id.as_ref())),
            Err(Unverified::KeyUnknown(_)) => {
                let gateway = gateway.clone();
                Verification::Waits(Box::pin(async move {
                    match gateway.tokens.verify(&token).await {
                        Ok(claims) => Looked::Valid(Attempt::of(claims, wants, request_id, started)),
                        Err(Refused::Token(error)) => Looked::Refused(reject(&gateway, error, request_id.as_ref())),
                        Err(Refused::Unavailable { retry_after }) => {
                            Looked::Unavailable(unavailable(retry_after, request_id.as_ref()))
                        }
                    }
                }))
            }
        }
    }

    fn of(claims: Claims, wants: Wants, request_id: Option<RequestId>, started: Instant) -> Self {
        Attempt {
            opener: Opener { user: UserId(claims.user_id), token_id: claims.jti, wants, request_id },
            expires_unix: claims.exp_unix,
            started,
        }
    }

    /// The `auth_error` for a fleet that does not answer.
    pub fn unavailable(&self, retry_after: u32) -> Vec<u8> {
        unavailable(retry_after, self.opener.request_id.as_ref())
    }
}

fn unavailable(retry_after: u32, request_id: Option<&RequestId>) -> Vec<u8> {
    let event = AuthError {
        message: "Authentication is temporarily unavailable",
        details: "Try again after `retryAfter` seconds",
        code: AuthErrorCode::ServiceUnavailable,
        retry_after: Some(retry_after),
        timestamp: Timestamp::now(),
    };
    answer(&event, request_id)
}

/// Makes the `auth_error` and counts it.
fn reject(gateway: &Gateway, error: TokenError, request_id: Option<&RequestId>) -> Vec<u8> {
    gateway.metrics.errors.with(error.code()).increment(1);
    auth_error(error, request_id)
}

/// Counts a failed token against the connection's address, and closes the connection if there were too many.
pub async fn count_failure(gateway: Arc<Gateway>, connection: Arc<Connection>, address: Address) {
    if let Err(OverLimit::TooManyRequests { retry_after }) =
        gateway.addresses.count(Counted::AuthFailures, address).await
    {
        let details = "Too many failed authentications from your address";
        let rejection = Rejection::new(ErrorCode::RateLimitExceeded, details);
        let rejection = Rejection { retry_after: Some(retry_after), ..rejection };
        gateway.push_error(&connection, &rejection, Some("authenticate"), None);
        connection.close(Close::new(CloseCode::Policy, "Too many failed authentications"));
    }
}

fn auth_error(error: TokenError, request_id: Option<&RequestId>) -> Vec<u8> {
    let (code, details) = match error {
        TokenError::Missing => (AuthErrorCode::TokenMissing, "`token` is required".to_owned()),
        TokenError::Invalid => {
            let details = format!(
                "`token` must be a JWT of at most {MAX_TOKEN_BYTES} bytes with `jti` and `exp`, signed with a key that this server accepts"
            );
            (AuthErrorCode::TokenInvalid, details)
        }
        TokenError::Expired => (AuthErrorCode::TokenExpired, "get a new token".to_owned()),
    };
    let message = match error {
        TokenError::Missing => "No token was given",
        TokenError::Invalid => "The token is not valid",
        TokenError::Expired => "The token has expired",
    };
    let event = AuthError { message, details: &details, code, retry_after: None, timestamp: Timestamp::now() };
    answer(&event, request_id)
}
