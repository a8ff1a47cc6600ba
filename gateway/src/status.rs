//! What the probes say: alive, ready, healthy, and the original's JSON metrics.

use serde_json::{Value, json};
use shared::clock::Timestamp;

use crate::gateway::Gateway;
use crate::ingress::places::Kind;
use crate::metrics::Totals;

/// Depends on nothing but the process.
pub fn live(gateway: &Gateway) -> Value {
    json!({"alive": true, "uptime": uptime_seconds(gateway), "timestamp": Timestamp::now()})
}

/// Whether clients are welcome, and why or why not.
pub fn ready(gateway: &Gateway) -> (bool, Value) {
    let redis = gateway.fleet.redis_is_up() && gateway.fleet.is_subscribed();
    let workers = gateway.fleet.workers() > 0;
    let draining = gateway.lifecycle.is_draining();
    let ready = redis && workers && !draining;
    let components = json!({"redis": redis, "workers": workers, "draining": draining});
    (ready, json!({"ready": ready, "components": components, "timestamp": Timestamp::now()}))
}

pub fn health(gateway: &Gateway) -> (bool, Value) {
    let redis = gateway.fleet.redis_is_up();
    let workers = gateway.fleet.workers();
    let status = match (redis, workers, gateway.lifecycle.is_draining()) {
        (false, _, _) => "unhealthy",
        (true, 0, _) | (true, _, true) => "degraded",
        (true, _, false) => "healthy",
    };
    let body = json!({
        "status": status,
        "gatewayId": gateway.id.to_string(),
        "timestamp": Timestamp::now(),
        "uptime": uptime_seconds(gateway),
        "version": env!("CARGO_PKG_VERSION"),
        "connections": {
            "active": gateway.places.taken(Kind::Open),
            "peak": Totals::get(&gateway.totals.peak_connections),
            "limit": gateway.settings.max_connections,
        },
        "memory": {"rss": resident_bytes()},
        // Only workers know Postgres; a live one reaches it.
        "database": {"connected": workers > 0, "poolSize": 0, "idleConnections": 0, "responseTime": 0},
        "redis": {"connected": redis, "responseTime": gateway.fleet.redis_response_ms()},
        "fleet": {"gateways": gateway.fleet.live_gateways().len(), "workers": workers},
        "metrics": {
            "messagesSent": Totals::get(&gateway.totals.frames_sent),
            "messagesReceived": Totals::get(&gateway.totals.frames_received),
            "errors": Totals::get(&gateway.totals.errors),
            "averageResponseTime": gateway.totals.average_answer_ms(),
        },
    });
    (status != "unhealthy", body)
}

/// The original server's metrics.
pub fn metrics(gateway: &Gateway) -> Value {
    let totals = &gateway.totals;
    let started_ms = Timestamp::now().0 - gateway.clock.now_ms() as i64;
    json!({
        "connections": gateway.places.taken(Kind::Open),
        "messagesSent": Totals::get(&totals.frames_sent),
        "messagesReceived": Totals::get(&totals.frames_received),
        "errors": Totals::get(&totals.errors),
        "startTime": started_ms,
        "activeUsers": gateway.registry.users(),
        "peakConcurrentUsers": Totals::get(&totals.peak_connections),
        "averageResponseTime": totals.average_answer_ms(),
        "totalDataTransferred": Totals::get(&totals.bytes_received) + Totals::get(&totals.bytes_sent),
        "rateLimitHits": Totals::get(&totals.rate_limited),
    })
}

/// Brings the metrics up to date that are not kept so.
pub fn refresh(gateway: &Gateway) {
    gateway.totals.publish(&gateway.metrics);
    gateway.metrics.resident_bytes.set(resident_bytes() as f64);
}

fn uptime_seconds(gateway: &Gateway) -> f64 {
    gateway.clock.now_ms() as f64 / 1000.0
}

/// 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
