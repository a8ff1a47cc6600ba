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

/// The caller of requests that are not made for a user.
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

/// Asks a worker to handle a request, and returns its JSON answer.
pub async fn ask(gateway: &Gateway, user: UserId, request: HttpRequest) -> Result<Response, ApiError> {
    match gateway.requests.ask(user, &Internal::Http(request), None).await {
        InternalReply::Http { status, json } => Ok(json_response(status, json)),
        reply => Err(unexpected(&reply)),
    }
}

/// Like [`ask`], but returns the answer in the HTTP dialect of this path.
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

/// The error for a `reply` that is not an expected one.
pub fn unexpected(reply: &InternalReply) -> ApiError {
    match reply {
        InternalReply::Unavailable { retry_after } => ApiError::unavailable(*retry_after),
        _ => ApiError::internal("a worker's answer does not belong to this request"),
    }
}

/// A response with this JSON body.
pub fn json_response(status: u16, json: Vec<u8>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let retry_after = retry_after(status, &json);
    let mut response = json.into_response();
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Each answer is for one user and valid only at this moment.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Reads the wait that a worker put into the body.
fn retry_after(status: StatusCode, json: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(rename = "retryAfter")]
        retry_after: Option<u32>,
    }
    let may_say = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
    if may_say { serde_json::from_slice::<Refusal>(json).ok()?.retry_after } else { None }
}
