//! Finds what a request is for: the upgrade on any path, the server API, or an endpoint that `shared::endpoints`
//! declares. `accept` holds what all answers share.

use std::convert::Infallible;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use shared::dialects::{Dialect, SUBPROTOCOL};
use shared::endpoints::{self, Endpoint, EndpointMatch, Operation};
use shared::http::Condition;
use shared::telemetry::traces::TraceContext;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::{Filter, Rejection, Reply};
use websocket::handshake;

use crate::api::{self, Request};
use crate::gateway::Gateway;
use crate::http::probes;
use crate::http::reply::{Response, Routes, error_response, is_upgrade, json_response, upgrade_required, with_status};
use crate::limits::addresses::{Address, Peer};
use crate::limits::unnamed_proxy;
use crate::session::handshake::{Upgraded, origin_is_allowed, serve};
use crate::session::sign_in::{self, Source};

pub fn routes(gateway: Arc<Gateway>) -> Routes {
    let upgrade = warp::header::headers_cloned()
        .and_then(upgrade_requested)
        .and(warp::get())
        .and(warp::ext::get::<Peer>())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(with(&gateway))
        .map(upgrade);
    let root = warp::path::end().and(warp::get()).map(|| upgrade_required("This path is a WebSocket"));
    let are_metrics_public = gateway.settings.admin_addr.is_none();
    let operators = operators(&gateway, move |operation| operation != Operation::Metrics || are_metrics_public);
    let servers = api::server_route(&gateway);
    let users = users(&gateway);
    let all = upgrade.or(root).unify().or(operators).unify().or(servers).unify().or(users).unify();
    all.recover(rejected).unify().boxed()
}

/// The routes of `ADMIN_ADDR`.
pub fn admin_routes(gateway: &Arc<Gateway>) -> Routes {
    operators(gateway, |_| true).recover(rejected).unify().boxed()
}

fn with(gateway: &Arc<Gateway>) -> BoxedFilter<(Arc<Gateway>,)> {
    let gateway = gateway.clone();
    warp::any().map(move || gateway.clone()).boxed()
}

/// Probes and metrics.
fn operators(gateway: &Arc<Gateway>, is_offered: impl Fn(Operation) -> bool + Clone + Send + Sync + 'static) -> Routes {
    found(move |endpoint, _| endpoint.operation.is_for_operators() && is_offered(endpoint.operation), gateway)
        .and(warp::header::headers_cloned())
        .map(|endpoint: Option<&Endpoint>, gateway: Arc<Gateway>, headers: HeaderMap| match endpoint {
            Some(endpoint) => {
                let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
                answer_operator(&gateway, endpoint.operation, accept)
            }
            None => no_such_method(),
        })
        .boxed()
}

fn answer_operator(gateway: &Gateway, operation: Operation, accept: Option<&str>) -> Response {
    match operation {
        Operation::Live => json_response(&probes::live(gateway)),
        Operation::Ready => {
            let body = probes::ready(gateway);
            with_status(body.ready, &body)
        }
        Operation::Health => {
            let body = probes::health(gateway);
            with_status(body.status != Condition::Unhealthy, &body)
        }
        Operation::Metrics => metrics(gateway, accept),
        _ => nothing_here(),
    }
}

/// The endpoints for users and the main backend that the settings enable.
fn users(gateway: &Arc<Gateway>) -> Routes {
    found(|endpoint, gateway| !endpoint.operation.is_for_operators() && api::is_on(gateway, endpoint), gateway)
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::header::headers_cloned())
        .and(api::unread())
        .and(warp::ext::get::<Peer>())
        .then(|endpoint: Option<&'static Endpoint>, gateway: Arc<Gateway>, query, headers, body, peer| async move {
            let Some(endpoint) = endpoint else { return no_such_method() };
            let request = Request { query, headers, body, peer };
            api::answered(Box::pin(api::carry_out(&gateway, endpoint, request)).await)
        })
        .boxed()
}

/// The endpoint of the request, if it is offered here; `None` for another method.
fn found(
    is_offered: impl Fn(&Endpoint, &Gateway) -> bool + Clone + Send + Sync + 'static,
    gateway: &Arc<Gateway>,
) -> BoxedFilter<(Option<&'static Endpoint>, Arc<Gateway>)> {
    warp::path::full()
        .and(warp::method())
        .and(with(gateway))
        .and_then(move |path: FullPath, method: Method, gateway: Arc<Gateway>| {
            let (endpoint, is_method) = match endpoints::find(method.as_str(), path.as_str()) {
                EndpointMatch::Endpoint(endpoint) => (Some(endpoint), true),
                EndpointMatch::OtherMethods(endpoint) => (Some(endpoint), false),
                EndpointMatch::Nothing => (None, false),
            };
            let offered = endpoint.filter(|endpoint| is_offered(endpoint, &gateway));
            let found = offered.map(|endpoint| (is_method.then_some(endpoint), gateway));
            std::future::ready(found.ok_or_else(warp::reject::not_found))
        })
        .untuple_one()
        .boxed()
}

