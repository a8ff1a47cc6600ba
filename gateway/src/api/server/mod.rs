//! `/api/server/v1/…`: the server API. A backend authenticates with an API key and acts for a user: a worker checks the
//! key, then the request becomes the same command that the user's own client would send, and takes the same path. The
//! endpoints are listed in [`shared::server_api`]; this module holds what they share.

mod command;
mod request;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use shared::http::{Done, ReportState, Session, Sessions, Success};
use shared::ids::{ApiKeyId, ConnectionRef, ReportId, UserId};
use shared::protocol::{Fields, Invalid};
use shared::publication::Header;
use shared::redis::presence::PresenceScripts;
use shared::server_api::key::ApiKey;
use shared::server_api::{self, ServerMatch, ServerOperation};
use shared::stream::{HttpRequest, Internal, InternalReply, ServerCall};
use uuid::Uuid;
use warp::Filter;
use warp::path::Tail;

use self::request::{Incoming, Parsed};
use super::answer::{NOBODY, answered, json_response, unexpected, with};
use super::bearer;
use super::body::{self, Unread};
use super::error::ApiError;
use crate::gateway::Gateway;
use crate::http::reply::{Response, Routes};
use crate::limits::addresses::{Address, Counted, OverLimit, Peer};

/// Keys have a limit per minute.
const RATE_WINDOW: std::time::Duration = std::time::Duration::from_secs(60);

pub fn route(gateway: &Arc<Gateway>) -> Routes {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path("api")
        .and(warp::path("server"))
        .and(warp::path("v1"))
        .and(warp::path::tail())
        .and(warp::method())
        .and(query)
        .and(with(gateway))
        .and(warp::header::headers_cloned())
        .and(body::unread())
        .and(warp::ext::get::<Peer>())
        .then(|tail: Tail, method: Method, query: String, gateway, headers: HeaderMap, body, peer: Peer| async move {
            let path = format!("/{}", tail.as_str());
            let serving = Box::pin(serve(gateway, &method, (&path, &query), &headers, body, peer));
            answered(serving.await)
        })
        .boxed()
}

async fn serve(
    gateway: Arc<Gateway>,
    method: &Method,
    (path, query): (&str, &str),
    headers: &HeaderMap,
    body: Unread,
    peer: Peer,
) -> Result<Response, ApiError> {
    let address = Address::of(peer.0.ip(), headers, &gateway.settings.trusted_proxies);
    let key = bearer::api_key(headers);
    count(&gateway, address, key.as_ref().ok()).await?;
    match server_api::find(method.as_str(), path) {
        ServerMatch::Endpoint(endpoint, parameters) => {
            let incoming = Incoming { endpoint, parameters, path, query, headers };
            carry_out(&gateway, address, key?, incoming, body).await
        }
        ServerMatch::OtherMethods(methods) => Ok(other_method(&methods)),
        ServerMatch::Nothing => Err(ApiError::nothing()),
    }
}

fn other_method(methods: &[server_api::Method]) -> Response {
    let message = "This path does not support this method";
    let mut response = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message).into_response();
    let allowed: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    if let Ok(allowed) = HeaderValue::from_str(&allowed.join(", ")) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

async fn carry_out(
    gateway: &Gateway,
    address: Address,
    key: ApiKey,
    incoming: Incoming<'_>,
    body: Unread,
) -> Result<Response, ApiError> {
    let endpoint = incoming.endpoint;
    if matches!(endpoint.operation, ServerOperation::CreateUser | ServerOperation::UpdateUser)
        && !gateway.settings.common.builtin_auth
    {
        return Err(ApiError::nothing());
    }
    let body = match endpoint.method.has_body() {
        true => body::read(incoming.headers, body, gateway.settings.max_payload_bytes).await?,
        false => Vec::new(),
    };
    let mut request = Parsed::new(&incoming, &body)?;
    while let Some((held, invalid)) = command::held_ids(gateway, &request) {
        // Nobody else learns which ids exist.
        allow(gateway, address, &key, server_call(&key, &request)).await?;
        let known = held.look_up(&gateway.requests, request.acting()?).await.map_err(ApiError::of_rejection)?;
        known.ok_or_else(|| ApiError::invalid(&invalid))?.put(&mut request.fields);
    }
    let command = authorise(gateway, address, &key, &request).await?;
    match endpoint.operation {
        ServerOperation::Command(name) => command::run(gateway, name, request, command).await,
        ServerOperation::Sessions => sessions(gateway, request.acting()?).await,
        ServerOperation::Kick => kick(gateway, request.acting()?).await,
        ServerOperation::Presence => ask(gateway, HttpRequest::Presences { body }, command).await,
        ServerOperation::CreateUser => ask(gateway, HttpRequest::CreateUser { body }, command).await,
        ServerOperation::UpdateUser => {
            ask(gateway, HttpRequest::UpdateUser { user: request.acting()?, body }, command).await
        }
        ServerOperation::Export => {
            let after = Fields(&request.fields).cursor().map_err(|invalid| ApiError::invalid(&invalid))?;
            ask(gateway, HttpRequest::Export { user: request.acting()?, after }, command).await
        }
        ServerOperation::Reports => ask(gateway, reports(&request)?, command).await,
        ServerOperation::CloseReport => ask(gateway, close_report(&request, key.id)?, command).await,
    }
}

