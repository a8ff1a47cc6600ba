//! The part of authentication that needs no worker: is this a valid token, and whose?

use shared::auth::{MAX_TOKEN_BYTES, TokenError};
use shared::clock::Timestamp;
use shared::events::answer;
use shared::events::session::{AuthError, AuthErrorCode};
use shared::ids::UserId;
use shared::protocol::RequestId;
use tokio::time::Instant;

use crate::gateway::Gateway;
use crate::session::decode::Token;
use crate::session::opening::Opener;

/// A valid token on its way to a session.
pub struct Attempt {
    pub opener: Opener,
    pub expires_unix: i64,
    pub started: Instant,
}

impl Attempt {
    /// Checks a token; the error is the finished `auth_error`.
    pub fn verify(
        gateway: &Gateway,
        token: Token,
        wants_acks: bool,
        request_id: Option<RequestId>,
    ) -> Result<Self, Vec<u8>> {
        let started = Instant::now();
        let claims = match &token {
            Token::Missing => Err(TokenError::Missing),
            Token::NoString => Err(TokenError::Invalid),
            Token::Given(token) => gateway.verifier.verify(token, Timestamp::now().0 / 1000),
        };
        match claims {
            Ok(claims) => Ok(Attempt {
                opener: Opener { user: UserId(claims.user_id), token_id: claims.jti, wants_acks, request_id },
                expires_unix: claims.exp_unix,
                started,
            }),
            Err(error) => {
                gateway.metrics.errors.with(error.code()).increment(1);
                Err(auth_error(error, request_id.as_ref()))
            }
        }
    }

    /// The `auth_error` that says that the fleet does not answer.
    pub fn unavailable(&self, retry_after: u32) -> Vec<u8> {
        let event = AuthError {
            message: "Authentication is not available for the moment",
            details: "try again after `retryAfter` seconds",
            code: AuthErrorCode::ServiceUnavailable,
            retry_after: Some(retry_after),
            timestamp: Timestamp::now(),
        };
        answer(&event, self.opener.request_id.as_ref())
    }
}

fn auth_error(error: TokenError, request_id: Option<&RequestId>) -> Vec<u8> {
    let (code, details) = match error {
        TokenError::Missing => (AuthErrorCode::TokenMissing, "`token` is required".to_owned()),
        TokenError::Invalid => {
            let details = format!(
                "`token` must be a JWT of at most {MAX_TOKEN_BYTES} bytes, signed with HS256, with `jti` and `exp`"
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
