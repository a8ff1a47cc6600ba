//! HTTP for operators: probes and metrics.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::lifecycle::Lifecycle;
use shared::telemetry::Metrics;
use warp::http::StatusCode;
use warp::{Filter, Reply};

use crate::app::App;
use crate::jobs::heartbeat::Stores;

struct Service {
    app: Arc<App>,
    stores: Arc<Stores>,
    metrics: Metrics,
    lifecycle: Lifecycle,
    started_at: Instant,
    started: Timestamp,
}

/// Binds the address and serves until the process stops.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(app: Arc<App>, stores: Arc<Stores>, metrics: Metrics, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let address = app.settings.bind_addr;
    let listener = tokio::net::TcpListener::bind(address).await.with_context(|| format!("BIND_ADDR {address}"))?;
    let service = Arc::new(Service {
        app,
        stores,
        metrics,
        lifecycle: lifecycle.clone(),
        started_at: Instant::now(),
        started: Timestamp::now(),
    });
    tracing::info!(address = %listener.local_addr()?, "listening");
    let stopped = lifecycle.stopped();
    let server =
        warp::serve(routes(service)).incoming(listener).graceful(async move { stopped.cancelled().await }).run();
    lifecycle.spawn("http", async move {
        server.await;
        Ok::<(), Infallible>(())
    });
    Ok(())
}

fn routes(service: Arc<Service>) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone {
    let service = warp::any().map(move || service.clone());
    warp::path::full()
        .and(warp::method())
        .and(warp::header::optional::<String>("accept"))
        .and(service)
        .map(|path: warp::path::FullPath, method: warp::http::Method, accept: Option<String>, service: Arc<Service>| {
            respond(path.as_str(), &method, accept.as_deref(), &service)
        })
        .recover(|_| async { Ok::<_, Infallible>(error(StatusCode::BAD_REQUEST, "BAD_REQUEST", "Bad request")) })
        .unify()
}

fn respond(path: &str, method: &warp::http::Method, accept: Option<&str>, service: &Service) -> warp::reply::Response {
    if !matches!(path, "/live" | "/ready" | "/health" | "/metrics") {
        return error(StatusCode::NOT_FOUND, "NOT_FOUND", "There is nothing at this path");
    }
    if method != warp::http::Method::GET && method != warp::http::Method::HEAD {
        return error(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "Only GET is allowed here");
    }
    match path {
        "/live" => {
            let uptime = service.started_at.elapsed().as_secs_f64();
            json_reply(StatusCode::OK, &json!({"alive": true, "uptime": uptime, "timestamp": Timestamp::now()}))
        }
        "/ready" => ready(service),
        "/health" => health(service),
        _ if accept.is_some_and(|accept| accept.contains("application/json")) => original_metrics(service),
        _ => {
            let text = service.metrics.render();
            warp::reply::with_header(text, "content-type", "text/plain; version=0.0.4").into_response()
        }
    }
}

fn ready(service: &Service) -> warp::reply::Response {
    let (database, redis) = (service.stores.database().answers(), service.stores.redis().answers());
    let draining = service.lifecycle.is_draining();
    let ready = database && redis && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let components = json!({"database": database, "redis": redis, "draining": draining});
    json_reply(status, &json!({"ready": ready, "components": components, "timestamp": Timestamp::now()}))
}

fn health(service: &Service) -> warp::reply::Response {
    let (stores, app) = (&service.stores, &service.app);
    let (database, redis) = (stores.database(), stores.redis());
    let healthy = database.answers() && redis.answers();
    let state = match (healthy, service.lifecycle.is_draining()) {
        (true, false) => "healthy",
        (true, true) => "degraded",
        (false, _) => "unhealthy",
    };
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": state,
        "timestamp": Timestamp::now(),
        "uptime": service.started_at.elapsed().as_secs_f64(),
        "version": env!("CARGO_PKG_VERSION"),
        "connections": {"active": 0, "peak": 0, "limit": 0},
        "memory": {"rss": shared::telemetry::resident_bytes()},
        "database": {
            "connected": database.answers(),
            "poolSize": app.db.size(),
            "idleConnections": app.db.num_idle(),
            "responseTime": database.response_ms(),
        },
        "redis": {"connected": redis.answers(), "responseTime": redis.response_ms()},
        "fleet": {
            "gateways": stores.gateways.load(std::sync::atomic::Ordering::Relaxed),
            "workers": stores.workers.load(std::sync::atomic::Ordering::Relaxed),
        },
        "metrics": {
            "messagesSent": app.counts.publications(),
            "messagesReceived": app.counts.commands(),
            "errors": app.counts.errors(),
            "averageResponseTime": app.counts.average_response_ms(),
        },
    });
    json_reply(status, &body)
}

/// The JSON that the original server gave at the same path.
fn original_metrics(service: &Service) -> warp::reply::Response {
    let counts = &service.app.counts;
    let body = json!({
        "connections": 0,
        "messagesSent": counts.publications(),
        "messagesReceived": counts.commands(),
        "errors": counts.errors(),
        "startTime": service.started,
        "activeUsers": 0,
        "peakConcurrentUsers": 0,
        "averageResponseTime": counts.average_response_ms(),
        "totalDataTransferred": 0,
        "rateLimitHits": 0,
    });
    json_reply(StatusCode::OK, &body)
}

fn json_reply(status: StatusCode, body: &Value) -> warp::reply::Response {
    warp::reply::with_status(warp::reply::json(body), status).into_response()
}

fn error(status: StatusCode, code: &str, message: &str) -> warp::reply::Response {
    json_reply(status, &json!({"status": "error", "code": code, "message": message}))
}
