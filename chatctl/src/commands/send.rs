//! `chatctl send`: sends one message and waits for its acknowledgement.

use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Args;
use client::{Backoff, Client, Error};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::access::{Access, AccessArguments, leave};
use crate::settings::Settings;
use crate::terminal::print_line;
use crate::{database, duration};

const MAX_TIMEOUT: Duration = Duration::from_secs(86_400);

#[derive(Debug, Args)]
pub struct SendArguments {
    /// The sender: username or id.
    name: String,
    /// The recipient: username or id.
    #[arg(long, value_name = "OTHER")]
    to: String,
    text: String,
    /// A repeated id does not send the message twice [default: a new id].
    #[arg(long, value_name = "ID")]
    client_message_id: Option<String>,
    /// How long to keep trying. It tries again after a lost connection and while the service is unavailable; any other
    /// error is final.
    #[arg(long, default_value = "30s", value_parser = duration::parse)]
    timeout: Duration,
    #[command(flatten)]
    access: AccessArguments,
}

impl SendArguments {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let recipient = database::resolve(settings, &self.to).await?;
        let mut access = Access::new(settings, &self.access, &self.name).await?;
        // One id for all attempts, so that a message whose acknowledgement was lost is not stored twice.
        let id = self.client_message_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let command = json!({
            "type": "send_private_message",
            "recipientId": recipient.to_string(),
            "content": self.text,
            "clientMessageId": id,
        });

        let deadline = Instant::now() + self.timeout.min(MAX_TIMEOUT);
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(3));
        let mut last_error = None;
        loop {
            match timeout_at(deadline, attempt(&mut access, &command)).await {
                Ok(Ok((client, acknowledgement))) => {
                    print_line(&acknowledgement.to_string())?;
                    leave(client).await;
                    return Ok(());
                }
                Ok(Err(error)) if may_succeed(&error) => last_error = Some(error),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => break,
            }
            let told = last_error.as_ref().and_then(Error::retry_after).unwrap_or_default();
            let pause_end = Instant::now() + backoff.next_delay().max(told);
            if pause_end >= deadline {
                break;
            }
            sleep_until(pause_end).await;
        }
        let waited = self.timeout;
        Err(match last_error {
            Some(error) => anyhow!("not acknowledged within {waited:?}: {error}"),
            None => anyhow!("not acknowledged within {waited:?}"),
        })
    }
}

/// True if another attempt may succeed; an error about the message or its sender is final.
fn may_succeed(error: &Error) -> bool {
    match error {
        Error::Rejected(_) => error.code() == Some("SERVICE_UNAVAILABLE"),
        error => error.is_transient(),
    }
}

async fn attempt(access: &mut Access, command: &Value) -> Result<(Client, Value), Error> {
    let mut client = access.login(false).await?;
    let acknowledgement = client.request_ok(command.clone()).await?;
    Ok((client, acknowledgement))
}
