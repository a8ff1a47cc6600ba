//! `chatctl listen`: a user's events as JSON lines, for scripts.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use client::{Backoff, Client, Error, event_type};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use crate::access::{Access, AccessArguments, leave};
use crate::duration;
use crate::settings::Settings;
use crate::terminal::{escaped_json, print_line, printable};

/// A connection that lasted this long shows that the server works.
const PROVED: Duration = Duration::from_secs(5);
/// Without `--timeout`.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

#[derive(Debug, Args)]
pub struct ListenArguments {
    /// Username or id.
    name: String,
    /// Ends after this many events; fails if --timeout comes first.
    #[arg(long)]
    count: Option<u64>,
    /// Only events of this type; may be given several times.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Ends after this time.
    #[arg(long, value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Confirms each event once it is printed; unconfirmed events are sent again after a reconnect.
    #[arg(long)]
    ack: bool,
    #[command(flatten)]
    access: AccessArguments,
}

struct Listener {
    types: Vec<String>,
    count: Option<u64>,
    printed: u64,
    ack: bool,
}

impl ListenArguments {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let mut access = Access::new(settings, &self.access, &self.name).await?;
        let mut listener = Listener { types: self.types, count: self.count, printed: 0, ack: self.ack };
        let deadline = Instant::now() + self.timeout.unwrap_or(FOREVER).min(FOREVER);
        match timeout_at(deadline, listener.run(&mut access)).await {
            Ok(result) => {
                if let Some(client) = result? {
                    leave(client).await;
                }
                Ok(())
            }
            Err(_) => match self.count {
                Some(count) => bail!("{} of {count} events arrived in time", listener.printed),
                None => Ok(()),
            },
        }
    }
}

impl Listener {
    /// Returns the connection on which enough events arrived.
    async fn run(&mut self, access: &mut Access) -> Result<Option<Client>> {
        let mut backoff = Backoff::default();
        loop {
            if self.is_done() {
                return Ok(None);
            }
            let url = access.url().to_owned();
            let error = match access.login(self.ack).await {
                Ok(mut client) => {
                    let since = Instant::now();
                    eprintln!("chatctl: connected to {url} as user {}", printable(client.user_id()));
                    let error = match self.follow(&mut client).await? {
                        Some(error) => error,
                        None => return Ok(Some(client)),
                    };
                    if since.elapsed() >= PROVED {
                        backoff.reset();
                    }
                    error
                }
                Err(error) if error.is_transient() => error,
                Err(error) => return Err(error.into()),
            };
            let delay = backoff.next_delay();
            eprintln!("chatctl: {}; again in {} ms", printable(&error.to_string()), delay.as_millis());
            sleep(delay).await;
        }
    }

    /// Prints until enough events have arrived (`None`) or the connection ends.
    async fn follow(&mut self, client: &mut Client) -> Result<Option<Error>> {
        loop {
            let event = match client.recv().await {
                Ok(event) => event,
                Err(error) => return Ok(Some(error)),
            };
            if self.types.is_empty() || self.types.iter().any(|t| t == event_type(&event)) {
                print_line(&escaped_json(&event.to_string()))?;
                self.printed += 1;
            }
            if self.ack
                && let Some(ack) = confirmation(&event)
            {
                // If the connection is gone, the next `recv` says so.
                let _ = client.send(ack).await;
            }
            if self.is_done() {
                return Ok(None);
            }
        }
    }

    fn is_done(&self) -> bool {
        self.count.is_some_and(|count| self.printed >= count)
    }
}

/// The `ack` for a message or a durable event; `None` for everything else.
fn confirmation(event: &Value) -> Option<Value> {
    if let Some(event_id) = event["eventId"].as_str() {
        return Some(json!({"type": "ack", "eventIds": [event_id]}));
    }
    let is_message = matches!(event_type(event), "new_message" | "new_group_message" | "group_announcement");
    let conversation = event["conversationId"].as_str().filter(|_| is_message)?;
    let seq = event["seq"].as_i64()?;
    Some(json!({"type": "ack", "conversations": {conversation: seq}}))
}
