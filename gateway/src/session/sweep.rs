//! One timer for all connections: overdue answers, timeouts, pings, expired tokens, and receipts to pass on. A
//! connection has no timers of its own.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shared::auth::LEEWAY_SECONDS;
use shared::clock::Timestamp;
use shared::protocol::{CloseCode, Rejection};
use websocket::ping_frame;

use crate::connection::{Close, Connection};
use crate::gateway::Gateway;

const PERIOD: Duration = Duration::from_millis(500);
const RETRY_AFTER_SECONDS: u32 = 2;

/// Sweeps until the process stops.
pub async fn run(gateway: Arc<Gateway>) -> Result<(), Infallible> {
    let mut ticks = gateway.lifecycle.every_until_stopped(PERIOD);
    let mut round = 0;
    while ticks.next().await {
        round += 1;
        sweep(&gateway, round);
    }
    Ok(())
}

pub fn sweep(gateway: &Gateway, round: u64) {
    let now_ms = gateway.clock.now_ms();
    let now_unix = Timestamp::now().0 / 1000;
    gateway.positions.sweep(now_ms);
    // Each round passes on the receipts of one part of the connections, which spreads them evenly.
    let flush_rounds = (gateway.settings.cursor_flush_interval.as_millis() / PERIOD.as_millis()).max(1) as u64;
    gateway.registry.for_each(|connection| {
        for entry in connection.take_overdue(now_ms) {
            gateway.metrics.unanswered.increment(1);
            if entry.has_answer {
                let rejection = Rejection::unavailable("No answer arrived in time", RETRY_AFTER_SECONDS);
                gateway.reject_entry(connection, &entry, &rejection);
            } else {
                connection.wake();
            }
        }
        if let Some(close) = due_close(gateway, connection, now_ms, now_unix) {
            connection.close(close);
            return;
        }
        ping(gateway, connection, now_ms);
        if (connection.id.0 + round).is_multiple_of(flush_rounds) {
            gateway.pass_on(connection);
        }
    });
}

fn due_close(gateway: &Gateway, connection: &Connection, now_ms: u64, now_unix: i64) -> Option<Close> {
    let timers = &connection.timers;
    if now_ms >= timers.authenticate_by_ms.load(Ordering::Relaxed) {
        return Some(Close::new(CloseCode::Policy, "Authentication timeout"));
    }
    if now_unix >= timers.expires_unix.load(Ordering::Relaxed).saturating_add(LEEWAY_SECONDS) {
        return Some(Close::new(CloseCode::Policy, "Token expired"));
    }
    let quiet_for = |last_ms: u64, limit: Duration| u128::from(now_ms.saturating_sub(last_ms)) >= limit.as_millis();
    if quiet_for(timers.last_frame_ms.load(Ordering::Relaxed), gateway.settings.keep_alive_timeout) {
        return Some(Close::new(CloseCode::KeepAliveLost, "Keep-alive timeout"));
    }
    let inactivity = gateway.settings.connection_timeout;
    let is_inactive = quiet_for(timers.last_text_ms.load(Ordering::Relaxed), inactivity);
    (!inactivity.is_zero() && is_inactive).then(|| Close::new(CloseCode::Normal, "Connection timeout"))
}

fn ping(gateway: &Gateway, connection: &Connection, now_ms: u64) {
    let next_ms = &connection.timers.next_ping_ms;
    if now_ms >= next_ms.load(Ordering::Relaxed) {
        let interval_ms = gateway.settings.ping_interval.as_millis() as u64;
        next_ms.store(now_ms + interval_ms, Ordering::Relaxed);
        connection.push(ping_frame(b""));
    }
}
