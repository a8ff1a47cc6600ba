//! One delivery attempt: an allowed address, a signed request, and an answer in time. Connections are reused. The
//! address is checked whenever a connection is opened, and the connection goes to the checked address.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::{Request, header};
use outbound::address::is_public;
use outbound::{Connection, Target};
use parking_lot::Mutex;
use shared::clock::Timestamp;
use shared::config::WorkerSettings;
use shared::webhooks::{WebhookSecret, signatures};

type Answer = (http::StatusCode, Bytes);

/// What is read of an answer.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// After that the other side may have closed it, and its address may have changed.
const KEPT_FOR: Duration = Duration::from_secs(30);

pub struct Client {
    target: Target,
    secrets: Vec<WebhookSecret>,
    idle: Mutex<Vec<(Connection, Instant)>>,
}

impl Client {
    /// # Errors
    /// When [`Target::new`] fails.
    pub fn new(url: &str, secrets: Vec<WebhookSecret>) -> anyhow::Result<Self> {
        Ok(Client { target: Target::new(url)?, secrets, idle: Mutex::default() })
    }

    /// Delivers the body.
    ///
    /// # Errors
    /// When there is no answer in time, or one that is not 2xx.
    pub async fn post(
        &self,
        settings: &WorkerSettings,
        within: Duration,
        id: &str,
        body: &Bytes,
    ) -> anyhow::Result<Bytes> {
        let tried = tokio::time::timeout(within, self.exchange(settings, id, body)).await;
        tried.with_context(|| format!("no answer within {} ms", within.as_millis()))?
    }

    async fn exchange(&self, settings: &WorkerSettings, id: &str, body: &Bytes) -> anyhow::Result<Bytes> {
        if let Some((mut connection, since)) = self.take_idle()
            && let Ok(answered) = self.request(&mut connection, id, body).await
        {
            return self.answered(answered, connection, since);
        }
        // There was no open connection, or the other side had closed it. It may have taken the delivery already, which
        // it recognises by the id.
        let addresses = allowed(settings, &self.target, self.target.resolve().await?)?;
        let mut connection = self.target.connect(&addresses).await?;
        let answered = self.request(&mut connection, id, body).await?;
        self.answered(answered, connection, Instant::now())
    }

    async fn request(&self, connection: &mut Connection, id: &str, body: &Bytes) -> anyhow::Result<Answer> {
        let timestamp = Timestamp::now().0 / 1_000;
        let request = Request::post("/")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "chat-webhooks")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures(&self.secrets, id, timestamp, body))
            .body(body.clone())?;
        self.target.exchange(connection, request, MAX_ANSWER_BYTES).await
    }

    fn answered(&self, answer: Answer, connection: Connection, since: Instant) -> anyhow::Result<Bytes> {
        let (status, body) = answer;
        if connection.is_open() && since.elapsed() < KEPT_FOR {
            self.idle.lock().push((connection, since));
        }
        ensure!(status.is_success(), "the answer is {status}");
        Ok(body)
    }

    fn take_idle(&self) -> Option<(Connection, Instant)> {
        let mut idle = self.idle.lock();
        idle.retain(|(connection, since)| connection.is_open() && since.elapsed() < KEPT_FOR);
        idle.pop()
    }
}

/// The addresses that are allowed: public ones over TLS, and any in the networks that a setting allows.
fn allowed(settings: &WorkerSettings, target: &Target, addresses: Vec<SocketAddr>) -> anyhow::Result<Vec<SocketAddr>> {
    let by_setting =
        |address: &SocketAddr| settings.webhook_allowed_networks.iter().any(|network| network.contains(address.ip()));
    let is_allowed = |address: &SocketAddr| by_setting(address) || (target.is_encrypted() && is_public(address.ip()));
    let (allowed, others): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses.into_iter().partition(is_allowed);
    match (allowed.is_empty(), others.first()) {
        (false, _) => Ok(allowed),
        (true, Some(other)) if is_public(other.ip()) => {
            bail!("http:// is for networks of WEBHOOK_ALLOWED_NETWORKS only; use https://")
        }
        (true, Some(other)) => {
            bail!("the address {} is not public, and not in WEBHOOK_ALLOWED_NETWORKS", other.ip())
        }
        (true, None) => bail!("the host has no address"),
    }
}
