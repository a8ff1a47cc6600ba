//! The HTTP endpoints that need a worker, and the server API: one file per endpoint. `http` finds the endpoint of a
//! request and runs it here; `answer` turns a worker's answer into a response. `http` also holds what all HTTP answers
//! share (limits per address, CORS, compression).

mod answer;
mod auth;
mod bearer;
mod body;
mod community_sync;
mod conversations;
mod error;
mod login_attempts;
mod profile_pictures;
mod server;

use http::HeaderMap;
use shared::auth::Claims;
use shared::endpoints::{Auth, Endpoint, MaxBody, Operation, Requires};

pub use self::answer::answered;
pub use self::body::{Unread, unread};
pub use self::error::ApiError;
pub use self::server::route as server_route;
use crate::gateway::Gateway;
use crate::http::reply::Response;
use crate::limits::addresses::{Address, Peer};

/// The parts of an incoming request.
pub struct Request {
    pub query: String,
    pub headers: HeaderMap,
    pub body: Unread,
    pub peer: Peer,
}

/// True if the settings enable the endpoint.
pub fn is_on(gateway: &Gateway, endpoint: &Endpoint) -> bool {
    match endpoint.requires {
        Requires::Nothing => true,
        Requires::BuiltinAuth => gateway.settings.common.builtin_auth,
        Requires::CommunitySyncToken => gateway.settings.community_sync_token.is_some(),
    }
}

/// Handles a request to an endpoint that is not for operators.
pub async fn carry_out(gateway: &Gateway, endpoint: &Endpoint, request: Request) -> Result<Response, ApiError> {
    let claims = authenticate(gateway, endpoint.auth, &request.headers).await?;
    let user = || claims.ok_or_else(|| ApiError::internal("an endpoint for users does not ask for a token"));
    let address = Address::of(request.peer.0.ip(), &request.headers, &gateway.settings.trusted_proxies);
    let body = match endpoint.max_body {
        MaxBody::Nothing => Vec::new(),
        MaxBody::Bytes(most) => body::read(&request.headers, request.body, most).await?,
        MaxBody::CommunitySync => {
            let most = gateway.settings.community_sync_max_payload_bytes;
            body::read(&request.headers, request.body, most).await?
        }
    };
    match endpoint.operation {
        Operation::Conversations => conversations::list(gateway, user()?, request.query, endpoint.path).await,
        Operation::ProfilePictures => profile_pictures::list(gateway, user()?, body).await,
        Operation::CommunityProgression => community_sync::sync(gateway, body).await,
        Operation::Register => auth::register(gateway, address, body).await,
        Operation::Login => auth::login(gateway, address, body).await,
        Operation::Logout => auth::logout(gateway, user()?).await,
        Operation::Health | Operation::Ready | Operation::Live | Operation::Metrics => Err(ApiError::nothing()),
    }
}

/// Authenticates the caller as the endpoint requires; returns `None` if the caller is not a user.
async fn authenticate(gateway: &Gateway, auth: Auth, headers: &HeaderMap) -> Result<Option<Claims>, ApiError> {
    match (auth, &gateway.settings.community_sync_token) {
        (Auth::Anybody, _) => Ok(None),
        (Auth::User, _) => bearer::verify(&gateway.tokens, headers).await.map(Some),
        (Auth::MainBackend, Some(secret)) => bearer::check_secret(secret, headers).map(|()| None),
        (Auth::MainBackend, None) => Err(ApiError::nothing()),
    }
}
