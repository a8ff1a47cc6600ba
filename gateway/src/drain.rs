//! Shuts the gateway down: closes connections over a while, so that their clients do not all reconnect at once. Each is
//! closed after its commands are answered and its outbox is written.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use shared::protocol::{CloseCode, Rejection};

use crate::connection::Close;
use crate::gateway::Gateway;

const STEP: Duration = Duration::from_millis(50);
/// Allows for the answers to commands that arrived just before the end.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Waits for the drain and closes all connections; their sessions end by themselves, and the process waits for them.
pub async fn run(gateway: Arc<Gateway>) -> Result<(), Infallible> {
    gateway.lifecycle.draining().cancelled().await;
    let window = gateway.settings.drain_window;
    let mut connections = Vec::new();
    gateway.registry.for_each(|connection| connections.push(Arc::downgrade(connection)));
    tracing::info!(connections = connections.len(), window_seconds = window.as_secs_f64(), "closing connections");
    let steps = (window.as_millis() / STEP.as_millis()).max(1) as usize;
    let per_step = connections.len().div_ceil(steps).max(1);
    for step in connections.chunks(per_step) {
        close(step.iter().filter_map(std::sync::Weak::upgrade));
        tokio::time::sleep(if window.is_zero() { Duration::ZERO } else { STEP }).await;
    }
    // Upgrades that were in progress when the drain began.
    let mut late = Vec::new();
    gateway.registry.for_each(|connection| late.push(connection.clone()));
    close(late.into_iter());
    // Clients that still wait for an answer are told that this gateway will not send one.
    let end = tokio::time::Instant::now() + LAST_ANSWERS;
    while !gateway.registry.is_empty() && tokio::time::Instant::now() < end {
        tokio::time::sleep(STEP).await;
    }
    let rejection = Rejection::unavailable("This server is shutting down", 1);
    gateway.registry.for_each(|connection| {
        for entry in connection.take_overdue(u64::MAX) {
            gateway.reject_entry(connection, &entry, &rejection);
        }
    });
    Ok(())
}

fn close(connections: impl Iterator<Item = Arc<crate::connection::Connection>>) {
    connections.for_each(|connection| connection.close(Close::new(CloseCode::Restart, "Server restarting")));
}
