//! Asks a worker on behalf of an HTTP request, and turns its answer into a response.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use shared::dialects;
use shared::ids::UserId;
use shared::stream::{HttpRequest, Internal, InternalReply};
use warp::{Filter, Reply};

use super::error::ApiError;
use crate::gateway::Gateway;
use crate::http::reply::Response;

/// The caller of requests that are not a user's.
pub const NOBODY: UserId = UserId(0);

pub fn with(
    gateway: &Arc<Gateway>,
) -> impl Filter<Extract = (Arc<Gateway>,), Error = std::convert::Infallible> + Clone + use<> {
    let gateway = gateway.clone();
    warp::any().map(move || gateway.clone())
}

pub fn answered(result: Result<Response, ApiError>) -> Response {
    result.unwrap_or_else(ApiError::into_response)
}

/// Has a worker carry out a request whose answer is JSON.
pub async fn ask(gateway: &Gateway, user: UserId, request: HttpRequest) -> Result<Response, ApiError> {
    match gateway.requests.ask(user, &Internal::Http(request), None).await {
        InternalReply::Http { status, json } => Ok(json_response(status, json)),
        reply => Err(unexpected(&reply)),
    }
}

/// As [`ask`], with the answer of this path in the dialect that HTTP speaks here.
pub async fn ask_for(gateway: &Gateway, user: UserId, request: HttpRequest, path: &str) -> Result<Response, ApiError> {
    let (status, mut json) = match gateway.requests.ask(user, &Internal::Http(request), None).await {
        InternalReply::Http { status, json } => (status, json),
        reply => return Err(unexpected(&reply)),
    };
    if let Some(translator) = gateway.settings.default_dialect.translator()
        && let Ok(serde_json::Value::Object(mut answer)) = serde_json::from_slice(&json)
    {
        translator.http(path, &mut answer);
        json = dialects::written(&answer.into());
    }
    Ok(json_response(status, json))
}

/// Why there is no answer when `reply` is none that was hoped for.
pub fn unexpected(reply: &InternalReply) -> ApiError {
    match reply {
        InternalReply::Unavailable { retry_after } => ApiError::unavailable(*retry_after),
        _ => ApiError::internal("a worker's answer is not one to this request"),
    }
}

/// A finished answer.
pub fn json_response(status: u16, json: Vec<u8>) -> Response {
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
    struct Refusal {
        #[serde(rename = "retryAfter")]
        retry_after: Option<u32>,
    }
    let may_say = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
    if may_say { serde_json::from_slice::<Refusal>(json).ok()?.retry_after } else { None }
}
