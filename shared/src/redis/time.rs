//! The fleet's clock: that of Redis, or in a cluster that of the server with the heartbeats. Each process asks for the
//! time with its own heartbeat and uses it from then on (`clock`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use fred::prelude::*;
use fred::types::scripts::Script;

use super::keys::Keys;
use super::run_script;
use crate::clock;

/// A machine whose clock is off by more is reported in the log. Nothing depends on it.
const REPORTED_MS: i64 = 1_000;

/// Follows the fleet's clock.
pub struct FleetClock {
    script: Script,
    key: String,
    is_off: AtomicBool,
}

impl FleetClock {
    pub fn new(keys: &Keys) -> Self {
        FleetClock {
            script: Script::from_lua(include_str!("scripts/time.lua")),
            key: keys.heartbeats("gateway"),
            is_off: AtomicBool::new(false),
        }
    }

    /// Asks for the time once; returns by how many seconds this machine's clock is ahead.
    pub async fn follow(&self, redis: &Client) -> Result<f64, Error> {
        let asked = Instant::now();
        let time: (i64, i64) = run_script(&self.script, redis, vec![self.key.clone()], Vec::new()).await?;
        let ahead_ms = clock::follow(time.0 * 1_000_000 + time.1, asked, Instant::now());
        let is_off = ahead_ms.abs() > REPORTED_MS;
        if self.is_off.swap(is_off, Ordering::Relaxed) != is_off {
            if is_off {
                tracing::warn!(ahead_ms, "this process's clock differs from the clock of Redis, which the fleet uses");
            } else {
                tracing::info!(ahead_ms, "this process's clock is in step again");
            }
        }
        Ok(ahead_ms as f64 / 1000.0)
    }
}
