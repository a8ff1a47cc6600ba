//! What one connection may send in a second, after decompression (`INBOUND_RATE`). Above that it is read more slowly, so that a
//! client which compresses well takes no more of the gateway's time than its share.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use shared::config::GatewaySettings;
use tokio::time::Sleep;

/// What a connection that was quiet may send at once, in seconds' worth; but always a message of the largest kind.
const BURST_SECONDS: u64 = 4;

/// With more unwritten, nothing is read from a client: whoever does not read is not listened to.
pub const READ_PAUSE_BYTES: usize = 256 * 1024;

pub struct Inflow {
    bytes_per_second: u64,
    burst_bytes: u64,
    /// What it sent and the rate has not yet made up for.
    owed_bytes: u64,
    at_ms: u64,
    /// While it owes more than the burst.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Inflow {
    pub fn new(settings: &GatewaySettings) -> Self {
        let bytes_per_second = settings.inbound_rate_bytes as u64;
        let burst_bytes = (bytes_per_second * BURST_SECONDS).max(settings.max_payload_bytes as u64);
        Inflow { bytes_per_second, burst_bytes, owed_bytes: 0, at_ms: 0, pause: None }
    }

    pub fn spend(&mut self, bytes: usize, now_ms: u64) {
        let made_up = now_ms.saturating_sub(self.at_ms).saturating_mul(self.bytes_per_second) / 1000;
        self.owed_bytes = self.owed_bytes.saturating_sub(made_up) + bytes as u64;
        self.at_ms = now_ms;
        if let Some(over @ 1..) = self.owed_bytes.checked_sub(self.burst_bytes) {
            let pause = Duration::from_millis(over * 1000 / self.bytes_per_second);
            self.pause = Some(Box::pin(tokio::time::sleep(pause)));
        }
    }

    /// Whether the connection may be read.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pause) = &mut self.pause else {
            return Poll::Ready(());
        };
        ready!(pause.as_mut().poll(cx));
        self.pause = None;
        Poll::Ready(())
    }
}