/// The `Allow` header of a known path.
pub fn allowed_methods(path: &str) -> &'static str {
    match endpoints::find("POST", path) {
        EndpointMatch::Endpoint(_) => "POST, OPTIONS",
        _ => "GET, HEAD, OPTIONS",
    }
}

async fn upgrade_requested(headers: HeaderMap) -> Result<HeaderMap, Rejection> {
    if is_upgrade(&headers) { Ok(headers) } else { Err(warp::reject::not_found()) }
}

fn upgrade(headers: HeaderMap, peer: Peer, on_upgrade: Option<OnUpgrade>, gateway: Arc<Gateway>) -> Response {
    if !origin_is_allowed(&headers, &gateway.settings.allowed_origins) {
        return error_response(StatusCode::FORBIDDEN, "PERMISSION_DENIED", "This origin may not connect");
    }
    if gateway.lifecycle.is_draining() {
        return error_response(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", "This server is shutting down");
    }
    let header = |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    let accept = match handshake::negotiate(header) {
        Ok(accept) => accept,
        Err(error) if error.status() == 426 => return upgrade_required(&error.to_string()),
        Err(error) => {
            return error_response(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", &error.to_string());
        }
    };
    let Some(on_upgrade) = on_upgrade else {
        return upgrade_required("This connection cannot be upgraded");
    };
    let address = Address::of(peer.0.ip(), &headers, &gateway.settings.trusted_proxies);
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let source = Box::new(Source { address, user_agent: sign_in::user_agent(&gateway, user_agent) });
    let unnamed_proxy = unnamed_proxy::suspect(peer.0.ip(), &headers, &gateway.settings.trusted_proxies);
    let deflate = accept.deflate();
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
    let (dialect, is_answered) = Dialect::negotiate(offered, gateway.settings.default_dialect);
    let traceparent = headers.get("traceparent").filter(|_| gateway.settings.follow_traceparent);
    let trace = traceparent.and_then(|header| TraceContext::from_traceparent(header.to_str().ok()?));
    let lifecycle = gateway.lifecycle.clone();
    lifecycle.track(async move {
        match upgraded(on_upgrade).await {
            Some((Stream::Plain(socket), early)) => {
                serve(gateway, Upgraded { socket, early, source, unnamed_proxy, deflate, dialect, trace }).await;
            }
            Some((Stream::Tls(socket), early)) => {
                serve(gateway, Upgraded { socket, early, source, unnamed_proxy, deflate, dialect, trace }).await;
            }
            None => {}
        }
    });
    let mut response = warp::reply().into_response();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.clear();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(key) = HeaderValue::from_str(&accept.accept_key) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    }
    if is_answered {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    if let Some(extensions) = accept.extensions {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(extensions));
    }
    response
}

/// Returns the bare socket, without hyper's buffers, and what was read beyond the request.
async fn upgraded(on_upgrade: OnUpgrade) -> Option<(Stream, bytes::Bytes)> {
    // A copy of the few bytes that may be there: even an empty slice would keep hyper's buffer alive.
    match on_upgrade.await.ok()?.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => Some((Stream::Plain(parts.io.into_inner()), bytes::Bytes::copy_from_slice(&parts.read_buf))),
        Err(upgraded) => {
            let parts = upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>().ok()?;
            let stream = Box::new(parts.io.into_inner());
            Some((Stream::Tls(stream), bytes::Bytes::copy_from_slice(&parts.read_buf)))
        }
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

fn metrics(gateway: &Gateway, accept: Option<&str>) -> Response {
    probes::refresh(gateway);
    let wants_json = match gateway.settings.default_dialect.translator() {
        // Prometheus sends what it accepts; the original's clients did not.
        Some(translator) if translator.has_json_metrics() => {
            !accept.is_some_and(|accept| accept.contains("text/plain") || accept.contains("openmetrics"))
        }
        _ => accept.is_some_and(|accept| accept.contains("application/json")),
    };
    if wants_json {
        return json_response(&probes::metrics(gateway));
    }
    let text = gateway.recorder.as_ref().map(shared::telemetry::Metrics::render).unwrap_or_default();
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn no_such_method() -> Response {
    error_response(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "This path does not support this method")
}

fn nothing_here() -> Response {
    error_response(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", "There is no endpoint at this path")
}

async fn rejected(rejection: Rejection) -> Result<Response, Infallible> {
    let response = if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        no_such_method()
    } else if rejection.is_not_found() {
        nothing_here()
    } else {
        error_response(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", "The request is not valid")
    };
    Ok(response)
}
