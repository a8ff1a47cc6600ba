//! The answers of the probes (alive, ready, healthy) and the original's JSON metrics.

use std::collections::BTreeMap;

use shared::clock::Timestamp;
use shared::http::{
    Condition, Connections, Database, Health, Live, Memory, OriginalMetrics, Ready, Redis, Servers, Traffic,
};
use shared::telemetry::{dropped_log_lines, resident_bytes};

use crate::gateway::Gateway;
use crate::limits::places::Kind;
use crate::metrics::Totals;

/// Depends only on the process.
pub fn live(gateway: &Gateway) -> Live {
    Live { alive: true, uptime: uptime_seconds(gateway), timestamp: Timestamp::now() }
}

/// Says if clients are welcome, and why or why not.
pub fn ready(gateway: &Gateway) -> Ready {
    let redis = gateway.liveness.redis_is_up() && gateway.liveness.is_subscribed();
    let workers = gateway.liveness.workers() > 0;
    let draining = gateway.lifecycle.is_draining();
    let components = BTreeMap::from([("redis", redis), ("workers", workers), ("draining", draining)]);
    Ready { ready: redis && workers && !draining, components, problems: Vec::new(), timestamp: Timestamp::now() }
}

pub fn health(gateway: &Gateway) -> Health {
    let redis = gateway.liveness.redis_is_up();
    let workers = gateway.liveness.workers();
    let status = match (redis, workers, gateway.lifecycle.is_draining()) {
        (false, _, _) => Condition::Unhealthy,
        (true, 0, _) | (true, _, true) => Condition::Degraded,
        (true, _, false) => Condition::Healthy,
    };
    Health {
        status,
        gateway_id: Some(gateway.id.to_string()),
        timestamp: Timestamp::now(),
        uptime: uptime_seconds(gateway),
        version: env!("CARGO_PKG_VERSION"),
        connections: Connections {
            active: gateway.places.taken(Kind::Open),
            peak: Totals::get(&gateway.totals.peak_connections),
            limit: gateway.settings.max_connections,
        },
        memory: Memory { rss: resident_bytes() },
        // Only workers know Postgres, and a live worker can reach it.
        database: Database { connected: workers > 0, pool_size: 0, idle_connections: 0, response_time: 0.0 },
        redis: Redis { connected: redis, response_time: gateway.liveness.redis_response_ms() },
        fleet: Servers { gateways: gateway.liveness.live_gateways().len() as u32, workers },
        metrics: Traffic {
            messages_sent: Totals::get(&gateway.totals.frames_sent),
            messages_received: Totals::get(&gateway.totals.frames_received),
            errors: Totals::get(&gateway.totals.errors),
            average_response_time: gateway.totals.average_answer_ms(),
        },
    }
}

/// The original server's metrics.
pub fn metrics(gateway: &Gateway) -> OriginalMetrics {
    let totals = &gateway.totals;
    OriginalMetrics {
        connections: gateway.places.taken(Kind::Open),
        messages_sent: Totals::get(&totals.frames_sent),
        messages_received: Totals::get(&totals.frames_received),
        errors: Totals::get(&totals.errors),
        start_time: Timestamp::now().0 - gateway.clock.now_ms() as i64,
        active_users: gateway.registry.users(),
        peak_concurrent_users: Totals::get(&totals.peak_connections),
        average_response_time: totals.average_answer_ms(),
        total_data_transferred: Totals::get(&totals.bytes_received) + Totals::get(&totals.bytes_sent),
        rate_limit_hits: Totals::get(&totals.rate_limited),
    }
}

/// Updates the metrics that are not kept current.
pub fn refresh(gateway: &Gateway) {
    gateway.totals.publish(&gateway.metrics);
    gateway.metrics.resident_bytes.set(resident_bytes() as f64);
    gateway.metrics.log_lines_dropped.absolute(dropped_log_lines());
}

fn uptime_seconds(gateway: &Gateway) -> f64 {
    gateway.clock.now_ms() as f64 / 1000.0
}
