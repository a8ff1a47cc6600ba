//! HTTP for operators: probes and metrics.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;
use shared::clock::Timestamp;
use shared::http::{
    Condition, Connections, Database, ErrorBody, Health, Live, Memory, OriginalMetrics, Ready, Redis, Servers, Traffic,
};
use shared::lifecycle::Lifecycle;
use shared::telemetry::{Metrics, dropped_log_lines};
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
            json_reply(StatusCode::OK, &Live { alive: true, uptime, timestamp: Timestamp::now() })
        }
        "/ready" => ready(service),
        "/health" => health(service),
        _ if accept.is_some_and(|accept| accept.contains("application/json")) => original_metrics(service),
        _ => {
            service.app.metrics.log_lines_dropped.absolute(dropped_log_lines());
            let text = service.metrics.render();
            warp::reply::with_header(text, "content-type", "text/plain; version=0.0.4").into_response()
        }
    }
}

fn ready(service: &Service) -> warp::reply::Response {
    let (database, redis) = (service.stores.database().answers(), service.stores.redis().answers());
    let draining = service.lifecycle.is_draining();
    let (theirs, ours) = (service.stores.main_backend_problems(), service.stores.own_problems());
    let ready = database && redis && theirs.is_empty() && ours.is_empty() && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let components = BTreeMap::from([
        ("database", database),
        ("mainBackend", theirs.is_empty()),
        ("ownTables", ours.is_empty()),
        ("redis", redis),
        ("draining", draining),
    ]);
    let problems = [theirs, ours].concat();
    json_reply(status, &Ready { ready, components, problems, timestamp: Timestamp::now() })
}

fn health(service: &Service) -> warp::reply::Response {
    let (stores, app) = (&service.stores, &service.app);
    let (database, redis) = (stores.database(), stores.redis());
    let healthy = database.answers() && redis.answers();
    let state = match (healthy, service.lifecycle.is_draining()) {
        (true, false) => Condition::Healthy,
        (true, true) => Condition::Degraded,
        (false, _) => Condition::Unhealthy,
    };
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = Health {
        status: state,
        gateway_id: None,
        timestamp: Timestamp::now(),
        uptime: service.started_at.elapsed().as_secs_f64(),
        version: env!("CARGO_PKG_VERSION"),
        connections: Connections { active: 0, peak: 0, limit: 0 },
        memory: Memory { rss: shared::telemetry::resident_bytes() },
        database: Database {
            connected: database.answers(),
            pool_size: app.db.size(),
            idle_connections: app.db.num_idle(),
            response_time: database.response_ms(),
        },
        redis: Redis { connected: redis.answers(), response_time: redis.response_ms() },
        fleet: Servers { gateways: servers(&stores.gateways), workers: servers(&stores.workers) },
        metrics: Traffic {
            messages_sent: app.counts.publications(),
            messages_received: app.counts.commands(),
            errors: app.counts.errors(),
            average_response_time: app.counts.average_response_ms(),
        },
    };
    json_reply(status, &body)
}

fn servers(count: &AtomicI64) -> u32 {
    u32::try_from(count.load(Ordering::Relaxed)).unwrap_or(0)
}

/// The JSON that the original server returned at the same path.
fn original_metrics(service: &Service) -> warp::reply::Response {
    let counts = &service.app.counts;
    let body = OriginalMetrics {
        messages_sent: counts.publications(),
        messages_received: counts.commands(),
        errors: counts.errors(),
        start_time: service.started.0,
        average_response_time: counts.average_response_ms(),
        ..OriginalMetrics::default()
    };
    json_reply(StatusCode::OK, &body)
}

fn json_reply<T: Serialize>(status: StatusCode, body: &T) -> warp::reply::Response {
    warp::reply::with_status(warp::reply::json(body), status).into_response()
}

fn error(status: StatusCode, code: &str, message: &str) -> warp::reply::Response {
    json_reply(status, &ErrorBody::new(code, message))
}
