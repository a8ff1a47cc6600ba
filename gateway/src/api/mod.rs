//! The HTTP endpoints that need a worker: a file per endpoint. Here they are put together, and a worker's answer becomes a
//! response. What is common to all HTTP answers (limits per address, CORS, compression) is in `http`.

mod auth;
mod bearer;
mod body;
mod community_sync;
mod conversations;
mod login_attempts;
mod profile_pictures;
mod refusal;

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use shared::ids::UserId;
use shared::stream::{HttpRequest, Internal, InternalReply};
use warp::{Filter, Reply};

use self::refusal::Refusal;
use crate::gateway::Gateway;
use crate::routes::Routes;

type Response = warp::reply::Response;

/// The paths and the methods that each takes.
const METHODS: [(&str, &str); 6] = [
    ("/api/conversations", "GET, HEAD, OPTIONS"),
    ("/api/profile-pictures/batch", "POST, OPTIONS"),
    ("/community/progression", "POST, OPTIONS"),
    ("/api/auth/register", "POST, OPTIONS"),
    ("/api/auth/login", "POST, OPTIONS"),
    ("/api/auth/logout", "POST, OPTIONS"),
];
/// Of requests that are not a user's.
const NOBODY: UserId = UserId(0);

/// The endpoints that the settings turn on.
pub fn routes(gateway: &Arc<Gateway>) -> Routes {
    let mut routes = conversations::route(gateway).or(profile_pictures::route(gateway)).unify().boxed();
    if gateway.settings.community_sync_token.is_some() {
        routes = routes.or(community_sync::route(gateway)).unify().boxed();
    }
    if gateway.settings.builtin_auth {
        routes = routes.or(auth::routes(gateway)).unify().boxed();
    }
    routes
}

/// What `Allow` says for a path of these.
pub fn allowed_methods(path: &str) -> Option<&'static str> {
    METHODS.into_iter().find(|(known, _)| *known == path).map(|(_, methods)| methods)
}

fn with(
    gateway: &Arc<Gateway>,
) -> impl Filter<Extract = (Arc<Gateway>,), Error = std::convert::Infallible> + Clone + use<> {
    let gateway = gateway.clone();
    warp::any().map(move || gateway.clone())
}

fn answered(result: Result<Response, Refusal>) -> Response {
    result.unwrap_or_else(Refusal::into_response)
}

/// Has a worker carry out a request whose answer is JSON.
async fn ask(gateway: &Gateway, user: UserId, request: HttpRequest) -> Result<Response, Refusal> {
    match gateway.ask(user, &Internal::Http(request), None).await {
        InternalReply::Http { status, json } => Ok(json_response(status, json)),
        reply => Err(unexpected(&reply)),
    }
}

/// Why there is no answer when `reply` is none that was hoped for.
fn unexpected(reply: &InternalReply) -> Refusal {
    match reply {
        InternalReply::Unavailable { retry_after } => Refusal::unavailable(*retry_after),
        _ => Refusal::internal("a worker's answer is not one to this request"),
    }
}

/// A finished answer.
fn json_response(status: u16, json: Vec<u8>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let retry_after = retry_after(status, &json);
    let mut response = json.into_response();
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Each is one user's, and of this moment.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A worker says it in the body.
fn retry_after(status: StatusCode, json: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Refused {
        #[serde(rename = "retryAfter")]
        retry_after: Option<u32>,
    }
    let may_say = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
    if may_say { serde_json::from_slice::<Refused>(json).ok()?.retry_after } else { None }
}