/// Counts a request against its key if that key was accepted recently, and otherwise against its address, which makes
/// guessing slow.
async fn count(gateway: &Gateway, address: Address, key: Option<&ApiKey>) -> Result<(), ApiError> {
    let Some(key) = key.filter(|key| gateway.known_keys.contains(key)) else {
        let counted = gateway.addresses.count(Counted::Requests, address).await;
        return counted.map_err(|over| match over {
            OverLimit::TooManyRequests { retry_after } => {
                ApiError::too_many(retry_after, "Too many requests from your address")
            }
            OverLimit::TooManyConnections => ApiError::unavailable(1),
        });
    };
    let limit = gateway.settings.api_key_rate_limit;
    let name = gateway.keys.api_key_requests(&key.id);
    match gateway.addresses.scripts.request(&gateway.redis, &name, limit, RATE_WINDOW).await {
        Ok(None) => Ok(()),
        Ok(Some(retry_after)) => {
            let message = format!("An API key may make {limit} requests per minute");
            Err(ApiError::too_many(retry_after, &message))
        }
        Err(error) => {
            tracing::warn!(%error, "requests by API keys cannot be counted");
            Err(ApiError::unavailable(2))
        }
    }
}

/// Asks a worker to check the key and to record the request; returns the id of the command that the request becomes. A
/// repetition gets the id of the first request.
async fn authorise(
    gateway: &Gateway,
    address: Address,
    key: &ApiKey,
    request: &Parsed,
) -> Result<Option<Uuid>, ApiError> {
    let call = ServerCall {
        action: request.is_audited().then(|| request.endpoint.action().to_owned()),
        repetition: command::repetition(gateway, request)?,
        ..server_call(key, request)
    };
    allow(gateway, address, key, call).await
}

/// A use of the key that leaves no trace.
fn server_call(key: &ApiKey, request: &Parsed) -> ServerCall {
    ServerCall {
        key_id: key.id.clone(),
        key_hash: key.hash.clone(),
        scope: request.endpoint.scope.as_str().to_owned(),
        action: None,
        user: request.user,
        repetition: None,
    }
}

async fn allow(gateway: &Gateway, address: Address, key: &ApiKey, call: ServerCall) -> Result<Option<Uuid>, ApiError> {
    let user = call.user.unwrap_or(NOBODY);
    match gateway.requests.ask(user, &Internal::Http(HttpRequest::ServerCall(call)), None).await {
        InternalReply::Allowed { command } => {
            gateway.known_keys.insert(key);
            Ok(command)
        }
        InternalReply::Http { status, json } => {
            if status == StatusCode::UNAUTHORIZED.as_u16()
                && let Err(OverLimit::TooManyRequests { retry_after }) =
                    gateway.addresses.count(Counted::AuthFailures, address).await
            {
                return Err(ApiError::too_many(retry_after, "Too many wrong keys from your address"));
            }
            Err(ApiError::of_worker(Some(status), &json))
        }
        reply => Err(unexpected(&reply)),
    }
}

async fn ask(gateway: &Gateway, request: HttpRequest, command: Option<Uuid>) -> Result<Response, ApiError> {
    match gateway.requests.ask_as(command, NOBODY, &Internal::Http(request), None).await {
        InternalReply::Http { status, json } => Ok(json_response(status, json)),
        reply => Err(unexpected(&reply)),
    }
}

fn reports(request: &Parsed) -> Result<HttpRequest, ApiError> {
    let fields = Fields(&request.fields);
    let limit = fields.limit().map_err(|invalid| ApiError::invalid(&invalid))?;
    let after = fields.cursor().map_err(|invalid| ApiError::invalid(&invalid))?;
    Ok(HttpRequest::Reports { limit, after })
}

fn close_report(request: &Parsed, key_id: ApiKeyId) -> Result<HttpRequest, ApiError> {
    let text = |field: &str| request.fields.get(field).and_then(Value::as_str);
    let report = text("reportId").and_then(|id| Uuid::try_parse(id).ok()).ok_or_else(ApiError::nothing)?;
    let invalid = || Invalid::new("state", format!("`state` must be one of {}", ReportState::NAMES.join(", ")));
    let state = text("state").and_then(ReportState::from_name).ok_or_else(|| ApiError::invalid(&invalid()))?;
    Ok(HttpRequest::CloseReport { report: ReportId(report), state, key_id })
}

/// Lists all connections of a user on all gateways.
async fn sessions(gateway: &Gateway, user: UserId) -> Result<Response, ApiError> {
    let presence = PresenceScripts::new(gateway.keys.clone());
    let mut found = presence.user_sessions(&gateway.redis, user).await.map_err(|error| {
        tracing::warn!(%error, "a user's connections could not be read");
        ApiError::unavailable(2)
    })?;
    found.sort_unstable_by_key(|session| (session.gateway.0, session.connection.0));
    let session = |session: ConnectionRef| Session {
        gateway_id: session.gateway.to_string(),
        connection_id: session.connection.0,
    };
    let sessions = Sessions { status: Success::Ok, sessions: found.into_iter().map(session).collect() };
    Ok(json_response(200, serde_json::to_vec(&sessions).unwrap_or_default()))
}

/// Closes all connections of a user on all gateways.
async fn kick(gateway: &Gateway, user: UserId) -> Result<Response, ApiError> {
    let channel = gateway.keys.user_channel(user);
    gateway.tell(channel, &Header::Kicked, &[]).await.map_err(|error| {
        tracing::warn!(%error, "a user's connections could not be closed");
        ApiError::unavailable(2)
    })?;
    let json = serde_json::to_vec(&Done { status: Success::Ok }).unwrap_or_default();
    Ok(json_response(200, json))
}
