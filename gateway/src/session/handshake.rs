//! From an upgraded connection to a session: the limits before the greeting, then the greeting or the refusal.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use bytes::Bytes;
use futures_util::future::join;
use http::{HeaderMap, header};
use shared::clock::Timestamp;
use shared::config::AllowedOrigins;
use shared::dialects::Dialect;
use shared::events::answer;
use shared::events::session::Connected;
use shared::protocol::{CloseCode, ErrorCode, Rejection};
use shared::telemetry::traces::TraceContext;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;
use websocket::{PreparedText, close_frame};

use crate::connection::{Connection, Timers};
use crate::gateway::Gateway;
use crate::limits::addresses::{Address, AddressPlace, Counted, OverLimit};
use crate::limits::places::{Kind, Place};
use crate::metrics::Totals;
use crate::session::Session;
use crate::session::handler::Handler;
use crate::session::io::{Io, Socket};
use crate::session::sign_in::Source;

/// How long telling a refused client the reason may take.
const REFUSE_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// An upgraded connection.
pub struct Upgraded<S> {
    pub socket: S,
    /// Bytes that came with the request.
    pub early: Bytes,
    pub source: Box<Source>,
    /// The peer, if it may be a proxy that `TRUSTED_PROXIES` does not name.
    pub unnamed_proxy: Option<IpAddr>,
    pub deflate: bool,
    pub dialect: Dialect,
    /// The trace of the request, if it is traced.
    pub trace: Option<TraceContext>,
}

/// What a session holds from before its start until its end.
pub struct Entry {
    _open: Place,
    _address: AddressPlace,
}

/// Runs an upgraded connection to its end, in a task of its own: the state of this one is large, and an idle connection
/// would keep all of it.
pub async fn serve<S: Socket>(gateway: Arc<Gateway>, upgraded: Upgraded<S>) {
    let lifecycle = gateway.lifecycle.clone();
    if let Some(session) = open(gateway, upgraded).await {
        lifecycle.track(session.run());
    }
}

/// `None` if the client was told that it may not connect.
pub async fn open<S: Socket>(gateway: Arc<Gateway>, upgraded: Upgraded<S>) -> Option<Session<S>> {
    let Upgraded { socket, early, source, unnamed_proxy, deflate, dialect, trace } = upgraded;
    match enter(&gateway, source.address, unnamed_proxy).await {
        Ok((entry, pending)) => {
            let connection = connection(&gateway, deflate, dialect, trace);
            greet(&connection);
            gateway.registry.insert(&connection);
            let handler = Handler::new(gateway.clone(), connection.clone(), source, pending);
            Some(Session::new(gateway, connection, Io::new(socket, early), handler, entry))
        }
        Err(rejection) => {
            refuse(&gateway, socket, &rejection).await;
            None
        }
    }
}

/// Also returns the place among the pending connections.
async fn enter(
    gateway: &Arc<Gateway>,
    address: Address,
    unnamed_proxy: Option<IpAddr>,
) -> Result<(Entry, Place), Rejection> {
    let too_many = |details: &str| Rejection::too_many_connections(format!("Too many connections {details}"));
    let open = gateway.places.take(Kind::Open).ok_or_else(|| too_many("on this server"))?;
    let pending = gateway.places.take(Kind::Pending).ok_or_else(|| too_many("that are not authenticated"))?;
    gateway.metrics.accepted.increment(1);
    let now = gateway.places.taken(Kind::Open) as u64;
    gateway.totals.peak_connections.fetch_max(now, std::sync::atomic::Ordering::Relaxed);
    let (request, place) =
        join(gateway.addresses.count(Counted::Requests, address), gateway.addresses.count_connection(address)).await;
    let checked = request.and(Ok(())).and(place);
    if let (Err(_), Some(proxy)) = (&checked, unnamed_proxy) {
        gateway.unnamed_proxies.refused(gateway, proxy).await;
    }
    match checked {
        Ok(place) => Ok((Entry { _open: open, _address: place }, pending)),
        Err(OverLimit::TooManyConnections) => Err(too_many("from your address")),
        Err(OverLimit::TooManyRequests { retry_after }) => {
            Totals::add(&gateway.totals.rate_limited, 1);
            gateway.metrics.rate_limited.with("requests").increment(1);
            let details = "Too many requests from your address";
            let rejection = Rejection::new(ErrorCode::RateLimitExceeded, details);
            Err(Rejection { retry_after: Some(retry_after), ..rejection })
        }
    }
}

