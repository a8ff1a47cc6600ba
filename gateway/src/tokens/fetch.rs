//! One small document over HTTP(S), bounded in size and time. Follows no redirects.

use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use outbound::Target;

const READ_WITHIN: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 256 * 1024;

/// Where the document is.
pub struct Source(Target);

impl Source {
    /// # Errors
    /// When [`Target::new`] fails.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        Ok(Source(Target::new(url)?))
    }

    /// Reads the current document.
    ///
    /// # Errors
    /// When it does not arrive in time, is too large, or its status is not 200.
    pub async fn read(&self) -> anyhow::Result<Bytes> {
        tokio::time::timeout(READ_WITHIN, self.request()).await.context("no answer in time")?
    }

    async fn request(&self) -> anyhow::Result<Bytes> {
        let addresses = self.0.resolve().await?;
        let mut connection = self.0.connect(&addresses).await?;
        let request = Request::get("/")
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close")
            .body(Bytes::new())?;
        let (status, body) = self.0.exchange(&mut connection, request, MAX_BYTES).await?;
        ensure!(status == StatusCode::OK, "the answer is {status}");
        Ok(body)
    }
}
