//! The hook itself: its address, and how it does at the moment.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use shared::config::{OnFailure, WorkerSettings};
use shared::protocol::Rejection;
use shared::webhooks::WebhookSecret;
use tokio::sync::Semaphore;

use super::answer::{self, Decision};
use crate::breaker::Breaker;
use crate::webhooks::client::Client;

const RETRY_AFTER_SECONDS: u32 = 2;
/// The hook counts as down after this many failures in a row.
const DOWN_AFTER: u32 = 5;
/// From then on it is asked about one message in this time.
const DOWN_PAUSE: Duration = Duration::from_secs(5);

pub struct BeforeSend {
    client: Client,
    /// Of a question, its waiting for others included.
    pub timeout: Duration,
    on_failure: OnFailure,
    /// Questions under way.
    pub permits: Semaphore,
    pub breaker: Breaker,
}

impl BeforeSend {
    /// `None` when no hook is set.
    ///
    /// # Errors
    /// When there can be no connection to the URL.
    pub fn new(settings: &WorkerSettings) -> anyhow::Result<Option<Self>> {
        let Some(url) = &settings.before_send_url else { return Ok(None) };
        let secrets = settings.before_send_secrets.as_ref().map_or("", |secrets| secrets.expose());
        let secrets = WebhookSecret::parse_pair(secrets).map_err(anyhow::Error::msg)?;
        Ok(Some(BeforeSend {
            client: Client::new(url, secrets)?,
            timeout: settings.before_send_timeout,
            on_failure: settings.before_send_on_failure,
            permits: Semaphore::new(settings.before_send_concurrency),
            breaker: Breaker::new(DOWN_AFTER, DOWN_PAUSE),
        }))
    }

    /// What becomes of a message that could not be asked about.
    pub fn without_answer(&self) -> Decision {
        match self.on_failure {
            OnFailure::Allow => Decision::Allow,
            OnFailure::Reject => {
                let details = "The message could not be checked; it was not sent";
                Decision::Reject(Rejection::unavailable(details, RETRY_AFTER_SECONDS))
            }
        }
    }

    /// # Errors
    /// When there is no answer in time, or it is none of a hook.
    pub async fn ask(
        &self,
        settings: &WorkerSettings,
        within: Duration,
        id: &str,
        question: &impl Serialize,
    ) -> anyhow::Result<Decision> {
        let body = Bytes::from(serde_json::to_vec(question)?);
        let answer = self.client.post(settings, within, id, &body).await?;
        answer::parse(&answer, settings.common.max_message_length)
    }
}
