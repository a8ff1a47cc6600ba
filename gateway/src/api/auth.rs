//! `POST /api/auth/register`, `/login`, `/logout`: this server's built-in accounts (`BUILTIN_AUTH`). Workers hold the
//! accounts; the gateway signs the tokens.

use std::time::Duration;

use serde_json::Value;
use shared::auth::{Claims, TokenSigner};
use shared::clock::Timestamp;
use shared::events::session::Profile;
use shared::http::SignedIn;
use shared::ids::UserId;
use shared::stream::{HttpRequest, Internal, InternalReply};
use tokio::sync::SemaphorePermit;
use uuid::Uuid;

use super::answer::{NOBODY, ask, json_response, unexpected};
use super::error::ApiError;
use super::login_attempts;
use crate::gateway::Gateway;
use crate::http::reply::Response;
use crate::limits::addresses::{Address, Counted, OverLimit};

const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);
const STRANGERS_RETRY_AFTER_SECONDS: u32 = 1;

pub async fn register(gateway: &Gateway, address: Address, body: Vec<u8>) -> Result<Response, ApiError> {
    let _place = take_place(gateway)?;
    if let Err(OverLimit::TooManyRequests { retry_after }) =
        gateway.addresses.count(Counted::Registrations, address).await
    {
        return Err(ApiError::too_many(retry_after, "Too many accounts were registered from your address"));
    }
    let name = account(&body);
    let answer = sign_in(gateway, HttpRequest::Register { body }).await?;
    if let Some(name) = name.filter(|_| answer.status().is_success()) {
        login_attempts::registered(gateway, address, &name).await;
    }
    Ok(answer)
}

pub async fn login(gateway: &Gateway, address: Address, body: Vec<u8>) -> Result<Response, ApiError> {
    let attempt = login_attempts::count(gateway, address, account(&body).as_deref()).await?;
    let _place = if attempt.is_known { None } else { Some(take_place(gateway)?) };
    let request = if attempt.is_known { HttpRequest::KnownLogin { body } } else { HttpRequest::Login { body } };
    let answer = sign_in(gateway, request).await?;
    if answer.status().is_success() {
        attempt.succeeded(gateway).await;
    }
    Ok(answer)
}

pub async fn logout(gateway: &Gateway, claims: Claims) -> Result<Response, ApiError> {
    let expires_at = Timestamp(claims.exp_unix.saturating_mul(1000));
    ask(gateway, UserId(claims.user_id), HttpRequest::Logout { token_id: claims.jti, expires_at }).await
}

/// The account that a login or a registration is for. A worker rejects a body without a name and says what is wrong with it.
fn account(body: &[u8]) -> Option<String> {
    // Like the worker's parser: if a name is given twice, the last one counts.
    let body: Value = serde_json::from_slice(body).ok()?;
    body.get("username")?.as_str().map(str::to_owned)
}

/// A stranger's place among those who wait for workers.
fn take_place(gateway: &Gateway) -> Result<SemaphorePermit<'_>, ApiError> {
    gateway.strangers.try_acquire().map_err(|_| ApiError::unavailable(STRANGERS_RETRY_AFTER_SECONDS))
}

async fn sign_in(gateway: &Gateway, request: HttpRequest) -> Result<Response, ApiError> {
    let (user, profile) = match gateway.requests.ask(NOBODY, &Internal::Http(request), None).await {
        InternalReply::SignedIn { user, profile } => (user, profile),
        InternalReply::Http { status, json } => return Ok(json_response(status, json)),
        reply => return Err(unexpected(&reply)),
    };
    let token = token(gateway, user)?;
    let user: Profile = serde_json::from_slice(&profile).map_err(|_| ApiError::internal("a profile cannot be read"))?;
    let answer = serde_json::to_vec(&SignedIn { token: &token, user: &user });
    Ok(json_response(200, answer.map_err(|_| ApiError::internal("an answer cannot be serialised"))?))
}

fn token(gateway: &Gateway, user: UserId) -> Result<String, ApiError> {
    let secret = gateway.settings.jwt_secret.as_ref();
    let signer = secret.and_then(|secret| TokenSigner::new(secret.expose()).ok());
    let signer = signer.ok_or_else(|| ApiError::internal("the token secret cannot be used"))?;
    let token_id = Uuid::new_v4().to_string();
    let token = signer.sign(user.0, &token_id, Timestamp::now().0 / 1000, TOKEN_LIFETIME);
    token.map_err(|_| ApiError::internal("a token cannot be signed"))
}
