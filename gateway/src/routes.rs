//! The paths: probes, metrics, the upgrade on any path, and the endpoints of `api`. What is common to all answers is in `http`.

use std::convert::Infallible;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use warp::filters::BoxedFilter;
use warp::{Filter, Rejection, Reply};
use websocket::handshake::{self, VERSION};

use crate::api;
use crate::gateway::Gateway;
use crate::http::Peer;
use crate::ingress::handshake::{Upgraded, origin_is_allowed, serve};
use crate::ingress::limits::Address;
use crate::status;

/// All routes; cheap to clone.
pub type Routes = BoxedFilter<(warp::reply::Response,)>;

pub fn routes(gateway: Arc<Gateway>) -> Routes {
    let api = api::routes(&gateway);
    let with_gateway = {
        let gateway = gateway.clone();
        warp::any().map(move || gateway.clone())
    };
    let get = |path: &'static str| warp::path(path).and(warp::path::end()).and(warp::get());
    let upgrade = warp::header::headers_cloned()
        .and_then(upgrade_requested)
        .and(warp::get())
        .and(warp::ext::get::<Peer>())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(with_gateway.clone())
        .map(upgrade);
    let live =
        get("live").and(with_gateway.clone()).map(|gateway: Arc<Gateway>| json_response(&status::live(&gateway)));
    let ready = get("ready").and(with_gateway.clone()).map(|gateway: Arc<Gateway>| {
        let (is_ready, body) = status::ready(&gateway);
        with_status(is_ready, &body)
    });
    let health = get("health").and(with_gateway.clone()).map(|gateway: Arc<Gateway>| {
        let (is_healthy, body) = status::health(&gateway);
        with_status(is_healthy, &body)
    });
    let metrics = get("metrics")
        .and(warp::header::optional::<String>("accept"))
        .and(with_gateway)
        .map(|accept: Option<String>, gateway: Arc<Gateway>| metrics(&gateway, accept.as_deref()));
    let root = warp::path::end().and(warp::get()).map(|| upgrade_required("This path is a WebSocket"));
    upgrade
        .or(live)
        .unify()
        .or(ready)
        .unify()
        .or(health)
        .unify()
        .or(metrics)
        .unify()
        .or(root)
        .unify()
        .or(api)
        .unify()
        .recover(rejected)
        .unify()
        .boxed()
}

/// What `Allow` says for a known path.
pub fn allowed_methods(path: &str) -> &'static str {
    api::allowed_methods(path).unwrap_or("GET, HEAD, OPTIONS")
}

/// Whether a request asks for a WebSocket.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("websocket"))
}

async fn upgrade_requested(headers: HeaderMap) -> Result<HeaderMap, Rejection> {
    if is_upgrade(&headers) { Ok(headers) } else { Err(warp::reject::not_found()) }
}

fn upgrade(
    headers: HeaderMap,
    peer: Peer,
    on_upgrade: Option<OnUpgrade>,
    gateway: Arc<Gateway>,
) -> warp::reply::Response {
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
    let deflate = accept.deflate();
    let lifecycle = gateway.lifecycle.clone();
    lifecycle.track(async move {
        match Box::pin(upgraded(on_upgrade)).await {
            Some((Stream::Plain(socket), early)) => {
                serve(gateway, Upgraded { socket, early, address, deflate }).await;
            }
            Some((Stream::Tls(socket), early)) => {
                serve(gateway, Upgraded { socket, early, address, deflate }).await;
            }
            None => {}
        }
    });
    let mut response = Response::new("").into_response();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.clear();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(key) = HeaderValue::from_str(&accept.accept_key) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    }
    if let Some(extensions) = accept.extensions {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(extensions));
    }
    response
}

/// The bare socket, without hyper's buffers, and what was read beyond the request.
async fn upgraded(on_upgrade: OnUpgrade) -> Option<(Stream, bytes::Bytes)> {
    // A copy of the few bytes there may be: as they are, even none of them would keep hyper's buffer alive.
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

fn metrics(gateway: &Gateway, accept: Option<&str>) -> warp::reply::Response {
    status::refresh(gateway);
    if accept.is_some_and(|accept| accept.contains("application/json")) {
        return json_response(&status::metrics(gateway));
    }
    let text = gateway.recorder.as_ref().map(shared::telemetry::Metrics::render).unwrap_or_default();
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

async fn rejected(rejection: Rejection) -> Result<warp::reply::Response, Infallible> {
    let response = if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        error_response(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "This path has no such method")
    } else if rejection.is_not_found() {
        error_response(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", "There is nothing here")
    } else {
        error_response(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", "The request is not valid")
    };
    Ok(response)
}

fn json_response(body: &serde_json::Value) -> warp::reply::Response {
    warp::reply::json(body).into_response()
}

fn with_status(ok: bool, body: &serde_json::Value) -> warp::reply::Response {
    let mut response = json_response(body);
    if !ok {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// `{status: "error", code, message}`.
pub fn error_response(status: StatusCode, code: &str, message: &str) -> warp::reply::Response {
    let mut response = json_response(&json!({"status": "error", "code": code, "message": message}));
    *response.status_mut() = status;
    response
}

fn upgrade_required(message: &str) -> warp::reply::Response {
    let mut response = error_response(StatusCode::UPGRADE_REQUIRED, "UPGRADE_REQUIRED", message);
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    response
}
