//! Helpers for unit tests, fuzzing and benchmarks: settings, a gateway that is connected to nothing, connections
//! without a socket.

// With the features `bench` and `fuzz` this is not test code.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use fred::prelude::*;
use shared::config::GatewaySettings;
use shared::dialects::Dialect;
use shared::ids::ConnectionId;
use shared::lifecycle::Lifecycle;
use uuid::Uuid;

use crate::connection::deliveries::Deliveries;
use crate::connection::{Connection, Timers};
use crate::core::Core;
use crate::gateway::{Gateway, Queues};

pub const JWT_SECRET: &str = "dW5pdCB0ZXN0cyBvZiB0aGUgZ2F0ZXdheSBhbmQgbm90aGluZyBlbHNl";

/// The limit of the connections' outboxes.
pub const OUTBOX_LIMIT_BYTES: usize = 1000;

pub fn settings(overrides: &[(&str, &str)]) -> GatewaySettings {
    GatewaySettings::from_source(|name| {
        let given = overrides.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        given.or_else(|| match name {
            "JWT_SECRET" => Some(JWT_SECRET.to_owned()),
            "CHAT_ENCRYPTION_KEY" => Some("unit tests".to_owned()),
            _ => None,
        })
    })
    .unwrap()
}

/// A gateway whose queues are worked only by the test.
pub fn gateway(overrides: &[(&str, &str)]) -> (Arc<Gateway>, Queues) {
    Gateway::assemble(core(overrides)).unwrap()
}

/// A core that assumes that Redis answers.
pub fn core(overrides: &[(&str, &str)]) -> Core {
    let redis = Builder::default_centralized().build().unwrap();
    let lifecycle = Lifecycle::new(Duration::from_secs(1));
    let core = Core::new(settings(overrides), lifecycle, None, redis).unwrap();
    core.liveness.set_redis(true, 0);
    core
}

#[cfg(test)]
pub fn token(user: i64, ttl: Duration) -> String {
    let now_unix = shared::clock::Timestamp::now().0 / 1000;
    shared::auth::TokenSigner::new(JWT_SECRET).unwrap().sign(user, "jti", now_unix, ttl).unwrap()
}

pub fn connection(id: u64) -> Arc<Connection> {
    connection_with(id, false, Dialect::ChatV1)
}

/// A connection that negotiated compression.
#[cfg(any(test, feature = "fuzz"))]
pub fn deflating(id: u64) -> Arc<Connection> {
    connection_with(id, true, Dialect::ChatV1)
}

/// A connection in another dialect.
#[cfg(test)]
pub fn speaking(id: u64, dialect: Dialect) -> Arc<Connection> {
    connection_with(id, false, dialect)
}

fn connection_with(id: u64, deflate: bool, dialect: Dialect) -> Arc<Connection> {
    let timers = Timers {
        last_frame_ms: AtomicU64::new(0),
        last_text_ms: AtomicU64::new(0),
        next_ping_ms: AtomicU64::new(u64::MAX),
        authenticate_by_ms: AtomicU64::new(u64::MAX),
        expires_unix: AtomicI64::new(i64::MAX),
        opened_at_ms: AtomicI64::new(0),
        resumed_at_ms: AtomicI64::new(0),
    };
    let (id, deliveries) = (ConnectionId(id), Deliveries::new().0);
    Arc::new(Connection::new(id, Uuid::nil(), deflate, dialect, OUTBOX_LIMIT_BYTES, timers, deliveries))
}