fn connection(gateway: &Gateway, deflate: bool, dialect: Dialect, trace: Option<TraceContext>) -> Arc<Connection> {
    let now_ms = gateway.clock.now_ms();
    let settings = &gateway.settings;
    // The first ping comes at a random point in the interval, so that connections that opened together are not pinged
    // together.
    let first_ping_ms = (settings.ping_interval.as_millis() as f64 * (0.5 + rand::random::<f64>() / 2.0)) as u64;
    let timers = Timers {
        last_frame_ms: AtomicU64::new(now_ms),
        last_text_ms: AtomicU64::new(now_ms),
        next_ping_ms: AtomicU64::new(now_ms + first_ping_ms),
        authenticate_by_ms: AtomicU64::new(now_ms + settings.auth_timeout.as_millis() as u64),
        expires_unix: AtomicI64::new(i64::MAX),
        opened_at_ms: AtomicI64::new(0),
        resumed_at_ms: AtomicI64::new(0),
    };
    let id = gateway.next_connection_id();
    let (session, deliveries) = (Uuid::new_v4(), gateway.deliveries.clone());
    let connection = Connection::new(id, session, deflate, dialect, settings.outbox_limit_bytes, timers, deliveries);
    Arc::new(connection.traced(trace))
}

fn greet(connection: &Connection) {
    let client_id = connection.session.to_string();
    connection.push_json(&answer(
        &Connected {
            client_id: &client_id,
            requires_auth: true,
            message: "Connected. Please authenticate.",
            timestamp: Timestamp::now(),
        },
        None,
    ));
}

async fn refuse<S: Socket>(gateway: &Arc<Gateway>, mut socket: S, rejection: &Rejection) {
    // If there are too many refusals already, the connection is just dropped.
    let Some(_place) = gateway.places.take(Kind::Refusal) else {
        return;
    };
    gateway.metrics.errors.with(rejection.code.as_str()).increment(1);
    let mut frames = PreparedText::new(&answer(&rejection.event(None), None)).frame(false).to_vec();
    frames.extend_from_slice(&close_frame(Some((CloseCode::Policy as u16, rejection.code.message()))));
    let telling = async {
        socket.write_all(&frames).await?;
        socket.shutdown().await?;
        let mut rest = [0; 256];
        while socket.read(&mut rest).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    // The connection ends either way.
    let _ = tokio::time::timeout(REFUSE_WITHIN, telling).await;
}

/// True if a browser page may connect from its origin. Without a list, only pages of the same host may.
pub fn origin_is_allowed(headers: &HeaderMap, allowed: &AllowedOrigins) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    match allowed {
        AllowedOrigins::List(list) if list.is_empty() => {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
            let origin_host = origin.split_once("://").map(|(_, host)| host);
            host.is_some() && origin_host.zip(host).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
        }
        allowed => allowed.allows(origin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origin: Option<&str>, list: &AllowedOrigins) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("host", "chat.example.org:8080".parse().unwrap());
        if let Some(origin) = origin {
            headers.insert("origin", origin.parse().unwrap());
        }
        origin_is_allowed(&headers, list)
    }

    #[test]
    fn without_a_list_only_the_same_host_and_programs_connect() {
        let nobody = AllowedOrigins::List(Vec::new());
        assert!(allowed(None, &nobody));
        assert!(allowed(Some("https://chat.example.org:8080"), &nobody));
        for origin in ["https://evil.example", "null", "chat.example.org:8080", "https://chat.example.org"] {
            assert!(!allowed(Some(origin), &nobody), "{origin}");
        }
    }

    #[test]
    fn listed_origins_connect() {
        let list = AllowedOrigins::List(vec!["https://app.example.org".to_owned()]);
        assert!(allowed(Some("https://APP.example.org"), &list));
        assert!(!allowed(Some("https://app.example.org.evil.example"), &list));
        assert!(allowed(Some("https://anywhere.example"), &AllowedOrigins::Any));
    }
}
