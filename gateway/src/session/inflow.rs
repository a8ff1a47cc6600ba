//! How much one connection may send per second, after decompression (`INBOUND_RATE`). Above that it is read more
//! slowly, so that a client which compresses well, or sends a great many small frames, takes no more than its share of the
//! gateway's time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use shared::config::GatewaySettings;
use tokio::time::Sleep;

/// What a quiet connection may send at once, in seconds' worth; always at least a message of maximum size.
const BURST_SECONDS: u64 = 4;

/// What a frame costs in addition to its text: reading and answering an empty one takes as long as reading that many
/// bytes.
pub const FRAME_BYTES: usize = 256;

/// With more unwritten bytes, nothing is read from the client: one that does not read is not served.
pub const READ_PAUSE_BYTES: usize = 256 * 1024;

pub struct Inflow {
    bytes_per_second: u64,
    burst_bytes: u64,
    /// Bytes received that the rate has not yet covered.
    owed_bytes: u64,
    at_ms: u64,
    /// Set while it owes more than the burst.
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

    /// Ready once the connection may be read.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pause) = &mut self.pause else {
            return Poll::Ready(());
        };
        ready!(pause.as_mut().poll(cx));
        self.pause = None;
        Poll::Ready(())
    }
}
