//! The accept loop, and what all HTTP answers share: limits, compression, CORS. `routes` decides what the paths answer.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use shared::config::AllowedOrigins;
use shared::endpoints::{self, EndpointMatch};
use shared::server_api;
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service;

use crate::gateway::Gateway;
use crate::http::drained::Drained;
use crate::http::reply::{Routes, accepts, error_response, is_upgrade};
use crate::http::routes;
use crate::limits::addresses::{Address, Counted, OverLimit, Peer};
use crate::limits::idle::HttpConnection;
use crate::session::io::Socket;

/// For a request's head, and between two requests of one connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that stays HTTP is asked to end after this time, and cut off if it does not: a client that reads
/// nothing would keep it open.
const MAX_HTTP_AGE: Duration = Duration::from_secs(300);
const HTTP_GRACE: Duration = Duration::from_secs(30);
const MAX_HEADER_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// Without file descriptors, accepting again at once would fail again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const COMPRESS_FROM_BYTES: usize = 1024;
/// Not 1: at that level zlib-rs panics if incompressible output does not fit into its buffer.
const COMPRESSION_LEVEL: u32 = 3;

/// Accepts connections until the process drains.
pub async fn accept(gateway: Arc<Gateway>, listener: TcpListener) -> Result<(), Infallible> {
    let draining = gateway.lifecycle.draining();
    let routes = routes::routes(gateway.clone());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = draining.cancelled() => return Ok(()),
        };
        match accepted {
            Ok((socket, peer)) => {
                let Some(connection) = gateway.addresses.take_http(peer.ip()) else {
                    continue;
                };
                let (gateway, routes) = (gateway.clone(), routes.clone());
                tokio::spawn(async move {
                    let ended = connection.ended().clone();
                    tokio::select! {
                        () = secure(gateway, routes, socket, Arc::new((peer, connection))) => {}
                        () = ended.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The origin of a connection, and its place.
type From = Arc<(SocketAddr, HttpConnection)>;

/// Performs the TLS handshake if the gateway itself terminates TLS, then serves the requests.
async fn secure(gateway: Arc<Gateway>, routes: Routes, socket: TcpStream, from: From) {
    // Fails only if the socket is already gone.
    let _ = socket.set_nodelay(true);
    match &gateway.tls {
        None => serve(gateway, routes, socket, from).await,
        Some(tls) => {
            let stopped = gateway.lifecycle.stopped();
            let stream = tokio::select! {
                stream = tls.accept(socket) => stream,
                () = stopped.cancelled() => None,
            };
            if let Some(stream) = stream {
                serve(gateway, routes, stream, from).await;
            }
        }
    }
}

async fn serve<S: Socket>(gateway: Arc<Gateway>, routes: Routes, socket: S, from: From) {
    let stopped = gateway.lifecycle.stopped();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (gateway, routes, from) = (gateway.clone(), routes.clone(), from.clone());
        let (peer, connection) = &*from;
        connection.set_busy(true);
        request.extensions_mut().insert(Peer(*peer));
        async move {
            let response = answer(gateway, routes, Drained::wrap(request)).await;
            from.1.set_busy(false);
            response
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_header_size(MAX_HEADER_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades()
    );
    for patience in [MAX_HTTP_AGE, HTTP_GRACE] {
        tokio::select! {
            // Broken and slow requests are the client's own business.
            _ = connection.as_mut() => return,
            () = stopped.cancelled() => return,
            () = tokio::time::sleep(patience) => connection.as_mut().graceful_shutdown(),
        }
    }
}

async fn answer(
    gateway: Arc<Gateway>,
    routes: Routes,
    mut request: Request<Drained>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    gateway.metrics.http_requests.increment(1);
    let headers = request.headers().clone();
    let path = request.uri().path().to_owned();
    let address = request
        .extensions()
        .get::<Peer>()
        .map(|peer| Address::of(peer.0.ip(), &headers, &gateway.settings.trusted_proxies));
    // A successful upgrade is counted on its way to the WebSocket, where a refusal can be reported.
    let may_upgrade = request.method() == Method::GET && is_upgrade(&headers);
    if request.method() == Method::HEAD && !is_upgrade(&headers) {
        // Answered like GET; hyper, which knows the method, omits the body and keeps its length.
        *request.method_mut() = Method::GET;
    }
    // Served from memory, and one page loads many files: not counted.
    if let Some(web) = gateway.web.as_ref().filter(|_| !is_upgrade(&headers))
        && let Some(response) = web.answer(request.method(), &path, &headers)
    {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        return Ok(Response::from_parts(parts, Full::new(body)));
    }
    let origin = cors_origin(&headers, &gateway.settings.allowed_origins);
    // The server API has limits per key.
    let is_servers = path.strip_prefix(server_api::PREFIX).is_some_and(|rest| rest.starts_with('/'));
    let refused = match may_upgrade || is_servers || is_for_operators(&path) {
        true => None,
        false => refuse(&gateway, address).await,
    };
    let response = match refused {
        Some(refused) => refused,
        None if request.method() == Method::OPTIONS => preflight(),
        None => {
            let response = warp::service(routes).call(request).await?;
            let has_failed = may_upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS;
            let refused = if has_failed { refuse(&gateway, address).await } else { None };
            refused.unwrap_or(response)
        }
    };
    tracing::trace!(path, status = response.status().as_u16(), "answered a request");
    Ok(finished(response, &path, &headers, origin).await)
}

/// Adds what all answers share to one: the methods that are allowed, CORS, compression.
async fn finished<B: Body<Data = Bytes>>(
    response: Response<B>,
    path: &str,
    headers: &HeaderMap,
    origin: Option<HeaderValue>,
) -> Response<Full<Bytes>> {
    let (mut parts, body) = response.into_parts();
    // Our own answers are already in memory, so this cannot fail.
    let mut body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if parts.status == StatusCode::METHOD_NOT_ALLOWED {
        let allowed = || HeaderValue::from_static(routes::allowed_methods(path));
        parts.headers.entry(header::ALLOW).or_insert_with(allowed);
    }
    if let Some(origin) = origin {
        parts.headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        parts.headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        parts.headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
        parts.headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if body.len() >= COMPRESS_FROM_BYTES && accepts(headers, "gzip") {
        body = gzip(&body);
        parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        parts.headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    Response::from_parts(parts, Full::new(body))
}

/// Operators' requests must be answered regardless of what else happens.
fn is_for_operators(path: &str) -> bool {
    match endpoints::find("GET", path) {
        EndpointMatch::Endpoint(endpoint) | EndpointMatch::OtherMethods(endpoint) => {
            endpoint.operation.is_for_operators()
        }
        EndpointMatch::Nothing => false,
    }
}

/// Counts a request; returns a 429 for an address over its limit.
async fn refuse(gateway: &Gateway, address: Option<Address>) -> Option<warp::reply::Response> {
    let Err(OverLimit::TooManyRequests { retry_after }) = gateway.addresses.count(Counted::Requests, address?).await
    else {
        return None;
    };
    gateway.metrics.rate_limited.with("requests").increment(1);
    let mut response =
        error_response(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", "Too many requests from your address");
    response.headers_mut().insert(header::RETRY_AFTER, retry_after.into());
    Some(response)
}

fn preflight() -> warp::reply::Response {
    let mut response = warp::Reply::into_response("");
    response.headers_mut().clear();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// The origin to name in the answer, if it may read the answer.
fn cors_origin(headers: &HeaderMap, allowed: &AllowedOrigins) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    origin.to_str().is_ok_and(|origin| allowed.allows(origin)).then(|| origin.clone())
}

fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::new(COMPRESSION_LEVEL));
    // Writing to memory cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default().into()
}
