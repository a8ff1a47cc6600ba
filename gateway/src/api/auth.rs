//! `POST /api/auth/register`, `/login`, `/logout`: the accounts of this server's own (`BUILTIN_AUTH`). Workers know the accounts;
//! tokens are made here.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;
use shared::auth::TokenSigner;
use shared::clock::Timestamp;
use shared::events::session::Profile;
use shared::http::SignedIn;
use shared::ids::UserId;
use shared::limits::MAX_ACCOUNT_BODY_BYTES;
use shared::stream::{HttpRequest, Internal, InternalReply};
use uuid::Uuid;
use warp::Filter;

use super::answer::{NOBODY, answered, ask, json_response, unexpected, with};
use super::body::{self, Unread};
use super::error::ApiError;
use super::{bearer, login_attempts};
use crate::gateway::Gateway;
use crate::http::reply::{Response, Routes};
use crate::limits::addresses::{Address, Counted, OverLimit, Peer};

const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

pub fn routes(gateway: &Arc<Gateway>) -> Routes {
    let post = || warp::post().and(with(gateway)).and(warp::header::headers_cloned());
    let register = warp::path!("api" / "auth" / "register")
        .and(post())
        .and(body::unread())
        .and(warp::ext::get::<Peer>())
        .then(|gateway, headers, body, peer| async move { answered(register(gateway, headers, body, peer).await) });
    let login = warp::path!("api" / "auth" / "login")
        .and(post())
        .and(body::unread())
        .and(warp::ext::get::<Peer>())
        .then(|gateway, headers, body, peer| async move { answered(login(gateway, headers, body, peer).await) });
    let logout = warp::path!("api" / "auth" / "logout")
        .and(post())
        .then(|gateway, headers| async move { answered(logout(gateway, headers).await) });
    register.or(login).unify().or(logout).unify().boxed()
}

async fn register(gateway: Arc<Gateway>, headers: HeaderMap, body: Unread, peer: Peer) -> Result<Response, ApiError> {
    let body = body::read(&headers, body, MAX_ACCOUNT_BODY_BYTES).await?;
    let address = Address::of(peer.0.ip(), &headers, &gateway.settings.trusted_proxies);
    if let Err(OverLimit::TooManyRequests { retry_after }) =
        gateway.addresses.count(Counted::Registrations, address).await
    {
        return Err(ApiError::too_many(retry_after, "Too many accounts were registered from your address"));
    }
    sign_in(&gateway, HttpRequest::Register { body }).await
}

async fn login(gateway: Arc<Gateway>, headers: HeaderMap, body: Unread, peer: Peer) -> Result<Response, ApiError> {
    let body = body::read(&headers, body, MAX_ACCOUNT_BODY_BYTES).await?;
    let address = Address::of(peer.0.ip(), &headers, &gateway.settings.trusted_proxies);
    let attempt = login_attempts::count(&gateway, address, account(&body).as_deref()).await?;
    let answer = sign_in(&gateway, HttpRequest::Login { body }).await?;
    if answer.status().is_success() {
        attempt.succeeded(&gateway).await;
    }
    Ok(answer)
}

async fn logout(gateway: Arc<Gateway>, headers: HeaderMap) -> Result<Response, ApiError> {
    let claims = bearer::verify(&gateway.tokens, &headers).await?;
    let expires_at = Timestamp(claims.exp_unix.saturating_mul(1000));
    ask(&gateway, UserId(claims.user_id), HttpRequest::Logout { token_id: claims.jti, expires_at }).await
}

/// Whose account a login is for. A body without a name is refused by the worker, which tells what is wrong with it.
fn account(body: &[u8]) -> Option<String> {
    // As the worker reads it: of a name given twice the last one counts.
    let body: Value = serde_json::from_slice(body).ok()?;
    body.get("username")?.as_str().map(str::to_owned)
}

async fn sign_in(gateway: &Gateway, request: HttpRequest) -> Result<Response, ApiError> {
    let (user, profile) = match gateway.requests.ask(NOBODY, &Internal::Http(request), None).await {
        InternalReply::SignedIn { user, profile } => (user, profile),
        InternalReply::Http { status, json } => return Ok(json_response(status, json)),
        reply => return Err(unexpected(&reply)),
    };
    let token = token(gateway, user)?;
    let user: Profile =
        serde_json::from_slice(&profile).map_err(|_| ApiError::internal("a profile is not readable"))?;
    let answer = serde_json::to_vec(&SignedIn { token: &token, user: &user });
    Ok(json_response(200, answer.map_err(|_| ApiError::internal("an answer cannot be written"))?))
}

fn token(gateway: &Gateway, user: UserId) -> Result<String, ApiError> {
    let secret = gateway.settings.jwt_secret.as_ref();
    let signer = secret.and_then(|secret| TokenSigner::new(secret.expose()).ok());
    let signer = signer.ok_or_else(|| ApiError::internal("the secret of the tokens is not usable"))?;
    let token_id = Uuid::new_v4().to_string();
    let token = signer.sign(user.0, &token_id, Timestamp::now().0 / 1000, TOKEN_LIFETIME);
    token.map_err(|_| ApiError::internal("a token cannot be signed"))
}
